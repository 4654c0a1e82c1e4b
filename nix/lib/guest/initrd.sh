# Writes $out/initrd: a newc cpio of /init, busybox and the first stage's modules. By hand, since busybox's cpio writes
# the inode numbers of the machine that it runs on; uncompressed, since a small guest inflates slower than it reads.
inode=0
pad() {
  while [ $(($1 % 4)) -ne 0 ]; do
    printf '\0'
    set -- $(($1 + 1))
  done
}
# entry MODE NAME SIZE: the header, after which follow SIZE bytes and their padding
entry() {
  inode=$((inode + 1))
  printf '070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x' \
    "$inode" "$((0$1))" 0 0 1 0 "$3" 0 0 0 0 "$((${#2} + 1))" 0
  printf '%s\0' "$2"
  pad $((110 + ${#2} + 1))
}
directory() { entry 40755 "$1" 0; }
file() { # file MODE NAME PATH
  size=$(stat -c %s "$3")
  entry "$1" "$2" "$size"
  cat "$3"
  pad "$size"
}
# node NAME: /dev/console, so that init has an output from the start
node() {
  inode=$((inode + 1))
  printf '070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x' "$inode" "$((020600))" 0 0 1 0 0 0 0 5 1 "$((${#1} + 1))" 0
  printf '%s\0' "$1"
  pad $((110 + ${#1} + 1))
}

mkdir "$out"
{
  for name in bin dev modules proc sys sysroot; do directory "$name"; done
  node dev/console
  file 100755 init "$stage1"
  file 100755 bin/busybox "$busybox"
  for applet in sh mount insmod mkdir usleep switch_root poweroff sleep; do
    entry 120777 "bin/$applet" 7
    printf 'busybox'
    pad 7
  done
  file 100644 modules/disk "$modules/disk"
  while read -r module; do file 100644 "modules/$module.ko" "$modules/$module.ko"; done <"$modules/disk"
  entry 0 'TRAILER!!!' 0
} >"$out/initrd"

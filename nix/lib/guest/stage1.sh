#!/bin/busybox sh
# The initrd's /init: loads the disk's drivers, mounts the closure's image at /nix/store, and goes on with the System's
# own init. The command line names that one as init=<toplevel>/init. Nothing here belongs to one VM.
export PATH=/bin

fail() {
  echo "stage 1: $*" >/dev/console
  sleep 1
  poweroff -f
}

mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
while read -r module; do
  insmod "/modules/$module.ko" || fail "module $module cannot be loaded"
done </modules/disk

init=
read -r cmdline </proc/cmdline
for word in $cmdline; do
  case $word in init=*) init=${word#init=} ;; esac
done
[ -n "$init" ] || fail "the command line names no init="

# The disk whose virtio serial is "store" holds what /nix/store shall show.
disk=
tries=0
while [ -z "$disk" ]; do
  for serial in /sys/block/vd*/serial; do
    [ -e "$serial" ] || continue
    read -r name <"$serial"
    [ "$name" = store ] && disk=${serial%/serial} && disk=/dev/${disk##*/}
  done
  [ -n "$disk" ] && break
  tries=$((tries + 1))
  [ "$tries" -lt 500 ] || fail "no disk with the serial 'store' within 10 s"
  usleep 20000
done

mount -t tmpfs -o mode=0755 root /sysroot
mkdir -p /sysroot/nix/store /sysroot/dev /sysroot/proc /sysroot/sys
mount -t erofs -o ro "$disk" /sysroot/nix/store || fail "$disk holds no erofs image"
[ -x "/sysroot$init" ] || fail "$init is not in the image"
mount -o move /dev /sysroot/dev
mount -o move /proc /sysroot/proc
mount -o move /sys /sysroot/sys
exec switch_root /sysroot "$init"

#!@sh@
# Mounts the System's volumes by the serials of their disks; `/etc/volumes` has a line "serial mount" for each.
while read -r serial mount; do
  disk=
  tries=0
  while [ -z "$disk" ]; do
    for file in /sys/block/vd*/serial; do
      read -r name <"$file"
      [ "$name" = "$serial" ] && disk=${file%/serial} && disk=/dev/${disk##*/}
    done
    [ -n "$disk" ] && break
    tries=$((tries + 1))
    if [ "$tries" -ge 500 ]; then
      echo "volumes: no disk with the serial $serial, for $mount, within 10 s"
      exit 1
    fi
    usleep 20000
  done
  mkdir -p "$mount"
  grep -q " $mount " /proc/mounts || mount -t ext4 "$disk" "$mount" || exit 1
done </etc/volumes

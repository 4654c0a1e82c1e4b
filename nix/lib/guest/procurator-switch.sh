#!@sh@
# procurator-switch SERIAL TOPLEVEL: from the System that runs to TOPLEVEL without a reboot, and back if that fails.
# SERIAL is the disk that holds its closure, or `-` where an earlier switch has brought it. Each closure's image stays
# mounted under a path of its own; /nix/store is one overlay over all of them, the newest first (an overlay over an
# overlay fails at the third).
export PATH=@path@
layers=/run/procurator/layers
serial=$1
toplevel=$2
before=$(readlink /run/current-system)

fail() {
  echo "procurator-switch: $*" >&2
  exit 1
}

mkdir -p "$layers"
if [ ! -d "$layers/0" ]; then
  mkdir "$layers/0" && mount -o bind /nix/store "$layers/0" || fail "the store cannot be mounted a second time"
fi

added=
if [ "$serial" != - ]; then
  disk=
  tries=0
  while [ -z "$disk" ]; do
    for file in /sys/block/vd*/serial; do
      [ -e "$file" ] || continue
      read -r name <"$file"
      [ "$name" = "$serial" ] && disk=/dev/$(basename "$(dirname "$file")")
    done
    [ -n "$disk" ] && break
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "no disk with the serial $serial within 10 s"
    sleep 0.1 2>/dev/null || sleep 1
  done
  number=0
  while [ -d "$layers/$number" ]; do number=$((number + 1)); done
  added=$layers/$number
  mkdir "$added"
  if ! mount -t erofs -o ro "$disk" "$added"; then
    rmdir "$added"
    fail "$disk holds no erofs image"
  fi
  lower=
  while [ "$number" -ge 0 ]; do
    lower=${lower:+$lower:}$layers/$number
    number=$((number - 1))
  done
  if ! mount -t overlay -o "ro,lowerdir=$lower" overlay /nix/store; then
    umount "$added" && rmdir "$added"
    fail "the layers cannot be mounted as one store"
  fi
fi

if [ -x "$toplevel/bin/switch-to-configuration" ] && "$toplevel/bin/switch-to-configuration" test; then
  [ "$(readlink /run/current-system)" = "$toplevel" ] || ln -sfn "$toplevel" /run/current-system
  exit 0
fi

echo "procurator-switch: $toplevel cannot be switched to; back to $before" >&2
[ -x "$before/bin/switch-to-configuration" ] && "$before/bin/switch-to-configuration" test >&2
if [ -n "$added" ]; then
  umount -l /nix/store
  umount "$added" && rmdir "$added"
fi
exit 1

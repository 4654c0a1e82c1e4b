#!@sh@
# `switch-to-configuration switch|test|dry-activate|boot`: from the System that runs to this one without a reboot.
# What boots next is decided by who starts the VM, so `boot` does nothing and `switch` is `test`.
export PATH=@sw@/bin
case $1 in
switch | test) ;;
boot) exit 0 ;;
dry-activate)
  echo "would activate @toplevel@"
  exit 0
  ;;
*)
  echo "usage: $0 switch|test|boot|dry-activate" >&2
  exit 2
  ;;
esac

cp /etc/inittab /run/inittab.before
@toplevel@/activate || exit 1
mount-volumes || exit 1
kill -HUP 1 # init reads the new inittab, and starts no more what is not in it
while read -r line; do
  service=${line##*/}
  case $line in ::respawn:*) ;; *) continue ;; esac
  grep -qxF "$line" /etc/inittab || kill "$(cat "/run/services/$service")" 2>/dev/null
done </run/inittab.before
echo "switched to @toplevel@"

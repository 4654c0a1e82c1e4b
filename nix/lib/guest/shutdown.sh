#!@sh@
# Ends the services, then the machine: what the power button does. busybox init's own way takes two fixed seconds.
export PATH=@sw@/bin
echo "power button: going down" >/dev/console
: >/run/no-services
ln -sfn /run/no-services /etc/inittab
kill -HUP 1 # from here on init starts nothing again
usleep 50000
kill -TERM $(cat /run/services/*) 2>/dev/null
tries=0
while [ "$tries" -lt 250 ] && kill -0 $(cat /run/services/*) 2>/dev/null; do
  tries=$((tries + 1))
  usleep 20000
done
sync
while read -r _ mount; do echo "$mount"; done </etc/volumes | tac | while read -r mount; do
  umount "$mount" || mount -o remount,ro "$mount" || exit 1
done || exec poweroff
exec poweroff -f

#!@sh@
# A System's init: makes the writable root around /nix/store, starts its network card and volumes, and becomes
# busybox init with the System's inittab, which keeps the services running.
export PATH=@sw@/bin

mkdir -p /bin /run /tmp /var/log /root /etc
chmod 1777 /tmp
ln -sfn @sw@/bin/sh /bin/sh
mount -t tmpfs -o mode=0755 run /run
mkdir -p /dev/pts /run/services
mount -t devpts devpts /dev/pts
@toplevel@/activate
while read -r module; do
  insmod "@kernel@/modules/$module.ko" || echo "stage 2: module $module cannot be loaded"
done <@kernel@/modules/network
ifconfig lo 127.0.0.1 up
if ! mount-volumes; then
  # A service that found an empty directory where its data should be would do harm.
  echo "stage 2: a volume is missing, so nothing is started"
  sleep 1
  poweroff -f
fi
exec @sw@/bin/init

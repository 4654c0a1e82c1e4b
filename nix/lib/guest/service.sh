#!@sh@
# One service: busybox init starts it again whenever it ends.
echo $$ >/run/services/@name@
set -a
. @environment@
set +a
export PATH=@sw@/bin
cd /
@script@

#!@sh@
# Loads the drivers that no service waits for, and then waits for the power button if @listens@ is "yes".
export PATH=@sw@/bin
while read -r module; do
  [ -e "/sys/module/$module" ] || insmod "@kernel@/modules/$module.ko" || echo "module $module cannot be loaded"
done <@kernel@/modules/later
[ @listens@ = yes ] && exec acpid -f -c /etc/acpi
exec sleep 2147483647

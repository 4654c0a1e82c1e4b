#!@sh@
# What udhcpc calls: takes address, gateway, name servers and the hostname from the lease.
export PATH=@sw@/bin
case $1 in
deconfig)
  ip addr flush dev "$interface"
  ip link set "$interface" up
  ;;
bound | renew)
  # The gateway may lie outside of the address's prefix, as on a routed tap with a /32.
  ip addr replace "$ip/${mask:-32}" dev "$interface"
  for gateway in $router; do
    ip route replace "$gateway" dev "$interface"
    ip route replace default via "$gateway" dev "$interface"
    break
  done
  {
    [ -z "$search$domain" ] || echo "search ${search:-$domain}"
    for server in $dns; do echo "nameserver $server"; done
  } >/run/resolv.conf
  if [ -n "$hostname" ]; then
    hostname "$hostname"
    echo "$hostname" >/run/hostname
  fi
  [ "$1" = renew ] || echo "network: $ip as ${hostname:-(no name)}"
  ;;
esac

# Adds up numbers, a thousand a minute, and talks to nobody.
{ pkgs, ... }:
{
  systemd.services.batch = {
    description = "A computation";
    wantedBy = [ "multi-user.target" ];
    path = [ pkgs.busybox ];
    script = ''
      sum=0
      number=0
      while true; do
        for step in $(seq 1000); do
          number=$((number + 1))
          sum=$((sum + number))
        done
        echo "batch: the numbers up to $number add up to $sum"
        sleep 60
      done
    '';
    serviceConfig = {
      DynamicUser = true;
      Restart = "always";
    };
  };
  system.stateVersion = "26.05";
}

# Answers GET /cgi-bin/count with a number that it keeps on its volume, one higher each time.
{ pkgs, ... }:
let
  count = pkgs.writeScript "count" ''
    #!${pkgs.busybox}/bin/sh
    # On disk before the answer goes out; one at a time.
    exec 9>"$DB_DIRECTORY/lock"
    flock 9
    count=$(cat "$DB_DIRECTORY/count" 2>/dev/null || echo 0)
    count=$((count + 1))
    echo "$count" >"$DB_DIRECTORY/count.new"
    sync
    mv "$DB_DIRECTORY/count.new" "$DB_DIRECTORY/count"
    sync
    printf 'Content-Type: text/plain\r\n\r\n%s\n' "$count"
  '';
  site = pkgs.runCommand "db" { } ''
    mkdir -p $out/cgi-bin
    cp ${count} $out/cgi-bin/count
  '';
in
{
  users.groups.db = { };
  users.users.db = {
    isSystemUser = true;
    group = "db";
  };

  systemd.services.db = {
    description = "A counter";
    wantedBy = [ "multi-user.target" ];
    path = [ pkgs.busybox ];
    serviceConfig = {
      ExecStart = "${pkgs.busybox}/bin/httpd -f -p 5432 -h ${site}";
      User = "db";
      # The volume's mount point: systemd waits for it, and makes it the user's.
      StateDirectory = "db";
      Restart = "always";
    };
  };
  system.stateVersion = "26.05";
}

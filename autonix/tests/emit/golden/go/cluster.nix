# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 77ec74034faaa8b3e9b1044b51b8bc64d9e72fb2b06b05c19e3bc95d68817c6c
{
  nixpkgs,
  procurator,
  system,
  packages,
  runtimes,
}:
let
  # A NixOS module as a microVM's System.
  guest = module: nixpkgs.lib.nixosSystem {
    inherit system;
    modules = [ "${procurator}/modules/guest.nix" module ];
  };
in
{
  cluster = "ledger";
  vms = {
    # backend/go.mod, started by backend/main.go:1 (go.main, certain)
    ledger = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 512;
      network = {
        # mysql: compose.yaml:10 (compose.image, certain)
        connect = [ "mysql:3306" ];
        # backend/Dockerfile:7 (docker.expose, certain)
        ports = [
          {
            name = "tcp-8081";
            port = 8081;
          }
        ];
      };
      # backend/Dockerfile:7 (docker.expose, certain)
      health.checks = [
        {
          type = "tcp";
          port = 8081;
        }
      ];
      dependsOn = [ "mysql" ];
      env = {
        # .env.example:1 (env.example, certain)
        DB_HOST = "mysql";
      };
      configuration = guest (
        { pkgs, ... }: {
          systemd.services.ledger = {
            wantedBy = [ "multi-user.target" ];
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
            path = [ packages.ledger ];
            # backend/main.go:1 (go.main, certain)
            script = ''
              export HOME=/var/lib/ledger
              exec ${packages.ledger}/bin/ledger
            '';
            serviceConfig = {
              DynamicUser = true;
              StateDirectory = "ledger";
              Restart = "always";
            };
          };
          networking.firewall.allowedTCPPorts = [ 8081 ];
        }
      );
    };
    # the image mysql: compose.yaml:10 (compose.image, certain)
    mysql = {
      # autonix' default for mysql.
      cpu = 1;
      memoryMb = 1024;
      volumes.data = {
        sizeMb = 1024;
        mount = "/var/lib/mysql";
      };
      network.ports = [
        {
          name = "mysql";
          port = 3306;
        }
      ];
      health.checks = [
        {
          type = "tcp";
          port = 3306;
        }
      ];
      configuration = guest (
        { pkgs, ... }: {
          services.mysql = {
            enable = true;
            # compose.yaml:10 (compose.image.tag, certain) asks for 8; this is what nixpkgs has.
            package = pkgs.mysql84;
            settings.mysqld.bind-address = "0.0.0.0";
          };
          networking.firewall.allowedTCPPorts = [ 3306 ];
        }
      );
    };
  };
}

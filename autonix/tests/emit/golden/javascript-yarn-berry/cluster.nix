# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 f128c7eb29bc10220bdb4b4fb81c06cf3945d366a9f9d0606a83cdbb62d62d55
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
  cluster = "shop";
  vms = {
    # package.json, started by package.json:8 (javascript.package.scripts, certain)
    corner-shop = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 512;
      network = {
        # mongo: compose.yaml:10 (compose.image, certain); rabbit: compose.yaml:10 (compose.image, certain)
        connect = [ "mongo:27017" "rabbit:5672" ];
        # Dockerfile:8 (docker.expose, certain)
        ports = [
          {
            name = "tcp-3000";
            port = 3000;
          }
        ];
      };
      # Dockerfile:8 (docker.expose, certain)
      health.checks = [
        {
          type = "tcp";
          port = 3000;
        }
      ];
      dependsOn = [ "mongo" "rabbit" ];
      configuration = guest (
        { pkgs, ... }: {
          systemd.services.corner-shop = {
            wantedBy = [ "multi-user.target" ];
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
            path = [ packages.corner-shop ] ++ runtimes.corner-shop;
            # package.json:8 (javascript.package.scripts, certain)
            script = ''
              export HOME=/var/lib/corner-shop
              exec npm run start
            '';
            serviceConfig = {
              DynamicUser = true;
              StateDirectory = "corner-shop";
              WorkingDirectory = "${packages.corner-shop}/lib/app";
              Restart = "always";
            };
          };
          networking.firewall.allowedTCPPorts = [ 3000 ];
        }
      );
    };
    # the image mongodb: compose.yaml:10 (compose.image, certain)
    mongo = {
      # autonix' default for mongodb.
      cpu = 1;
      memoryMb = 1024;
      volumes.data = {
        sizeMb = 1024;
        mount = "/var/db/mongodb";
      };
      network.ports = [
        {
          name = "mongodb";
          port = 27017;
        }
      ];
      health.checks = [
        {
          type = "tcp";
          port = 27017;
        }
      ];
      configuration = guest (
        { pkgs, ... }: {
          services.mongodb = {
            enable = true;
            bind_ip = "0.0.0.0";
          };
          networking.firewall.allowedTCPPorts = [ 27017 ];
        }
      );
    };
    # the image rabbitmq: compose.yaml:10 (compose.image, certain)
    rabbit = {
      # autonix' default for rabbitmq.
      cpu = 1;
      memoryMb = 1024;
      volumes.data = {
        sizeMb = 1024;
        mount = "/var/lib/rabbitmq";
      };
      network.ports = [
        {
          name = "rabbitmq";
          port = 5672;
        }
      ];
      health.checks = [
        {
          type = "tcp";
          port = 5672;
        }
      ];
      configuration = guest (
        { pkgs, ... }: {
          services.rabbitmq = {
            enable = true;
            listenAddress = "0.0.0.0";
            # No password: only the VMs whose `connect` names this one reach it.
            configItems.loopback_users = "none";
          };
          networking.firewall.allowedTCPPorts = [ 5672 ];
        }
      );
    };
  };
}

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 78a8073267fdfd52993630274b3d9dfb4330f9c56f7ad50af78109230f9697bc
# Not in the cluster:
# - app (compose.yml): an image (built from .) that no project here makes
# - job (compose.yml): an image (built from .) that no project here makes
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
  cluster = "compose-layers";
  vms = {
    # the image postgres:15: compose.yml:22 (services.image, likely)
    db = {
      # autonix' default for postgresql.
      cpu = 1;
      memoryMb = 1024;
      volumes.data = {
        sizeMb = 10240;
        mount = "/var/lib/postgresql";
      };
      network.ports = [
        {
          name = "postgresql";
          port = 5432;
        }
      ];
      health.checks = [
        {
          type = "tcp";
          port = 5432;
        }
      ];
      configuration = guest (
        { pkgs, ... }: {
          services.postgresql = {
            enable = true;
            # compose.yml:22 (services.image-tag, likely)
            package = pkgs.postgresql_15;
            enableTCPIP = true;
            # No password: only the VMs whose `connect` names this one reach it.
            authentication = ''
              host all all 0.0.0.0/0 trust
            '';
          };
          networking.firewall.allowedTCPPorts = [ 5432 ];
        }
      );
    };
    # the image memcached:1.6: compose.override.yml:9 (services.image, certain)
    cache = {
      # autonix' default for memcached.
      cpu = 1;
      memoryMb = 256;
      network.ports = [
        {
          name = "memcached";
          port = 11211;
        }
      ];
      health.checks = [
        {
          type = "tcp";
          port = 11211;
        }
      ];
      configuration = guest (
        { pkgs, ... }: {
          services.memcached = {
            # compose.override.yml:9 (services.image-tag, certain) asks for 1.6; this is what nixpkgs has.
            enable = true;
            listen = "0.0.0.0";
          };
          networking.firewall.allowedTCPPorts = [ 11211 ];
        }
      );
    };
    # the image rabbitmq:3.12-management: deploy/queue/compose.yml:3 (services.image, certain)
    queue = {
      # autonix' default for rabbitmq.
      cpu = 1;
      memoryMb = 1024;
      volumes.data = {
        sizeMb = 2048;
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
            # deploy/queue/compose.yml:3 (services.image-tag, certain) asks for 3.12; this is what nixpkgs has.
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

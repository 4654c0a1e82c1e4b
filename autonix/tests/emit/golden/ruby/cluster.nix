# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 cd999619072f2ff0df9d12a487f3f445d509bcd98600da0ef560a55656ca1d8f
# Not in the cluster:
# - ruby-rails (Gemfile): bundlerEnv wants a gemset.nix that `bundix` makes from Gemfile.lock
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
  cluster = "ruby-rails";
  vms = {
    # the Rails adapter postgresql: config/database.yml:2 (services.rails, certain)
    # the library pg: Gemfile:6 (services.library, likely)
    postgresql = {
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
    # the library sidekiq: Gemfile:7 (services.library, likely)
    redis = {
      # autonix' default for redis.
      cpu = 1;
      memoryMb = 512;
      volumes.data = {
        sizeMb = 1024;
        mount = "/var/lib/redis";
      };
      network.ports = [
        {
          name = "redis";
          port = 6379;
        }
      ];
      health.checks = [
        {
          type = "tcp";
          port = 6379;
        }
      ];
      configuration = guest (
        { pkgs, ... }: {
          services.redis = {
            package = pkgs.redis;
            servers."" = {
              enable = true;
              bind = "0.0.0.0";
              port = 6379;
              # No password: only the VMs whose `connect` names this one reach it.
              settings.protected-mode = "no";
            };
          };
          networking.firewall.allowedTCPPorts = [ 6379 ];
        }
      );
    };
  };
}

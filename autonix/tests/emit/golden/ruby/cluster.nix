# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 d7235eecf3f422cdbc1efecc206eacc326c286a4177d3065d5b37cf21479a5f4
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
    # Gemfile, started by Procfile:1 (tasks.procfile, certain)
    ruby-rails = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 512;
      network = {
        # postgresql: config/database.yml:2 (services.rails, certain) and 1 more; redis: Gemfile:7 (services.library, likely)
        connect = [ "postgresql:5432" "redis:6379" ];
        # Gemfile:5 (frameworks.default-port, likely)
        ports = [
          {
            name = "tcp-3000";
            port = 3000;
          }
        ];
      };
      dependsOn = [ "postgresql" "redis" ];
      configuration = guest (
        { pkgs, ... }: {
          systemd.services.ruby-rails = {
            wantedBy = [ "multi-user.target" ];
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
            path = [ packages.ruby-rails ];
            # Procfile:1 (tasks.procfile, certain)
            script = ''
              export HOME=/var/lib/ruby-rails
              export RAILS_ENV="''${RAILS_ENV:-production}" RAILS_LOG_TO_STDOUT=1
              bundle exec puma
            '';
            serviceConfig = {
              DynamicUser = true;
              StateDirectory = "ruby-rails";
              WorkingDirectory = "${packages.ruby-rails}/src";
              Restart = "always";
            };
          };
          networking.firewall.allowedTCPPorts = [ 3000 ];
        }
      );
    };
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

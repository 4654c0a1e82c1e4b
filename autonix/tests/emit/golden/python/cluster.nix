# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 90580e4947c9a026e3feded61e69180fc086cd09ac518f00377d89bc5622956a
# Not in the cluster:
# - files (compose.yaml:10 (compose.image, certain)): autonix knows no NixOS module for minio
# - api: SECRET_KEY must be set by hand
# - api: what compose.yaml:12 (compose.volumes, certain) mounts at /data has no volume here
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
  cluster = "todo";
  vms = {
    # pyproject.toml, started by Dockerfile:9 (docker.cmd, certain)
    api = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 512;
      network = {
        # cache: compose.yaml:10 (compose.image, certain); db: compose.yaml:10 (compose.image, certain)
        connect = [ "cache:6379" "db:5432" ];
        # compose.yaml:5 (compose.ports, certain)
        ports = [
          {
            name = "tcp-8000";
            port = 8000;
            publish = 8080;
          }
        ];
      };
      # compose.yaml:9 (compose.healthcheck, certain)
      health.checks = [
        {
          type = "http";
          port = 8000;
          path = "/healthz";
        }
      ];
      dependsOn = [ "cache" "db" ];
      env = {
        # compose.yaml:6 (compose.env, certain)
        DATABASE_URL = "postgresql+asyncpg://todo@db:5432/todos";
        # .env.example:3 (env.example, certain)
        LOG_LEVEL = "info";
        # compose.yaml:7 (compose.env, certain)
        REDIS_URL = "redis://cache:6379/0";
      };
      configuration = guest (
        { pkgs, ... }: {
          systemd.services.api = {
            wantedBy = [ "multi-user.target" ];
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
            path = [ packages.todo-api ] ++ runtimes.todo-api;
            # Dockerfile:9 (docker.cmd, certain)
            script = ''
              export HOME=/var/lib/api
              exec uvicorn todo.main:app --host ::
            '';
            serviceConfig = {
              DynamicUser = true;
              StateDirectory = "api";
              Restart = "always";
            };
          };
          networking.firewall.allowedTCPPorts = [ 8000 ];
        }
      );
    };
    # the image redis: compose.yaml:10 (compose.image, certain)
    cache = {
      # autonix' default for redis.
      cpu = 1;
      memoryMb = 1024;
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
            # compose.yaml:10 (compose.image.tag, certain) asks for 7; this is what nixpkgs has.
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
    # the image postgresql: compose.yaml:10 (compose.image, certain)
    db = {
      # autonix' default for postgresql.
      cpu = 1;
      memoryMb = 1024;
      volumes.data = {
        sizeMb = 1024;
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
            # compose.yaml:10 (compose.image.tag, certain)
            package = pkgs.postgresql_16;
            enableTCPIP = true;
            # No password: only the VMs whose `connect` names this one reach it.
            authentication = ''
              host all all 0.0.0.0/0 trust
            '';
            ensureDatabases = [ "todos" ];
            ensureUsers = [
              {
                name = "todo";
                # As the image's POSTGRES_USER is.
                ensureClauses.superuser = true;
              }
            ];
          };
          networking.firewall.allowedTCPPorts = [ 5432 ];
        }
      );
    };
  };
}

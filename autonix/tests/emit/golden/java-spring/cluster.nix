# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 05bb150429736ec793273300ce34ef4e3a3b07f641b9655b12aa3f9c5c58d053
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
  cluster = "java-spring-settings";
  vms = {
    # pom.xml, started by pom.xml:10 (frameworks.library, likely)
    berth = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 1024;
      network = {
        # postgresql: src/main/resources/application.yml:5 (services.spring, likely) and 1 more; redis: src/main/resources/application.yml:10 (services.spring, likely) and 1 more
        connect = [ "postgresql:5432" "redis:6379" ];
        # src/main/resources/application.yml:2 (java.spring.server-port, certain)
        ports = [
          {
            name = "tcp-9090";
            port = 9090;
          }
        ];
      };
      # src/main/resources/application.yml:2 (java.spring.server-port, certain)
      health.checks = [
        {
          type = "tcp";
          port = 9090;
        }
      ];
      dependsOn = [ "postgresql" "redis" ];
      env = {
        # src/main/resources/application.yml:5 (java.spring.setting, certain)
        SPRING_DATASOURCE_URL = "jdbc:postgresql://postgresql:5432/berth";
        # src/main/resources/application.yml:6 (java.spring.setting, certain)
        SPRING_DATASOURCE_USERNAME = "berth";
        # src/main/resources/application.yml:10 (java.spring.setting, certain)
        SPRING_DATA_REDIS_HOST = "redis";
      };
      configuration = guest (
        { pkgs, ... }: {
          systemd.services.berth = {
            wantedBy = [ "multi-user.target" ];
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
            path = [ packages.berth ];
            # pom.xml:10 (frameworks.library, likely)
            script = ''
              export HOME=/var/lib/berth
              exec ${packages.berth}/bin/berth
            '';
            serviceConfig = {
              DynamicUser = true;
              StateDirectory = "berth";
              Restart = "always";
            };
          };
          networking.firewall.allowedTCPPorts = [ 9090 ];
        }
      );
    };
    # the setting spring.datasource.url: src/main/resources/application.yml:5 (services.spring, likely)
    # the library org.postgresql:postgresql: pom.xml:20 (services.library, likely)
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
            ensureDatabases = [ "berth" ];
            ensureUsers = [
              {
                name = "berth";
                ensureDBOwnership = true;
              }
            ];
          };
          networking.firewall.allowedTCPPorts = [ 5432 ];
        }
      );
    };
    # the setting spring.data.redis.host: src/main/resources/application.yml:10 (services.spring, likely)
    # the library org.springframework.boot:spring-boot-starter-data-redis: pom.xml:15 (services.library, likely)
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

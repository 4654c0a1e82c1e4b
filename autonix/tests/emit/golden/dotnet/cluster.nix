# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 c1d54836d809fb557c4e7b176be9d748ca443a66cee97983f2cc15d0d74149b9
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
  cluster = "dotnet-web";
  vms = {
    # Orders/Orders.csproj, started by Orders/Orders.csproj:1 (dotnet.msbuild.sdk, certain)
    orders-api = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 512;
      network = {
        # postgresql: Orders/Orders.csproj:8 (services.library, likely); rabbitmq: Orders/Orders.csproj:9 (services.library, likely)
        connect = [ "postgresql:5432" "rabbitmq:5672" ];
        # Orders/Properties/launchSettings.json:4 (dotnet.launch-settings, likely)
        ports = [
          {
            name = "tcp-5080";
            port = 5080;
          }
        ];
      };
      dependsOn = [ "postgresql" "rabbitmq" ];
      configuration = guest (
        { pkgs, ... }: {
          systemd.services.orders-api = {
            wantedBy = [ "multi-user.target" ];
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
            path = [ packages.orders-api ];
            # Orders/Orders.csproj:1 (dotnet.msbuild.sdk, certain)
            script = ''
              export HOME=/var/lib/orders-api
              export ASPNETCORE_URLS="''${ASPNETCORE_URLS:-http://0.0.0.0:5080}"
              exec ${packages.orders-api}/bin/orders-api
            '';
            serviceConfig = {
              DynamicUser = true;
              StateDirectory = "orders-api";
              Restart = "always";
            };
          };
          networking.firewall.allowedTCPPorts = [ 5080 ];
        }
      );
    };
    # the library Npgsql: Orders/Orders.csproj:8 (services.library, likely)
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
    # the library RabbitMQ.Client: Orders/Orders.csproj:9 (services.library, likely)
    rabbitmq = {
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

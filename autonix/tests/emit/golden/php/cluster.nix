# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 b793c5455af5fec6f2b0549a2d8a9c9769ca174d44d83bdc5af377d3f75ed245
# Not in the cluster:
# - laravel-test: DB_PASSWORD must be set by hand
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
  cluster = "php-laravel";
  vms = {
    # composer.json, started by artisan:1 (php.console, likely)
    laravel-test = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 512;
      network = {
        # mysql: docker-compose.yml:6 (services.image, certain) and 2 more
        connect = [ "mysql:3306" ];
        # composer.json:7 (frameworks.default-port, likely)
        ports = [
          {
            name = "tcp-8000";
            port = 8000;
          }
        ];
      };
      dependsOn = [ "mysql" ];
      env = {
        # .env.example:1 (env.example, certain)
        DB_CONNECTION = "mysql";
        # .env.example:2 (env.example, certain)
        DB_HOST = "mysql";
      };
      configuration = guest (
        { pkgs, ... }: {
          systemd.services.laravel-test = {
            wantedBy = [ "multi-user.target" ];
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
            path = [ packages.acme-shop ];
            # artisan:1 (php.console, likely)
            script = ''
              export HOME=/var/lib/laravel-test
              exec ${packages.acme-shop}/bin/artisan
            '';
            serviceConfig = {
              DynamicUser = true;
              StateDirectory = "laravel-test";
              Restart = "always";
            };
          };
          networking.firewall.allowedTCPPorts = [ 8000 ];
        }
      );
    };
    # the image mysql/mysql-server:8.0: docker-compose.yml:6 (services.image, certain)
    # Laravel's driver mysql in DB_CONNECTION: .env.example:1 (services.laravel, likely)
    # the library ext-pdo_mysql: composer.json:6 (services.library, likely)
    mysql = {
      # autonix' default for mysql.
      cpu = 1;
      memoryMb = 1024;
      volumes.data = {
        sizeMb = 10240;
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
            # docker-compose.yml:6 (services.image-tag, certain) asks for 8.0; this is what nixpkgs has.
            package = pkgs.mysql84;
            settings.mysqld.bind-address = "0.0.0.0";
          };
          networking.firewall.allowedTCPPorts = [ 3306 ];
        }
      );
    };
  };
}

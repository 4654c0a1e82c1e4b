# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 f44c768835bee037e86ac6cf5cc96540e51479d0cd395b5d827293c4c88ecd87
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
    # composer.json, started by php-fpm behind nginx, as its framework wants: composer.json:7 (frameworks.library, likely)
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
          services.phpfpm.pools.laravel-test = {
            user = "nginx";
            group = "nginx";
            phpPackage = pkgs.php82 or pkgs.php;
            # Defaults; nothing here says how many requests come at once.
            settings = {
              "listen.owner" = "nginx";
              pm = "dynamic";
              "pm.max_children" = 16;
              "pm.start_servers" = 2;
              "pm.min_spare_servers" = 1;
              "pm.max_spare_servers" = 4;
              clear_env = "no";
              catch_workers_output = "yes";
            };
            # The package itself cannot be written to.
            phpEnv = { LARAVEL_STORAGE_PATH = "/var/lib/laravel-test"; };
          };
          services.nginx = {
            enable = true;
            virtualHosts._ = {
              default = true;
              listen = [
                {
                  addr = "0.0.0.0";
                  port = 8000;
                }
              ];
              root = "${packages.acme-shop}/share/php/acme-shop/public";
              locations."/".tryFiles = "$uri /index.php?$query_string";
              locations."~ \\.php$".extraConfig = ''
                include ${pkgs.nginx}/conf/fastcgi.conf;
                fastcgi_pass unix:/run/phpfpm/laravel-test.sock;
              '';
            };
          };
          systemd.tmpfiles.rules = [
            "d /var/lib/laravel-test 0750 nginx nginx -"
            "d /var/lib/laravel-test/app 0750 nginx nginx -"
            "d /var/lib/laravel-test/framework 0750 nginx nginx -"
            "d /var/lib/laravel-test/framework/cache 0750 nginx nginx -"
            "d /var/lib/laravel-test/framework/sessions 0750 nginx nginx -"
            "d /var/lib/laravel-test/framework/views 0750 nginx nginx -"
            "d /var/lib/laravel-test/logs 0750 nginx nginx -"
          ];
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

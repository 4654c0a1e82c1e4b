# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 7391affa0f29fc1104d298e64bce08eff9022c0face58804a0d30e15d4bb1cda
# Not in the cluster:
# - parent: nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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
  cluster = "java-maven";
  vms = {
    # app/pom.xml, started by app/pom.xml:10 (frameworks.library, likely)
    clinic = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 1024;
      network = {
        # postgresql: app/pom.xml:15 (services.library, likely)
        connect = [ "postgresql:5432" ];
        # app/pom.xml:10 (frameworks.default-port, likely)
        ports = [
          {
            name = "tcp-8080";
            port = 8080;
          }
        ];
      };
      dependsOn = [ "postgresql" ];
      configuration = guest (
        { pkgs, ... }: {
          systemd.services.clinic = {
            wantedBy = [ "multi-user.target" ];
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
            path = [ packages.clinic ];
            # app/pom.xml:10 (frameworks.library, likely)
            script = ''
              export HOME=/var/lib/clinic
              exec ${packages.clinic}/bin/clinic
            '';
            serviceConfig = {
              DynamicUser = true;
              StateDirectory = "clinic";
              Restart = "always";
            };
          };
          networking.firewall.allowedTCPPorts = [ 8080 ];
        }
      );
    };
    # the library org.postgresql:postgresql: app/pom.xml:15 (services.library, likely)
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
  };
}

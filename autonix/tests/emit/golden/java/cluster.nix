# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 280842fddb711bfd74cfcb987fc5e45114cce658be4d97eeb13fb3622839f973
# Not in the cluster:
# - clinic (app/pom.xml): the build in . makes it together with the rest
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

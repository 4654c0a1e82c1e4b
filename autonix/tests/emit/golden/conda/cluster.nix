# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 17b45bdda468bc704403e7dcfdeb8304f53740f9f979c855523b477e3de9592f
# Not in the cluster:
# - fieldwork, pixie: nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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
  cluster = "python-conda";
  vms = {
    # the library pymongo: environment.yaml:7 (services.library, likely)
    mongodb = {
      # autonix' default for mongodb.
      cpu = 1;
      memoryMb = 1024;
      volumes.data = {
        sizeMb = 10240;
        mount = "/var/db/mongodb";
      };
      network.ports = [
        {
          name = "mongodb";
          port = 27017;
        }
      ];
      health.checks = [
        {
          type = "tcp";
          port = 27017;
        }
      ];
      configuration = guest (
        { pkgs, ... }: {
          services.mongodb = {
            enable = true;
            bind_ip = "0.0.0.0";
          };
          networking.firewall.allowedTCPPorts = [ 27017 ];
        }
      );
    };
  };
}

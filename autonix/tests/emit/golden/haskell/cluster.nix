# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 b0ecaf27d5fa92756adb7714a6a94e64e0553cbe7bda8570c509224e77c297b5
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
  cluster = "haskell-cabal";
  vms = {
    # harbour.cabal, started by harbour.cabal:20 (haskell.cabal.executable, certain)
    harbour = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 512;
      network = {
        # redis: harbour.cabal:16 (services.library, likely)
        connect = [ "redis:6379" ];
      };
      dependsOn = [ "redis" ];
      configuration = guest (
        { pkgs, ... }: {
          systemd.services.harbour = {
            wantedBy = [ "multi-user.target" ];
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
            path = [ packages.harbour ];
            # harbour.cabal:20 (haskell.cabal.executable, certain)
            script = ''
              export HOME=/var/lib/harbour
              exec ${packages.harbour}/bin/harbour
            '';
            serviceConfig = {
              DynamicUser = true;
              StateDirectory = "harbour";
              Restart = "always";
            };
          };
        }
      );
    };
    # the library hedis: harbour.cabal:16 (services.library, likely)
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

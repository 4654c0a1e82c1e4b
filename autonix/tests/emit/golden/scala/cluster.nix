# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 2f2977eb85eabdf01059044887ed44cd67da28125cdea665814dfaf28b9911b1
# Not in the cluster:
# - tower (build.sbt): nixpkgs has no builder for sbt, and sbt keeps no lock of what it downloads
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
  cluster = "scala-sbt";
  vms = {
    # the library redis.clients:jedis: build.sbt:10 (services.library, likely)
    # the image redis:7.2 in CI: .github/workflows/ci.yml:6 (services.ci-image, likely)
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
            # .github/workflows/ci.yml:6 (services.image-tag, likely) asks for 7.2; this is what nixpkgs has.
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

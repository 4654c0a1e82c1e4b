# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 62f6ac03fc036f37a8a2635ae74ce83be1ae5b2641c1d02f27d13a5f71e18429
# Not in the cluster:
# - otter-api (packages/api/deno.json): nixpkgs has no builder for Deno (it took buildDenoPackage back), and what Deno keeps of its downloads is not the same twice, so no hash can stand for it
# - otter-util (packages/util/deno.jsonc): nixpkgs has no builder for Deno (it took buildDenoPackage back), and what Deno keeps of its downloads is not the same twice, so no hash can stand for it
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
  cluster = "javascript-deno";
  vms = {
    # the library ioredis: packages/api/deno.json:6 (services.library, likely)
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

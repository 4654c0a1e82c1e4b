# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 357015b14a6b935e85d3037e4a7deeb4b31e957ab6cec484a31f14d1a3b5352c
# Not in the cluster:
# - lantern: nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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
  cluster = "c-cmake";
  vms = { };
}

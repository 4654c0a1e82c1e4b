# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 1a4daa6931ea37821724c9c1b5f9bbc342e36b5b12cf40a6ef475075a39623b8
# Not in the cluster:
# - hello: nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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
  cluster = "c-autotools";
  vms = { };
}

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 ed06f3a616060248cbf02ff4afb7f1bdd32b667fbce39e696b0ecb6263e1d52e
# Not in the cluster:
# - thing (mix.exs): nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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
  cluster = "thing";
  vms = { };
}

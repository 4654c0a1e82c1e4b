# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 4407e9b36916815bc5317f14c695ae9a6b94a177aa8f66c0e4d8973e15e3d309
# Not in the cluster:
# - thing (thing.cabal): callCabal2nix builds while it evaluates; `cabal2nix . > package.nix` makes the file to import
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

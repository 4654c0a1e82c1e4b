# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 4aea3e4517702172f7c77ddce5d3f91540d7577038074ae6aaca010ac97ceeca
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
  cluster = "empty";
  vms = { };
}

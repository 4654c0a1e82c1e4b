# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 e4ecc747511c56ed3f8776fe87f99e799c908fdb1ceefaeca9fc969a8d87ffaa
# Not in the cluster:
# - thing (thing.csproj): buildDotnetModule wants a deps.json that `nix build .#NAME.fetch-deps` makes
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

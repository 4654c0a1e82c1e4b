# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 c311209bb4a10de50637fb573ea2cd3ac192c3a36ddcda848da60faf7290c242
# Not in the cluster:
# - thing (Gemfile): bundlerEnv wants a gemset.nix that `bundix` makes from Gemfile.lock
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

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 cf8b285de99378037f54cb1f32ad4c06870d5e426d8535fe130a3ab9cb5d6cbc
# Not in the cluster:
# - thing (composer.json): nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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

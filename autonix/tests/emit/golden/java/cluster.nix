# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 53e7f8715f1fb9afccc6d2ed42449e43ec43703c20dd3fb3d0b9153247d49516
# Not in the cluster:
# - thing (pom.xml): nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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

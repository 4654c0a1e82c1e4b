# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 ae6639fe7f74acf8831725156a322ca371c5bdb20f7cf9c060ceca216d69578d
# Not in the cluster:
# - thing: nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 9f7ec8ddd6e514b8796275306a840e6e8181a8c1594c0f0940a07514c2f82a37
# Not in the cluster:
# - thing (CMakeLists.txt): nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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

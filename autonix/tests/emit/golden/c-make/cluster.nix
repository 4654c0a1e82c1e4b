# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 1fdcb78a6261847e2150d0a20075b9d2d24b234aaad2a26ce01495264e2d228f
# Not in the cluster:
# - c-make, tools: nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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
  cluster = "c-make";
  vms = { };
}

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 75423a19fba71626f17937a1bf99637fa42850b524db559a82bcadee73cb0e9d
# Not in the cluster:
# - zither: nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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
  cluster = "zig-exe";
  vms = { };
}

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 51d7f4e633aa8e46cdc5960c54dfc95e3bfe2a597255641c425213ca10953253
# Not in the cluster:
# - thing (build.zig.zon): nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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

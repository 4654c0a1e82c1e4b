# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 501d43ba77ac9300fee3e1b97bb3db3976e50d56fd977d867aae0f9e649320a7
# Not in the cluster:
# - tidy: nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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
  cluster = "ruby-gem";
  vms = { };
}

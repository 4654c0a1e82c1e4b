# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 fd9927af0b774df87a43accb2225c2e799efa2730fea89d48174542bcd40f8af
# Not in the cluster:
# - quay, quay-core: nothing says how it is started (a start script, a Procfile, a container's command, a program with a port)
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
  cluster = "haskell-stack";
  vms = { };
}

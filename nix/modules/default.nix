# The NixOS modules by name, as the flake's `nixosModules`.
let
  services = {
    control-plane = ./procurator-control-plane.nix;
    worker = ./procurator-worker.nix;
    ci = ./procurator-ci.nix;
    cache = ./procurator-cache.nix;
    repohub = ./procurator-repohub.nix;
  };
in
services
// {
  cluster = ./cluster.nix;
  guest = ./guest.nix;
  default.imports = builtins.attrValues services;
}

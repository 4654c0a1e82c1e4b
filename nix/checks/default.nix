# What `nix flake check` builds where there is nixpkgs: the programs, our modules against nixpkgs' own module system, and
# machines that run them. Without nixpkgs, the tests in nix/tests evaluate the same modules with a stand-in (stand-in/).
{
  lib,
  pkgs,
  modules,
}:
let
  # A key of the right form that signs nothing.
  key = "example-1:${lib.concatStrings (lib.genList (_: "A") 43)}=";
  evaluated = import ./machine.nix {
    inherit lib;
    modules = [
      modules.default
      {
        cluster.machines.control = {
          role = "control-plane";
          address = "10.0.0.1";
          port = 7400;
        };
        networking.hostName = "worker";
        services.procurator.worker = {
          enable = true;
          master = "control";
          ca = "/etc/procurator/ca.pem";
          controlPlaneKeys = [ key ];
          publisherKeys = [ key ];
        };
      }
    ];
  };
in
{
  inherit (pkgs) procurator;

  # The settings that a module renders go through the service's own program.
  worker-settings =
    assert evaluated.failed == [ ];
    pkgs.runCommand "worker-settings"
      {
        toml = evaluated.config.services.procurator.rendered.worker;
        passAsFile = [ "toml" ];
        nativeBuildInputs = [ pkgs.procurator ];
      }
      ''
        procurator-worker --config "$tomlPath" --print-config | tee "$out"
      '';

  machine = pkgs.testers.runNixOSTest (import ./machine-test.nix { inherit modules; });
  guest = pkgs.testers.runNixOSTest (import ./guest-test.nix { inherit modules; });
}

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 9b92319d7bc325c3a3750a4499da9ee28c0423a75821df893b1e20c113235bdb
{
  description = "thing, as autonix found it";
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
  # Procurator's nix/ directory: lib/ and modules/ are in it.
  inputs.procurator = {
    url = "path:/var/lib/procurator/nix";
    flake = false;
  };
  outputs =
    { self, nixpkgs, procurator }:
    let
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};
      inherit (pkgs) lib;
      # The packages of these names; one that this nixpkgs lacks is named on stderr and left out.
      present = scope: lib.concatMap (
        name:
        if builtins.hasAttr name scope then
          [ scope.${name} ]
        else
          builtins.trace "autonix: this nixpkgs has no package ${name}, which is left out" [ ]
      );
      # A package's sources and dependencies, and a command instead of its build.
      checked = package: tools: command: package.overrideAttrs (
        old: {
          nativeBuildInputs = old.nativeBuildInputs or [ ] ++ tools;
          dontBuild = false;
          buildPhase = command;
          installPhase = "touch $out";
          outputs = [ "out" ];
          doCheck = false;
          doInstallCheck = false;
          dontFixup = true;
        }
      );
      packages = {
        # CMakeLists.txt: a project of c, so stdenv with the hooks for CMakeLists.txt
        thing = pkgs.stdenv.mkDerivation {
          # CMakeLists.txt:1 (c.name, certain)
          pname = "thing";
          # CMakeLists.txt: it names none
          version = "0";
          src = ./.;
          nativeBuildInputs = [ pkgs.cmake ];
        };
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.thing; };
      apps.${system} = { };
      checks.${system} = {
        # It builds.
        thing = packages.thing;
      };
      devShells.${system} = {
        # CMakeLists.txt: c
        thing = pkgs.mkShell { packages = [ pkgs.cmake pkgs.gcc pkgs.gnumake ]; };
        # All of the above.
        default = pkgs.mkShell { packages = [ pkgs.cmake pkgs.gcc pkgs.gnumake ]; };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

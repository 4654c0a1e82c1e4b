# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 8943148916225c9ff7bcc2c22cdd18913b7da0df6c04294a6d948ecf68c01842
{
  description = "haskell-stack, as autonix found it";
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
        # app/package.yaml: a project of haskell, so haskellPackages.mkDerivation; its tests run where it is built
        # stack: stack.yaml:1 (haskell.manager, certain)
        quay = pkgs.haskellPackages.mkDerivation {
          # app/package.yaml:1 (haskell.hpack.name, certain)
          pname = "quay";
          # app/package.yaml:2 (haskell.hpack.version, certain)
          version = "1.0.1";
          src = ./app;
          isExecutable = true;
          # a package without a library is none the worse for it
          isLibrary = true;
          # app/package.yaml:6 (haskell.hpack.dependencies, certain) and 1 more
          libraryHaskellDepends = present pkgs.haskellPackages [ "base" ] ++ [ packages.quay-core or null ];
          doHaddock = false;
          # nothing names one
          license = null;
          # app/package.yaml: hpack makes the .cabal file
          libraryToolDepends = [ pkgs.hpack ];
          prePatch = "hpack";
          mainProgram = "quay";
        };
        # core/package.yaml: a project of haskell, so haskellPackages.mkDerivation; its tests run where it is built
        # stack: stack.yaml:1 (haskell.manager, certain)
        quay-core = pkgs.haskellPackages.mkDerivation {
          # core/package.yaml:1 (haskell.hpack.name, certain)
          pname = "quay-core";
          # core/package.yaml:2 (haskell.hpack.version, certain)
          version = "1.0.0";
          src = ./core;
          isExecutable = false;
          # a package without a library is none the worse for it
          isLibrary = true;
          # core/package.yaml:3 (haskell.hpack.dependencies, certain) and 1 more
          libraryHaskellDepends = present pkgs.haskellPackages [ "base" "containers" ];
          doHaddock = false;
          # nothing names one
          license = null;
          # core/package.yaml: hpack makes the .cabal file
          libraryToolDepends = [ pkgs.hpack ];
          prePatch = "hpack";
        };
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages;
      apps.${system} = {
        # app/package.yaml:3 (haskell.hpack.executable, certain)
        quay = {
          type = "app";
          program = "${packages.quay}/bin/quay";
        };
      };
      checks.${system} = {
        # It builds.
        quay = packages.quay;
        # It builds.
        quay-core = packages.quay-core;
      };
      devShells.${system} = {
        # app/package.yaml: haskell
        quay = pkgs.mkShell { packages = [ pkgs.ghc pkgs.cabal-install pkgs.stack ]; };
        # core/package.yaml: haskell
        quay-core = pkgs.mkShell { packages = [ pkgs.ghc pkgs.cabal-install pkgs.stack ]; };
        # All of the above.
        default = pkgs.mkShell { packages = [ pkgs.ghc pkgs.cabal-install pkgs.stack ]; };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 320ca85216860352144e7906205dfced7b8052077fa6e986eb89ca94110800b2
{
  description = "haskell-cabal, as autonix found it";
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
        # harbour.cabal: a project of haskell, so haskellPackages.mkDerivation; its tests run where it is built
        # cabal: harbour.cabal:1 (haskell.manager, certain)
        harbour = pkgs.haskellPackages.mkDerivation {
          # harbour.cabal:1 (haskell.cabal.name, certain)
          pname = "harbour";
          # harbour.cabal:2 (haskell.cabal.version, certain)
          version = "0.2";
          src = ./.;
          isExecutable = true;
          # a package without a library is none the worse for it
          isLibrary = true;
          # harbour.cabal:10 (haskell.cabal.build-depends, certain) and 3 more
          libraryHaskellDepends = present pkgs.haskellPackages [ "base" "bytestring" "hedis" "scotty" ];
          # harbour.cabal:29 (haskell.cabal.build-depends, certain) and 1 more
          testHaskellDepends = present pkgs.haskellPackages [ "criterion" "hspec" ];
          doHaddock = false;
          # nothing names one
          license = null;
          mainProgram = "harbour";
        };
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.harbour; };
      apps.${system} = {
        # harbour.cabal:20 (haskell.cabal.executable, certain)
        harbour = {
          type = "app";
          program = "${packages.harbour}/bin/harbour";
        };
      };
      checks.${system} = {
        # It builds.
        harbour = packages.harbour;
      };
      devShells.${system} = {
        # harbour.cabal: haskell
        harbour = pkgs.mkShell { packages = [ pkgs.ghc pkgs.cabal-install ]; };
        # All of the above.
        default = pkgs.mkShell { packages = [ pkgs.ghc pkgs.cabal-install ]; };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

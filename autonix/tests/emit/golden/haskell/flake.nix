# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 9a0b7961341660296e607c89e0b91d96f11427232d228e6f76c8d8aa403c5f9f
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
      packages = { };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages;
      apps.${system} = { };
      checks.${system} = { };
      devShells.${system} = {
        # thing.cabal: haskell. There is no package: callCabal2nix builds while it evaluates; `cabal2nix . > package.nix` makes the file to import
        thing = pkgs.mkShell { packages = [ pkgs.ghc pkgs.cabal-install ]; };
        # All of the above.
        default = pkgs.mkShell { packages = [ pkgs.ghc pkgs.cabal-install ]; };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 0fc606a9e47a1bf7040c0e14b354be61285a4b55ad8b30b36f12bf6cf63f291d
{
  description = "ruby-rails, as autonix found it";
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
        # Gemfile: ruby. There is no package: bundlerEnv wants a gemset.nix that `bundix` makes from Gemfile.lock
        ruby-rails = pkgs.mkShell {
          packages = [
            # .ruby-version:1 (ruby.ruby-version, certain)
            pkgs.ruby_3_3 or pkgs.ruby
            pkgs.bundler
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # .ruby-version:1 (ruby.ruby-version, certain)
            pkgs.ruby_3_3 or pkgs.ruby
            pkgs.bundler
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

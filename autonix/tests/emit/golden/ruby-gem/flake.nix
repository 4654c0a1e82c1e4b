# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 bc8db352d8f05118aa13e60de4c319563de39266049c9f8c20d25f688c70efcf
{
  # tidy.gemspec:4 (ruby.gemspec.summary, certain)
  description = "Tidies";
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
        # Gemfile: a project of ruby, so buildRubyGem
        # bundler: Gemfile:1 (ruby.manager, certain)
        tidy = pkgs.buildRubyGem {
          # tidy.gemspec:2 (ruby.gemspec.name, certain)
          gemName = "tidy";
          # tidy.gemspec:3 (ruby.gemspec.version, certain)
          version = "0.7.2";
          # tidy.gemspec:5 (ruby.gemspec.required_ruby_version, certain)
          ruby = pkgs.ruby_3_0 or pkgs.ruby;
          # tidy.gemspec:6 (ruby.gemspec.gem, certain): whoever uses the gem brings them
          src = ./.;
          # It is made from its gemspec.
          dontBuild = false;
          meta = {
            # tidy.gemspec:4 (ruby.gemspec.summary, certain)
            description = "Tidies";
          };
        };
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.tidy; };
      apps.${system} = { };
      checks.${system} = {
        # It builds.
        tidy = packages.tidy;
      };
      devShells.${system} = {
        # Gemfile: ruby
        tidy = pkgs.mkShell {
          packages = [
            # tidy.gemspec:5 (ruby.gemspec.required_ruby_version, certain)
            pkgs.ruby_3_0 or pkgs.ruby
            pkgs.bundler
            pkgs.bundix
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # tidy.gemspec:5 (ruby.gemspec.required_ruby_version, certain)
            pkgs.ruby_3_0 or pkgs.ruby
            pkgs.bundler
            pkgs.bundix
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

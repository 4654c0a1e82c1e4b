# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 c9990f1f16df666c92a7df596be056bc2d33ea0be16d164bef75d70a12c01a83
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
      packages = {
        # Gemfile: a project of ruby, so bundlerEnv beside the sources
        # bundler: Gemfile:1 (ruby.manager, certain)
        ruby-rails =
          let
            gems = pkgs.bundlerEnv {
              name = "ruby-rails-gems";
              # .ruby-version:1 (ruby.ruby-version, certain)
              ruby = pkgs.ruby_3_3 or pkgs.ruby;
              # Gemfile.lock:1 (ruby.lock, certain)
              gemdir = ./.;
              # The gems' hashes: `bundix` makes gemset.nix from Gemfile.lock.
              gemset =
                if builtins.pathExists ./gemset.nix then
                  ./gemset.nix
                else
                  { };
              groups = [ "default" "production" ];
            };
          in
          pkgs.stdenv.mkDerivation {
            # Gemfile: it names none, so its directory does
            pname = "ruby-rails";
            # Gemfile: it names none
            version = "0";
            src = ./.;
            nativeBuildInputs = [ gems ];
            dontBuild = true;
            installPhase = ''
              runHook preInstall
              mkdir -p $out/bin
              cp -r . $out/src
              ln -s ${gems}/bin/* $out/bin/
              runHook postInstall
            '';
          };
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.ruby-rails; };
      apps.${system} = { };
      checks.${system} = {
        # It builds.
        ruby-rails = packages.ruby-rails;
      };
      devShells.${system} = {
        # Gemfile: ruby
        ruby-rails = pkgs.mkShell {
          packages = [
            # .ruby-version:1 (ruby.ruby-version, certain)
            pkgs.ruby_3_3 or pkgs.ruby
            pkgs.bundler
            pkgs.bundix
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # .ruby-version:1 (ruby.ruby-version, certain)
            pkgs.ruby_3_3 or pkgs.ruby
            pkgs.bundler
            pkgs.bundix
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

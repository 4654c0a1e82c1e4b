# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 ff6e127d72b68a2aca6cb5dc9536d39f3b588415c48ac63eb99dc908022cc0f0
{
  description = "php-laravel, as autonix found it";
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
        # composer.json: a project of php, so nixpkgs' builder for it
        # composer: composer.json:1 (php.manager, certain)
        acme-shop = pkgs.php.buildComposerProject2 {
          # composer.json:2 (php.composer.name, certain)
          pname = "acme-shop";
          # composer.json: it names none
          version = "0";
          src = ./.;
          # composer.json:5 (php.composer.require, certain)
          php = pkgs.php82 or pkgs.php;
          # what composer.lock names: the first build prints the hash to write here
          vendorHash = lib.fakeHash;
        };
      };
      # What start commands find in PATH besides their own package.
      runtimes = { acme-shop = [ pkgs.php82 or pkgs.php ]; };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.acme-shop; };
      apps.${system} = { };
      checks.${system} = {
        # It builds.
        acme-shop = packages.acme-shop;
      };
      devShells.${system} = {
        # composer.json: php
        acme-shop = pkgs.mkShell {
          packages = [
            # composer.json:5 (php.composer.require, certain)
            pkgs.php82 or pkgs.php
            pkgs.phpPackages.composer
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # composer.json:5 (php.composer.require, certain)
            pkgs.php82 or pkgs.php
            pkgs.phpPackages.composer
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

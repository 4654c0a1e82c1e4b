# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 590244e3dc41a7e97af92548a84df33f59a1c119c8b0d5e3623511497befbf2b
{
  description = "shop, as autonix found it";
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
        # package.json: a project of javascript, so the builder for its lock file, yarn.lock:1 (javascript.yarn.lock, certain)
        # yarn: package.json:4 (javascript.package.manager, certain)
        corner-shop = pkgs.stdenv.mkDerivation (
          final: {
            # package.json:2 (javascript.package.name, certain)
            pname = "corner-shop";
            # package.json:3 (javascript.package.version, certain)
            version = "0.3.1";
            src = ./.;
            offlineCache = pkgs.yarn-berry_4.fetchYarnBerryDeps {
              inherit (final) src;
              # what yarn.lock names: the first build prints the hash to write here
              hash = lib.fakeHash;
            };
            nativeBuildInputs = [
              pkgs.nodejs_20 or pkgs.nodejs
              pkgs.yarn-berry_4
              pkgs.yarn-berry_4.yarnBerryConfigHook
            ];
            buildPhase = ''
              runHook preBuild
              yarn run build
              runHook postBuild
            '';
            installPhase = ''
              runHook preInstall
              mkdir -p $out/lib/app
              cp -r . $out/lib/app
              runHook postInstall
            '';
          }
        );
      };
      # What start commands find in PATH besides their own package.
      runtimes = { corner-shop = [ pkgs.nodejs_20 or pkgs.nodejs ]; };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.corner-shop; };
      apps.${system} = { };
      checks.${system} = {
        # It builds.
        corner-shop = packages.corner-shop;
        # package.json:9 (javascript.package.scripts, certain)
        corner-shop-test = checked packages.corner-shop [ ] "npm run test";
        # package.json:10 (javascript.package.scripts, certain)
        corner-shop-lint-types = checked packages.corner-shop [ ] "npm run lint:types";
      };
      devShells.${system} = {
        # package.json: javascript
        corner-shop = pkgs.mkShell {
          packages = [
            # package.json:12 (javascript.package.engines, certain)
            pkgs.nodejs_20 or pkgs.nodejs
            # package.json:4 (javascript.package.manager, certain)
            pkgs.yarn
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # package.json:12 (javascript.package.engines, certain)
            pkgs.nodejs_20 or pkgs.nodejs
            # package.json:4 (javascript.package.manager, certain)
            pkgs.yarn
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 50fba79bc1b9769efecc21d1ce290460066ce153eb9820f6c4eb9191b391be48
{
  description = "javascript-bun-server, as autonix found it";
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
        # package.json: a project of javascript, so the builder for its lock file, bun.lock:1 (javascript.lock.bun, certain)
        # bun: bun.lock:1 (javascript.manager.lock, certain)
        gull = pkgs.stdenv.mkDerivation (
          final: {
            # package.json:2 (javascript.package.name, certain)
            pname = "gull";
            # package.json:3 (javascript.package.version, certain)
            version = "0.4.0";
            src = ./.;
            bunModules = pkgs.stdenvNoCC.mkDerivation {
              inherit (final) version src;
              pname = "${final.pname}-modules";
              nativeBuildInputs = [ pkgs.bun pkgs.writableTmpDirAsHomeHook ];
              dontConfigure = true;
              buildPhase = ''
                bun install --frozen-lockfile --no-progress --ignore-scripts
              '';
              # A workspace's members may have modules of their own.
              installPhase = ''
                mkdir $out
                find . -name node_modules -type d -prune -exec cp -r --parents {} $out \;
              '';
              dontFixup = true;
              outputHashMode = "recursive";
              # what bun.lock names: the first build prints the hash to write here
              outputHash = lib.fakeHash;
            };
            nativeBuildInputs = [ pkgs.bun ];
            configurePhase = ''
              cp -r "$bunModules/." .
              chmod -R u+w .
            '';
            buildPhase = ''
              runHook preBuild
              bun run build
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
      runtimes = { gull = [ pkgs.bun ]; };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.gull; };
      apps.${system} = { };
      checks.${system} = {
        # It builds.
        gull = packages.gull;
        # package.json:7 (javascript.package.scripts, certain)
        gull-test = checked packages.gull [ ] "bun run test";
      };
      devShells.${system} = {
        # package.json: javascript
        gull = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.nodejs
            # bun.lock:1 (javascript.manager.lock, certain)
            pkgs.bun
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.nodejs
            # bun.lock:1 (javascript.manager.lock, certain)
            pkgs.bun
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 6ea30a492a69711e8f753e555d1a378d60f505f4085da3c2977c652d1895042d
{
  description = "javascript-deno, as autonix found it";
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
      apps.${system} = {
        # packages/api/deno.json:5 (javascript.deno.tasks, certain): to be run in a checkout, as there is no package
        otter-api-start =
          let
            script = pkgs.writeShellApplication {
              name = "otter-api-start";
              runtimeInputs = [
                # nothing asks for a version, so nixpkgs' default
                pkgs.nodejs
                # packages/api/deno.json:1 (javascript.manager.deno, certain)
                pkgs.deno
              ];
              text = ''
                cd ./packages/api
                exec deno task start
              '';
            };
          in
          {
            type = "app";
            program = "${script}/bin/otter-api-start";
          };
      };
      checks.${system} = { };
      devShells.${system} = {
        # packages/api/deno.json: javascript. There is no package: nixpkgs has no builder for Deno (it took buildDenoPackage back), and what Deno keeps of its downloads is not the same twice, so no hash can stand for it
        otter-api = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.nodejs
            # packages/api/deno.json:1 (javascript.manager.deno, certain)
            pkgs.deno
          ];
        };
        # packages/util/deno.jsonc: javascript. There is no package: nixpkgs has no builder for Deno (it took buildDenoPackage back), and what Deno keeps of its downloads is not the same twice, so no hash can stand for it
        otter-util = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.nodejs
            # packages/util/deno.jsonc:1 (javascript.manager.deno, certain)
            pkgs.deno
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.nodejs
            # packages/api/deno.json:1 (javascript.manager.deno, certain)
            pkgs.deno
            # packages/util/deno.jsonc:1 (javascript.manager.deno, certain)
            pkgs.deno
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

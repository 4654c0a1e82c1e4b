# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 f415b764e8a88a91cb9f40c9b00e637b1092bbe30bc3021740c41d2bf9e1d6c8
{
  description = "python-conda, as autonix found it";
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
        # environment.yaml: a project of python, so python.withPackages beside the sources, as nothing tells how to build it
        # conda: environment.yaml:1 (python.manager.conda, certain)
        fieldwork =
          let
            # environment.yaml:5 (python.conda.python, certain)
            python = pkgs.python311 or pkgs.python3;
            # environment.yaml:6 (python.conda.dependencies, certain) and 1 more
            environment = python.withPackages (ps: present ps [ "pandas" "pymongo" ]);
          in
          pkgs.stdenv.mkDerivation {
            # environment.yaml:2 (python.conda.name, certain)
            pname = "fieldwork";
            # environment.yaml: it names none
            version = "0";
            src = ./.;
            nativeBuildInputs = [ environment ];
            dontBuild = true;
            installPhase = ''
              runHook preInstall
              mkdir -p $out/bin
              cp -r . $out/src
              ln -s ${environment}/bin/* $out/bin/
              runHook postInstall
            '';
          };
        # pixi/pixi.toml: a project of python, so python.withPackages beside the sources, as nothing tells how to build it
        # pixi: pixi/pixi.lock:1 (python.manager.lock, certain)
        pixie =
          let
            # pixi/pixi.toml:7 (python.pixi.python, certain)
            python = pkgs.python312 or pkgs.python3;
            # pixi/pixi.toml:8 (python.pixi.dependencies, certain) and 1 more
            environment = python.withPackages (ps: present ps [ "polars" "rich" ]);
          in
          pkgs.stdenv.mkDerivation {
            # pixi/pixi.toml:2 (python.pixi.name, certain)
            pname = "pixie";
            # pixi/pixi.toml:3 (python.pixi.version, certain)
            version = "0.1.0";
            src = ./pixi;
            nativeBuildInputs = [ environment ];
            dontBuild = true;
            installPhase = ''
              runHook preInstall
              mkdir -p $out/bin
              cp -r . $out/src
              ln -s ${environment}/bin/* $out/bin/
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
      packages.${system} = packages // { default = packages.fieldwork; };
      apps.${system} = { };
      checks.${system} = {
        # It builds.
        fieldwork = packages.fieldwork;
        # It builds.
        pixie = packages.pixie;
        # pixi/pixi.toml:17 (python.pixi.tasks, certain)
        pixie-test = checked packages.pixie [ ] "pytest";
        # pixi/pixi.toml:18 (python.pixi.tasks, certain)
        pixie-lint = checked packages.pixie [ ] "ruff check";
      };
      devShells.${system} = {
        # environment.yaml: python
        fieldwork = pkgs.mkShell {
          packages = [
            # environment.yaml:5 (python.conda.python, certain)
            pkgs.python311 or pkgs.python3
            # environment.yaml:1 (python.manager.conda, certain)
            pkgs.conda
          ];
        };
        # pixi/pixi.toml: python
        pixie = pkgs.mkShell {
          packages = [
            # pixi/pixi.toml:7 (python.pixi.python, certain)
            pkgs.python312 or pkgs.python3
            # pixi/pixi.lock:1 (python.manager.lock, certain)
            pkgs.pixi
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # environment.yaml:5 (python.conda.python, certain)
            pkgs.python311 or pkgs.python3
            # environment.yaml:1 (python.manager.conda, certain)
            pkgs.conda
            # pixi/pixi.toml:7 (python.pixi.python, certain)
            pkgs.python312 or pkgs.python3
            # pixi/pixi.lock:1 (python.manager.lock, certain)
            pkgs.pixi
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

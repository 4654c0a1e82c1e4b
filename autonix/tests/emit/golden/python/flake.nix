# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 4b33626a10b7fce9ae09d243b3d6c811957740ab1bfba001f9877be302f1f957
{
  # pyproject.toml:4 (python.pep621.description, certain)
  description = "A \"to do\" list for \${everyone}";
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
        # pyproject.toml: a project of python, so buildPythonApplication
        # uv: uv.lock:1 (python.uv.lock, certain)
        todo-api =
          let
            # pyproject.toml:5 (python.pep621.requires-python, certain)
            python = pkgs.python312 or pkgs.python3;
          in
          python.pkgs.buildPythonApplication {
            # pyproject.toml:2 (python.pep621.name, certain)
            pname = "todo-api";
            # pyproject.toml:3 (python.pep621.version, certain)
            version = "1.4.0";
            pyproject = true;
            src = ./.;
            # pyproject.toml:30 (python.pep621.build-system, certain)
            build-system = present python.pkgs [ "hatchling" ];
            # pyproject.toml:8 (python.pep621.dependencies, certain) and 2 more
            dependencies = present python.pkgs [ "fastapi" "uvicorn" "ruamel-yaml" ];
            # nixpkgs has one version of each package, so bounds are not held
            pythonRelaxDeps = true;
            meta = {
              # pyproject.toml:4 (python.pep621.description, certain)
              description = "A \"to do\" list for \${everyone}";
              mainProgram = "todo-api";
            };
          };
      };
      # What start commands find in PATH besides their own package.
      runtimes = {
        todo-api = [
          ((pkgs.python312 or pkgs.python3).withPackages (ps: [ (ps.toPythonModule packages.todo-api) ]))
        ];
      };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.todo-api; };
      apps.${system} = {
        # pyproject.toml:20 (python.pep621.scripts, certain)
        todo-api = {
          type = "app";
          program = "${packages.todo-api}/bin/todo-api";
        };
      };
      checks.${system} = {
        # It builds.
        todo-api = packages.todo-api;
        # Makefile:4 (tasks.make.target, certain)
        todo-api-test = checked
          packages.todo-api
          ([ pkgs.gnumake ] ++ present (pkgs.python312 or pkgs.python3).pkgs [ "pytest" "pytest-asyncio" ])
          "make test";
      };
      devShells.${system} = {
        # pyproject.toml: python
        todo-api = pkgs.mkShell {
          packages = [
            # pyproject.toml:5 (python.pep621.requires-python, certain)
            pkgs.python312 or pkgs.python3
            # uv.lock:1 (python.uv.lock, certain)
            pkgs.uv
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # pyproject.toml:5 (python.pep621.requires-python, certain)
            pkgs.python312 or pkgs.python3
            # uv.lock:1 (python.uv.lock, certain)
            pkgs.uv
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

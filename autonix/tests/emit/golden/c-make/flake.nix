# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 347fb1ee7280bea5e37c4165241d7d2314f146d8fcc4c5e44bdb24adb63baa69
{
  description = "c-make, as autonix found it";
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
        # Makefile: a project of c, so stdenv with the hooks for Makefile
        # make: Makefile:1 (c.manager, certain)
        c-make = pkgs.stdenv.mkDerivation {
          # Makefile: it names none, so its directory does
          pname = "c-make";
          # Makefile: it names none
          version = "0";
          src = ./.;
          nativeBuildInputs = [ ];
          # Makefile has no target `install`
          installPhase = ''
            runHook preInstall
            install -Dm755 -t $out/bin -- sift
            runHook postInstall
          '';
          meta = { mainProgram = "sift"; };
        };
        # tools/requirements.txt: a project of python, so python.withPackages beside the sources, as nothing tells how to build it
        # pip: tools/requirements.txt:1 (python.manager.default, likely)
        tools =
          let
            # nothing asks for a version, so nixpkgs' default
            python = pkgs.python3;
            # tools/requirements.txt:1 (python.requirements, certain)
            environment = python.withPackages (ps: present ps [ "requests" ]);
          in
          pkgs.stdenv.mkDerivation {
            # tools/requirements.txt: it names none, so its directory does
            pname = "tools";
            # tools/requirements.txt: it names none
            version = "0";
            src = ./tools;
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
      packages.${system} = packages // { default = packages.c-make; };
      apps.${system} = {
        # Makefile:2 (c.make.variable, likely)
        sift = {
          type = "app";
          program = "${packages.c-make}/bin/sift";
        };
      };
      checks.${system} = {
        # It builds.
        c-make = packages.c-make;
        # It builds.
        tools = packages.tools;
      };
      devShells.${system} = {
        # Makefile: c
        c-make = pkgs.mkShell { packages = [ pkgs.gcc pkgs.gnumake ]; };
        # tools/requirements.txt: python
        tools = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.python3
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            pkgs.gcc
            pkgs.gnumake
            # nothing asks for a version, so nixpkgs' default
            pkgs.python3
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

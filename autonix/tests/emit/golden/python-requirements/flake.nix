# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 a73b3e70aa05369991c3d87817fb45a284bba1b2eeae7583a80267b4b4fcf7e0
{
  description = "guestbook, as autonix found it";
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
        # requirements.txt: a project of python, so python.withPackages beside the sources, as nothing tells how to build it
        guestbook =
          let
            # nothing asks for a version, so nixpkgs' default
            python = pkgs.python3;
            # requirements.txt:1 (python.requirements, certain)
            environment = python.withPackages (ps: present ps [ "flask" ]);
          in
          pkgs.stdenv.mkDerivation {
            # requirements.txt: it names none, so its directory does
            pname = "guestbook";
            # requirements.txt: it names none
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
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.guestbook; };
      apps.${system} = { };
      checks.${system} = {
        # It builds.
        guestbook = packages.guestbook;
      };
      devShells.${system} = {
        # requirements.txt: python
        guestbook = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.python3
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.python3
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

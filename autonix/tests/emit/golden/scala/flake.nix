# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 85cedf6c4ec286415e9ab79f3aaf96e58c336ce102ffe843430016cf5231104d
{
  description = "scala-sbt, as autonix found it";
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
        # build.sbt:5 (java.sbt.mainClass, certain): to be run in a checkout, as there is no package
        tower-run =
          let
            script = pkgs.writeShellApplication {
              name = "tower-run";
              runtimeInputs = [
                # .github/workflows/ci.yml:9 (ci.github.tool, certain)
                pkgs.jdk21 or pkgs.jdk
                pkgs.sbt
              ];
              text = ''
                exec sbt run
              '';
            };
          in
          {
            type = "app";
            program = "${script}/bin/tower-run";
          };
      };
      checks.${system} = { };
      devShells.${system} = {
        # build.sbt: java. There is no package: nixpkgs has no builder for sbt, and sbt keeps no lock of what it downloads
        tower = pkgs.mkShell {
          packages = [
            # .github/workflows/ci.yml:9 (ci.github.tool, certain)
            pkgs.jdk21 or pkgs.jdk
            pkgs.sbt
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # .github/workflows/ci.yml:9 (ci.github.tool, certain)
            pkgs.jdk21 or pkgs.jdk
            pkgs.sbt
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

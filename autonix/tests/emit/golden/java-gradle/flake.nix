# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 bf05bcfbf876f0d1e6b9a76ce93ff49f3f2863143d475ba5b3f83e1c726647b3
{
  description = "java-gradle-kotlin, as autonix found it";
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
        # settings.gradle.kts: a project of java, so nixpkgs' builder for it
        # gradle: settings.gradle.kts:1 (java.manager, certain)
        ledger = pkgs.stdenv.mkDerivation (
          final: {
            # settings.gradle.kts:1 (java.gradle.name, certain)
            pname = "ledger";
            # settings.gradle.kts: it names none
            version = "0";
            src = ./.;
            nativeBuildInputs = [ pkgs.makeWrapper pkgs.gradle pkgs.jdk ];
            # What Gradle downloads: `nix build .#ledger.mitmCache.updateScript`, once a deps.json with `{}` is there.
            mitmCache = pkgs.gradle.fetchDeps {
              pkg = final.finalPackage;
              data =
                if builtins.pathExists ./deps.json then
                  ./deps.json
                else
                  { };
            };
            gradleBuildTask = "assemble";
            installPhase = ''
              runHook preInstall
              mkdir -p $out/share/java
              find . -path '*/build/libs/*.jar' ! -name '*-sources.jar' ! -name '*-javadoc.jar' ! -name '*-plain.jar' -exec cp -t $out/share/java {} +
              runHook postInstall
            '';
          }
        );
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.ledger; };
      apps.${system} = { };
      checks.${system} = {
        # It builds.
        ledger = packages.ledger;
      };
      devShells.${system} = {
        # settings.gradle.kts: java
        ledger = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.jdk
            pkgs.gradle
          ];
        };
        # server/build.gradle.kts: java. There is no package: the build in . makes it together with the rest
        server = pkgs.mkShell {
          packages = [
            # server/build.gradle.kts:7 (java.gradle.java, certain)
            pkgs.jdk17 or pkgs.jdk
            pkgs.gradle
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.jdk
            pkgs.gradle
            # server/build.gradle.kts:7 (java.gradle.java, certain)
            pkgs.jdk17 or pkgs.jdk
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

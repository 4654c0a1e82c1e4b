# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 2a1824518e5e45088b38c5b9febd4606314bf117df5295d3bfacb7309b76e11f
{
  description = "java-maven, as autonix found it";
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
        # pom.xml: a project of java, so nixpkgs' builder for it
        # maven: pom.xml:1 (java.manager, certain)
        parent = pkgs.maven.buildMavenPackage {
          # pom.xml:4 (java.maven.artifactId, certain)
          pname = "parent";
          # pom.xml:5 (java.maven.version, certain)
          version = "2.3.0";
          src = ./.;
          nativeBuildInputs = [ pkgs.makeWrapper pkgs.jdk21 or pkgs.jdk ];
          # pom.xml:8 (java.maven.properties, certain)
          mvnJdk = pkgs.jdk21 or pkgs.jdk;
          # what pom.xml names: the first build prints the hash to write here
          mvnHash = lib.fakeHash;
          # Tests are checks of their own.
          mvnParameters = "-DskipTests";
          installPhase = ''
            runHook preInstall
            mkdir -p $out/share/java
            find . -path '*/target/*.jar' ! -name '*-sources.jar' ! -name '*-javadoc.jar' ! -name '*-plain.jar' -exec cp -t $out/share/java {} +
            runHook postInstall
          '';
        };
        # app/pom.xml: a project of java, so nixpkgs' builder for it
        # maven: app/pom.xml:1 (java.manager, certain)
        clinic = pkgs.maven.buildMavenPackage {
          # app/pom.xml:7 (java.maven.artifactId, certain)
          pname = "clinic";
          # app/pom.xml:5 (java.maven.parent, certain)
          version = "2.3.0";
          src = ./.;
          nativeBuildInputs = [ pkgs.makeWrapper pkgs.jdk21 or pkgs.jdk ];
          # pom.xml:8 (java.maven.properties, certain)
          mvnJdk = pkgs.jdk21 or pkgs.jdk;
          # what pom.xml names: the first build prints the hash to write here
          mvnHash = lib.fakeHash;
          # Tests are checks of their own.
          mvnParameters = "-DskipTests -pl app -am";
          installPhase = ''
            runHook preInstall
            mkdir -p $out/share/java
            find . -path '*/app/target/*.jar' ! -name '*-sources.jar' ! -name '*-javadoc.jar' ! -name '*-plain.jar' -exec cp -t $out/share/java {} +
            makeWrapper ${pkgs.jdk21 or pkgs.jdk}/bin/java $out/bin/clinic --add-flags "-jar $(ls $out/share/java/*.jar | head -n 1)"
            runHook postInstall
          '';
          meta = { mainProgram = "clinic"; };
        };
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.parent; };
      apps.${system} = { };
      checks.${system} = {
        # It builds.
        parent = packages.parent;
        # It builds.
        clinic = packages.clinic;
      };
      devShells.${system} = {
        # pom.xml: java
        parent = pkgs.mkShell {
          packages = [
            # pom.xml:8 (java.maven.properties, certain)
            pkgs.jdk21 or pkgs.jdk
            pkgs.maven
          ];
        };
        # app/pom.xml: java
        clinic = pkgs.mkShell {
          packages = [
            # pom.xml:8 (java.maven.properties, certain)
            pkgs.jdk21 or pkgs.jdk
            pkgs.maven
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # pom.xml:8 (java.maven.properties, certain)
            pkgs.jdk21 or pkgs.jdk
            pkgs.maven
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

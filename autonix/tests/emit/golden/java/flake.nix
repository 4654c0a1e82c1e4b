# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 4544135016a874231380f5655f2ecba274b483b4af2e6944437c0a6a9ceea5d6
{
  description = "thing, as autonix found it";
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
        thing = pkgs.maven.buildMavenPackage {
          # pom.xml:1 (java.name, certain)
          pname = "thing";
          # pom.xml: it names none
          version = "0";
          src = ./.;
          # what pom.xml names: the first build prints the hash to write here
          mvnHash = lib.fakeHash;
        };
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.thing; };
      apps.${system} = { };
      checks.${system} = {
        # It builds.
        thing = packages.thing;
      };
      devShells.${system} = {
        # pom.xml: java
        thing = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.jdk
            pkgs.maven
            pkgs.gradle
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.jdk
            pkgs.maven
            pkgs.gradle
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

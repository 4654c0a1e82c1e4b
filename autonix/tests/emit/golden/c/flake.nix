# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 64e435aafa87746ba10bbf5bcaeec274e44b80a2149a1d8e2274cd83f467c643
{
  description = "c-cmake, as autonix found it";
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
        # CMakeLists.txt: a project of c, so stdenv with the hooks for CMakeLists.txt
        # cmake: CMakeLists.txt:1 (c.manager, certain)
        lantern = pkgs.stdenv.mkDerivation {
          # CMakeLists.txt:3 (c.cmake.project, certain)
          pname = "lantern";
          # CMakeLists.txt:3 (c.cmake.version, certain)
          version = "2.4.1";
          src = ./.;
          nativeBuildInputs = [ pkgs.cmake pkgs.pkg-config ];
          # CMakeLists.txt:9 (c.cmake.find_package, certain) and 2 more
          buildInputs = present pkgs [ "openssl" "zlib" "curl" ];
        };
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.lantern; };
      apps.${system} = {
        # CMakeLists.txt:13 (c.cmake.add_executable, certain)
        lanternd = {
          type = "app";
          program = "${packages.lantern}/bin/lanternd";
        };
        # CMakeLists.txt:14 (c.cmake.add_executable, certain)
        lantern-cli = {
          type = "app";
          program = "${packages.lantern}/bin/lantern-cli";
        };
      };
      checks.${system} = {
        # It builds.
        lantern = packages.lantern;
      };
      devShells.${system} = {
        # CMakeLists.txt: c
        lantern = pkgs.mkShell { packages = [ pkgs.cmake pkgs.pkg-config pkgs.gcc pkgs.gnumake ]; };
        # All of the above.
        default = pkgs.mkShell { packages = [ pkgs.cmake pkgs.pkg-config pkgs.gcc pkgs.gnumake ]; };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

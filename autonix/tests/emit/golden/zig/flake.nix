# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 294c086eb83c19178e01e768f943bd39e620d6d0b4312d8c633712253edd9bc6
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
        # build.zig.zon: a project of zig, so nixpkgs' builder for it
        thing = pkgs.stdenv.mkDerivation {
          # build.zig.zon:1 (zig.name, certain)
          pname = "thing";
          # build.zig.zon: it names none
          version = "0";
          src = ./.;
          nativeBuildInputs = [ pkgs.zig.hook ];
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
        # build.zig.zon: zig
        thing = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.zig
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.zig
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

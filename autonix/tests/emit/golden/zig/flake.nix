# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 1ea398e2f84a8ebccc3e8ec3078eed98cca0a8633e4e3b94e97651f062167289
{
  description = "zig-exe, as autonix found it";
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
        # zig: build.zig.zon:1 (zig.manager, certain)
        zither =
          let
            # .tool-versions:1 (toolchain.tool-versions, certain)
            zig = pkgs.zig_0_14 or pkgs.zig;
          in
          pkgs.stdenv.mkDerivation (
            final: {
              # build.zig.zon:2 (zig.zon.name, certain)
              pname = "zither";
              # build.zig.zon:3 (zig.zon.version, certain)
              version = "1.0.0";
              src = ./.;
              nativeBuildInputs = [ zig.hook or zig ];
              zigDeps = zig.fetchDeps {
                inherit (final) pname version src;
                # what build.zig.zon names: the first build prints the hash to write here
                hash = lib.fakeHash;
              };
              postConfigure = ''
                ln -s ${final.zigDeps} "$ZIG_GLOBAL_CACHE_DIR/p"
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
      packages.${system} = packages // { default = packages.zither; };
      apps.${system} = {
        # build.zig:3 (zig.build.addExecutable, likely)
        zither = {
          type = "app";
          program = "${packages.zither}/bin/zither";
        };
        # build.zig:7 (zig.build.addExecutable, likely)
        zither-tune = {
          type = "app";
          program = "${packages.zither}/bin/zither-tune";
        };
      };
      checks.${system} = {
        # It builds.
        zither = packages.zither;
        # build.zig.zon: what every project of zig has
        zither-test = checked packages.zither [ ] "zig build test \${zigDeps:+--system $zigDeps}";
      };
      devShells.${system} = {
        # build.zig.zon: zig
        zither = pkgs.mkShell {
          packages = [
            # .tool-versions:1 (toolchain.tool-versions, certain)
            pkgs.zig_0_14 or pkgs.zig
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # .tool-versions:1 (toolchain.tool-versions, certain)
            pkgs.zig_0_14 or pkgs.zig
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 1c6f18060fe0784d26d09fe8779a25d6cd2da4a261492645f80b877ded319300
{
  description = "elixir-phoenix, as autonix found it";
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
        # mix.exs: a project of elixir, so nixpkgs' builder for it
        # mix: mix.exs:1 (elixir.manager, certain)
        forum = pkgs.beamPackages.mixRelease (
          lib.fix (
            final: {
              # mix.exs:8 (elixir.mix.app, certain)
              pname = "forum";
              # mix.exs:4 (elixir.mix.version, certain)
              version = "0.2.0";
              src = ./.;
              mixFodDeps = pkgs.beamPackages.fetchMixDeps {
                inherit (final) pname version src;
                # what mix.lock names: the first build prints the hash to write here
                hash = lib.fakeHash;
              };
            }
          )
        );
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.forum; };
      apps.${system} = { };
      checks.${system} = {
        # It builds.
        forum = packages.forum;
      };
      devShells.${system} = {
        # mix.exs: elixir
        forum = pkgs.mkShell {
          packages = [
            # .tool-versions:1 (toolchain.tool-versions, certain)
            pkgs.elixir_1_16 or pkgs.elixir
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # .tool-versions:1 (toolchain.tool-versions, certain)
            pkgs.elixir_1_16 or pkgs.elixir
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

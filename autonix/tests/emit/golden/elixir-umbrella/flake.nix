# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 5f05cf77d5a659509636039997d591520fdcb35d477c1f409634da4e29a5ff30
{
  description = "elixir-umbrella, as autonix found it";
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
        # apps/ledger_web/mix.exs: a project of elixir, so nixpkgs' builder for it
        # mix: apps/ledger_web/mix.exs:1 (elixir.manager, certain)
        ledger-web = pkgs.beamPackages.mixRelease (
          lib.fix (
            final: {
              # apps/ledger_web/mix.exs:6 (elixir.mix.app, certain)
              pname = "ledger_web";
              # apps/ledger_web/mix.exs:7 (elixir.mix.version, certain)
              version = "0.3.0";
              src = ./.;
              mixFodDeps = pkgs.beamPackages.fetchMixDeps {
                inherit (final) pname version src;
                # what mix.lock names: the first build prints the hash to write here
                hash = lib.fakeHash;
              };
              # One release an application.
              preInstall = ''
                cd ./apps/ledger_web
              '';
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
      packages.${system} = packages // { default = packages.ledger-web; };
      apps.${system} = {
        # apps/ledger_web/mix.exs:17 (elixir.mix.mod, certain)
        ledger_web = {
          type = "app";
          program = "${packages.ledger-web}/bin/ledger_web";
        };
      };
      checks.${system} = {
        # It builds.
        ledger-web = packages.ledger-web;
      };
      devShells.${system} = {
        # mix.exs: elixir. There is no package: an umbrella is no application: each of its applications that starts is a release of its own
        elixir-umbrella = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.elixir
          ];
        };
        # apps/ledger/mix.exs: elixir. There is no package: a library of the umbrella in ., built with the applications that need it
        ledger = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.elixir
          ];
        };
        # apps/ledger_web/mix.exs: elixir
        ledger-web = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.elixir
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # nothing asks for a version, so nixpkgs' default
            pkgs.elixir
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 eacb9e6cccc4acca563196d418f10f11a75dfb39dee7ae46f597d2b44d8f29a1
{
  description = "ledger, as autonix found it";
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
        # backend/go.mod: a project of go, so buildGoModule
        ledger = pkgs.buildGoModule.override {
          # backend/go.mod:3 (go.mod.go, certain)
          go = pkgs.go_1_22 or pkgs.go;
        } {
          # backend/go.mod:1 (go.mod.module, certain)
          pname = "ledger";
          # backend/go.mod: it names none
          version = "0";
          src = ./backend;
          # what go.sum names, as backend/go.mod:5 (go.mod.require, certain) says: the first build prints the hash to write here
          vendorHash = lib.fakeHash;
          meta = { mainProgram = "ledger"; };
        };
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.ledger; };
      apps.${system} = {
        # backend/main.go:1 (go.main, certain)
        ledger = {
          type = "app";
          program = "${packages.ledger}/bin/ledger";
        };
      };
      checks.${system} = {
        # It builds.
        ledger = packages.ledger;
        # backend/go.mod: what every project of go has
        ledger-test = checked packages.ledger [ pkgs.golangci-lint ] "go test ./...";
        # backend/go.mod: what every project of go has
        ledger-lint = checked packages.ledger [ pkgs.golangci-lint ] "go vet ./...";
      };
      devShells.${system} = {
        # backend/go.mod: go
        ledger = pkgs.mkShell {
          packages = [
            # backend/go.mod:3 (go.mod.go, certain)
            pkgs.go_1_22 or pkgs.go
            pkgs.gopls
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # backend/go.mod:3 (go.mod.go, certain)
            pkgs.go_1_22 or pkgs.go
            pkgs.gopls
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 d09b52db2b3be7e7209777c015036519c622865fcad458e0710287f51739f315
{
  description = "ferry, as autonix found it";
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
        # crates/server/Cargo.toml: a project of rust, so buildRustPackage
        server = pkgs.rustPlatform.buildRustPackage {
          # crates/server/Cargo.toml:2 (rust.package.name, certain)
          pname = "server";
          # Cargo.toml:5 (rust.workspace.version, certain)
          version = "0.9.0";
          src = ./.;
          # Cargo.lock:1 (rust.cargo.lock, certain)
          cargoLock = {
            lockFile = ./Cargo.lock;
            # git dependencies are pinned by their commit
            allowBuiltinFetchGit = true;
          };
          buildAndTestSubdir = "crates/server";
          meta = { mainProgram = "server"; };
        };
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.server; };
      apps.${system} = {
        # crates/server/Cargo.toml:1 (rust.bin, certain)
        server = {
          type = "app";
          program = "${packages.server}/bin/server";
        };
      };
      checks.${system} = {
        # It builds.
        server = packages.server;
        # crates/server/Cargo.toml: what every project of rust has
        server-test = checked
          packages.server
          [ pkgs.clippy pkgs.rustfmt ]
          "cd ./crates/server && cargo test --offline";
        # crates/server/Cargo.toml: what every project of rust has
        server-lint = checked
          packages.server
          [ pkgs.clippy pkgs.rustfmt ]
          "cd ./crates/server && cargo clippy --offline -- -D warnings";
      };
      devShells.${system} = {
        # crates/server/Cargo.toml: rust
        server = pkgs.mkShell {
          packages = [
            # rust-toolchain.toml:2 (rust.toolchain.channel, certain) pins 1.78.0: rustup reads it
            pkgs.rustup
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # rust-toolchain.toml:2 (rust.toolchain.channel, certain) pins 1.78.0: rustup reads it
            pkgs.rustup
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

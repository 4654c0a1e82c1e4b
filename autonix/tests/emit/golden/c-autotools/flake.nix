# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 c89e06aa65dbba8856caf293fc85a2ec53531b0469b49707ebcd3c7634a94197
{
  description = "c-autotools, as autonix found it";
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
        # configure.ac: a project of c, so stdenv with the hooks for configure.ac
        # autotools: configure.ac:1 (c.manager, certain)
        hello = pkgs.stdenv.mkDerivation {
          # configure.ac:3 (c.autotools.name, certain)
          pname = "hello";
          # configure.ac:3 (c.autotools.version, certain)
          version = "2.12.1";
          src = ./.;
          nativeBuildInputs = [ pkgs.autoreconfHook pkgs.pkg-config ];
          # configure.ac:7 (c.autotools.pkg-config, certain)
          buildInputs = present pkgs [ "curl" ];
          meta = { mainProgram = "hello"; };
        };
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.hello; };
      apps.${system} = {
        # Makefile.am:1 (c.automake.programs, certain)
        hello = {
          type = "app";
          program = "${packages.hello}/bin/hello";
        };
      };
      checks.${system} = {
        # It builds.
        hello = packages.hello;
      };
      devShells.${system} = {
        # configure.ac: c
        hello = pkgs.mkShell { packages = [ pkgs.autoreconfHook pkgs.pkg-config pkgs.gcc pkgs.gnumake ]; };
        # All of the above.
        default = pkgs.mkShell { packages = [ pkgs.autoreconfHook pkgs.pkg-config pkgs.gcc pkgs.gnumake ]; };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}

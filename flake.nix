{
  description = "Procurator: a fleet of NixOS microVMs from Git";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      eachSystem = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
      ];
      pkgsOf = system: nixpkgs.legacyPackages.${system}.extend self.overlays.default;
    in
    {
      # mkCluster, evalCluster and, with the guest's parts, mkSystem: `procurator.lib.x86_64-linux`.
      lib = eachSystem (system: import ./nix/lib { inherit system; });

      # Sets, as `nix flake check` of nix 2.8 takes no paths here; what several of them import is there once all the same.
      nixosModules = builtins.mapAttrs (_name: module: { imports = [ module ]; }) (import ./nix/modules);

      overlays.default = final: prev: { procurator = final.callPackage ./nix/package.nix { }; };

      packages = eachSystem (
        system:
        let
          inherit (pkgsOf system) procurator;
        in
        {
          inherit procurator;
          default = procurator;
        }
      );

      templates.default = {
        path = ./example/nixos;
        description = "A cluster of two web servers, a database and a computation, with NixOS guests";
        welcomeText = ''
          `cluster.nix` is the cluster. In `flake.nix`, let the input `procurator` point to Procurator's `nix` directory.
        '';
      };

      devShells = eachSystem (
        system:
        let
          pkgs = pkgsOf system;
        in
        {
          default = pkgs.mkShell {
            inputsFrom = [ pkgs.procurator ];
            packages = import ./nix/shell.nix { inherit pkgs; };
          };
        }
      );

      checks = eachSystem (
        system:
        import ./nix/checks {
          inherit lib;
          pkgs = pkgsOf system;
          modules = self.nixosModules;
        }
      );

      formatter = eachSystem (system: (pkgsOf system).nixfmt);
    };
}

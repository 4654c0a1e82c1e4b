{
  description = "Procurator's reference cluster on NixOS";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
  # Procurator's nix/ directory, in which lib/ and modules/ are: where it lies is different on every machine.
  inputs.procurator = {
    url = "path:/var/lib/procurator/nix";
    flake = false;
  };

  outputs =
    {
      self,
      nixpkgs,
      procurator,
    }:
    let
      system = "x86_64-linux";
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.evalCluster {
        inherit (nixpkgs) lib;
        modules = [ ./cluster.nix ];
        specialArgs = {
          # A NixOS module as the System of a VM.
          guest =
            module:
            nixpkgs.lib.nixosSystem {
              inherit system;
              modules = [
                "${procurator}/modules/guest.nix"
                module
              ];
            };
        };
      };
    in
    {
      inherit (cluster)
        blueprint
        blueprintJSON
        nixosConfigurations
        packages
        ;
      checks.${system} = import ./checks.nix { pkgs = nixpkgs.legacyPackages.${system}; };
    };
}

{
  description = "A stand-in for nixpkgs: builders that check their arguments, and no package that could be built";

  outputs =
    { self }:
    {
      legacyPackages.x86_64-linux = import ./packages.nix;
      lib = import ./lib.nix // {
        nixosSystem = import ./nixos.nix { pkgs = self.legacyPackages.x86_64-linux; };
      };
    };
}

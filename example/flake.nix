{
  description = "Procurator's reference cluster: it evaluates, builds and boots with no network";

  # Where `nix/lib` and the guest's parts lie is different on every machine: whoever makes a clone of this directory fills
  # it in and commits the lock (nix/example.py).
  inputs.procurator = {
    url = "path:/var/lib/procurator/lib";
    flake = false;
  };
  inputs.parts = {
    url = "path:/var/lib/procurator/parts";
    flake = false;
  };

  outputs =
    {
      self,
      procurator,
      parts,
    }:
    let
      system = "x86_64-linux";
      library = import procurator { inherit parts system; };
      site = import ./site.nix { inherit library; };
      cluster = library.mkCluster (import ./cluster.nix { inherit library site; });
    in
    {
      inherit (cluster)
        blueprint
        blueprintJSON
        nixosConfigurations
        packages
        ;
      checks.${system} = import ./checks.nix { inherit library; };
    };
}

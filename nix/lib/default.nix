# The entry of the library: `import procurator { inherit parts; }`. `parts` is what `python -m nix.parts` made; a cluster
# whose Systems all come from elsewhere (nixpkgs) needs none.
{
  parts ? throw "procurator: this needs `parts`, the directory that `python -m nix.parts` makes",
  system ? "x86_64-linux",
}:
let
  guest = import ./system.nix { inherit parts system; };
  build = import ./build.nix { inherit parts system; };
in
{
  inherit (guest) mkSystem serialOf;
  inherit (build) shell tree;
  mkCluster = import ./cluster.nix {
    inherit (guest) mkSystem;
    inherit system;
    problemsOf = import ./problems.nix;
  };
}

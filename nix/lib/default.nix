# The entry of the library: `import procurator { inherit parts; }`. `parts` is what `python -m nix.parts` made; a cluster
# whose Systems all come from elsewhere (nixpkgs) needs none.
{
  parts ? throw "procurator: this needs `parts`, the directory that `python -m nix.parts` makes",
  system ? "x86_64-linux",
}:
let
  guest = import ./system.nix { inherit parts system; };
  build = import ./build.nix { inherit parts system; };
  serialOf = import ./serial.nix;
  mkCluster = import ./cluster.nix {
    inherit (guest) mkSystem;
    inherit serialOf system;
    problemsOf = import ./problems.nix;
  };
in
{
  inherit (guest) mkSystem;
  inherit (build) shell tree;
  inherit mkCluster serialOf;
  toTOML = import ./toml.nix;

  # mkCluster for modules: `lib` is nixpkgs', `modules` are modules with `cluster.…` (modules/cluster.nix). Yields what
  # mkCluster yields, and the evaluated `config`. It needs the directory above this one, in which `modules` is.
  evalCluster =
    {
      lib,
      modules,
      specialArgs ? { },
    }:
    let
      evaluated = lib.evalModules {
        modules = [
          ../modules/cluster.nix
          ../modules/assertions.nix
        ]
        ++ modules;
        inherit specialArgs;
      };
      failed = builtins.filter (assertion: !assertion.assertion) evaluated.config.assertions;
      # A machine has a list of assertions; outside of one the first look at the result must tell them.
      config =
        if failed == [ ] then
          evaluated.config
        else
          throw "the cluster is not right:\n${builtins.concatStringsSep "\n" (map (assertion: "  - ${assertion.message}") failed)}";
    in
    mkCluster config.cluster.written // { inherit config; };
}

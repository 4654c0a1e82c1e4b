# The cluster as options: what `mkCluster` takes, typed, described and mergeable over several files. Declarations and
# checks are those of ../lib, so that both ways to write a cluster yield the same blueprint. In a machine's configuration
# it tells the services where the other machines are (`cluster.machines`); by itself it is evaluated by `evalCluster`.
{ config, lib, ... }:
let
  t = import ../lib/types.nix;
  type = (import ../lib/options.nix).cluster;
  inherit (type) options;

  cfg = config.cluster;
  written = t.sparse type (
    builtins.removeAttrs cfg [
      "blueprint"
      "name"
      "written"
    ]
    // {
      cluster = cfg.name;
    }
  );
  # `vms` is needed in a blueprint, and a machine that only looks others up has none.
  named = if cfg.name == null then builtins.removeAttrs written [ "cluster" ] else written;
  isUsed = cfg.name != null || cfg.machines != { } || cfg.vms != { };
  lookedUpOnly = cfg.name == null && cfg.vms == { };
  problems = import ../lib/problems.nix (if lookedUpOnly then named // { cluster = "unnamed"; } else named);
  atOption = message: if lib.hasPrefix "cluster: " message then "cluster.name${lib.removePrefix "cluster" message}" else "cluster.${message}";
in
{
  options.cluster = t.mkOptions lib (
    builtins.removeAttrs options [ "cluster" ]
    // {
      name = options.cluster // {
        required = false;
        default = null;
      };
      vms = options.vms // {
        required = false;
        default = { };
      };
    }
  )
  // {
    written = lib.mkOption {
      type = lib.types.raw or lib.types.unspecified;
      readOnly = true;
      internal = true;
      description = "The cluster as `mkCluster` takes it, without what has its default.";
      default = named;
      defaultText = lib.literalMD "made from the other options";
    };
    blueprint = lib.mkOption {
      type = lib.types.raw or lib.types.unspecified;
      readOnly = true;
      internal = true;
      description = "The blueprint: what `mkCluster` makes of it.";
      default = ((import ../lib { }).mkCluster named).blueprint;
      defaultText = lib.literalMD "made from the other options";
    };
  };

  config.assertions = lib.optionals isUsed (
    map (message: {
      assertion = false;
      message = atOption message;
    }) problems
  );
}

# What NixOS declares and `cluster.nix` needs, for its evaluation outside of NixOS.
{ lib, ... }:
{
  options.assertions = lib.mkOption {
    type = lib.types.listOf (lib.types.raw or lib.types.unspecified);
    internal = true;
    default = [ ];
    description = "Conditions that must hold, each with its message.";
  };
}

# What the services' modules share: the package, the settings files under /etc/procurator, and the cluster's machines.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  t = import ../lib/types.nix;
  cfg = config.services.procurator;
  text = lib.types.attrsOf lib.types.str;

  # What its service would refuse at its start is refused here, before anything is switched to.
  checked =
    name: toml:
    if cfg.checkSettings then
      pkgs.runCommand "procurator-${name}.toml"
        {
          inherit toml;
          passAsFile = [ "toml" ];
          nativeBuildInputs = [ cfg.package ];
        }
        ''
          procurator-${name} --config "$tomlPath" --print-config
          cp -- "$tomlPath" "$out"
        ''
    else
      pkgs.writeText "procurator-${name}.toml" toml;
in
{
  imports = [ ./cluster.nix ];

  options.services.procurator = t.mkOptions lib (import ./declarations.nix).shared // {
    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.procurator or (throw "services.procurator.package: set it, or add Procurator's overlay to nixpkgs.overlays");
      defaultText = lib.literalExpression "pkgs.procurator";
      description = "Procurator's programs.";
    };
    rendered = lib.mkOption {
      type = text;
      default = { };
      internal = true;
      description = "The text of each settings file, by service.";
    };
    peers = lib.mkOption {
      type = text;
      default = { };
      internal = true;
      description = "Roles of this machine's services on the control plane's unix socket, by uid.";
    };
  };

  config = {
    environment.etc = lib.mapAttrs' (name: toml: {
      name = "procurator/${name}.toml";
      value.source = checked name toml;
    }) cfg.rendered;
    environment.systemPackages = lib.mkIf (cfg.rendered != { }) [ cfg.package ];
  };
}

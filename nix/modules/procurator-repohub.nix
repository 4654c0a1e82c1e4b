# Repohub as a NixOS service: repositories over smart HTTP, and pages of builds and the cluster.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  service = import ./service.nix {
    inherit config lib pkgs;
    name = "repohub";
  };
  cfg = config.services.procurator.repohub;
  inherit (config.cluster) machines;
  isMaster = name: machines ? ${name} && machines.${name}.role == "control-plane";
  master = if cfg.master != null && isMaster cfg.master then machines.${cfg.master} else null;
  # Only its module declares it, and that need not be on this machine.
  controlPlane = config.services.procurator.control-plane or { enable = false; };
  socket =
    if cfg.socket != null then
      cfg.socket
    else if cfg.master == null && controlPlane.enable then
      "/run/procurator/control-plane.sock"
    else
      null;
in
{
  imports = [ ./shared.nix ];
  options.services.procurator.repohub = service.options;

  config = lib.mkIf cfg.enable (
    lib.mkMerge [
      (service.user {
        description = "Procurator's repohub";
        inherit (cfg) uid;
        secrets = {
          hook-token = cfg.hookTokenFile;
        }
        // lib.optionalAttrs (cfg.tokenFile != null) { control-plane-token = cfg.tokenFile; };
      })
      {
        assertions = [
          {
            assertion = cfg.master == null || master != null;
            message = "services.procurator.repohub.master: \"${toString cfg.master}\" is no control plane in cluster.machines (there are ${lib.concatStringsSep ", " (lib.filter isMaster (lib.attrNames machines))})";
          }
          {
            assertion = cfg.master == null || cfg.socket == null && cfg.tokenFile != null;
            message = "services.procurator.repohub.master: needs tokenFile, and no socket";
          }
        ];

        services.procurator.peers.${toString cfg.uid} = "viewer";

        services.procurator.rendered.repohub = service.render {
          state = "/var/lib/procurator/repohub";
          listen.http = service.hostPort cfg.address cfg.port;
          site.base_url = cfg.baseUrl;
          ci = {
            url = cfg.ciUrl;
            hook_token_file = service.handed "hook-token";
          };
          control_plane = {
            inherit socket;
            address = if master != null then service.hostPort master.address master.port else null;
            token_file = if cfg.tokenFile != null then service.handed "control-plane-token" else null;
            inherit (cfg) ca;
          };
        } cfg.settings;

        systemd.services.procurator-repohub = service.unit {
          description = "Procurator's repohub";
          after = [ "procurator-control-plane.service" ];
          path = [
            pkgs.bash
            pkgs.git
          ];
          hardening = service.confined;
          serviceConfig.LimitNOFILE = 65536;
        };

        networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall [ cfg.port ];
      }
    ]
  );
}

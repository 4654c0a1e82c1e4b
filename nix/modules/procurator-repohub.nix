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
  # Only its module declares it, and that need not be on this machine.
  controlPlane = config.services.procurator.control-plane or { enable = false; };
  socket =
    if cfg.socket != null then
      cfg.socket
    else if controlPlane.enable then
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
        secrets.hook-token = cfg.hookTokenFile;
      })
      {
        services.procurator.peers.${toString cfg.uid} = "viewer";

        services.procurator.rendered.repohub = service.render {
          state = "/var/lib/procurator/repohub";
          listen.http = service.hostPort cfg.address cfg.port;
          site.base_url = cfg.baseUrl;
          ci = {
            url = cfg.ciUrl;
            hook_token_file = service.handed "hook-token";
          };
          control_plane = { inherit socket; };
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

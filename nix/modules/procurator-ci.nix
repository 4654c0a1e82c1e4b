# CI as a NixOS service: root's, since it makes the namespaces in which pushed flakes are evaluated and built. Evaluations
# and builders are without privileges inside of them (nix/jail.py).
{
  config,
  lib,
  pkgs,
  ...
}:
let
  service = import ./service.nix {
    inherit config lib pkgs;
    name = "ci";
  };
  cfg = config.services.procurator.ci;
in
{
  imports = [ ./shared.nix ];
  options.services.procurator.ci = service.options;

  config = lib.mkIf cfg.enable {
    services.procurator.rendered.ci = service.render {
      state = "/var/lib/procurator/ci";
      signing_key_file = cfg.signingKeyFile;
      listen.http = service.hostPort cfg.address cfg.port;
      repositories = {
        base_url = cfg.repositoriesUrl;
        hook_token_file = cfg.hookTokenFile;
      };
      cache = {
        url = cfg.cacheUrl;
        upload_token_file = cfg.uploadTokenFile;
      };
      control_plane = { inherit (cfg) socket; };
      evaluation = {
        allowed_paths = cfg.allowedPaths;
        inherit (cfg) network;
      };
    } cfg.settings;

    systemd.services.procurator-ci = service.unit {
      description = "Procurator's CI";
      after = [
        "procurator-control-plane.service"
        "procurator-cache.service"
      ];
      path = [
        pkgs.bash
        pkgs.bubblewrap
        pkgs.coreutils
        pkgs.git
        pkgs.nix
        pkgs.util-linux
      ];
      hardening = service.privileged;
      serviceConfig = {
        PrivateTmp = true;
        Delegate = true;
        TasksMax = "infinity";
        TimeoutStopSec = 60;
      };
    };

    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall [ cfg.port ];
  };
}

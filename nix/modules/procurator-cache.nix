# The binary cache as a NixOS service: it serves what one of the pinned keys signed, to any nix, and takes uploads that
# show the token.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  service = import ./service.nix {
    inherit config lib pkgs;
    name = "cache";
  };
  cfg = config.services.procurator.cache;
in
{
  imports = [ ./shared.nix ];
  options.services.procurator.cache = service.options;

  config = lib.mkIf cfg.enable (
    lib.mkMerge [
      (service.user {
        description = "Procurator's binary cache";
        secrets = lib.optionalAttrs (cfg.uploadTokenFile != null) { upload-token = cfg.uploadTokenFile; };
      })
      {
        services.procurator.rendered.cache = service.render {
          directory = "/var/lib/procurator/cache";
          upload_token_file = if cfg.uploadTokenFile != null then service.handed "upload-token" else null;
          public_keys = cfg.publicKeys;
          listen.http = service.hostPort cfg.address cfg.port;
        } cfg.settings;

        systemd.services.procurator-cache = service.unit {
          description = "Procurator's binary cache";
          hardening = service.confined;
          serviceConfig.LimitNOFILE = 65536;
        };

        networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall [ cfg.port ];
      }
    ]
  );
}

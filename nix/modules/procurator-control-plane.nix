# The control plane as a NixOS service: it keeps the generations, places VMs and walks rollouts. It runs as its own user
# and never touches a VM; the only secret it holds is the key that signs assignments.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  service = import ./service.nix {
    inherit config lib pkgs;
    name = "control-plane";
  };
  inherit (config.cluster) machines;
  cfg = config.services.procurator.control-plane;
  hostName = config.networking.hostName;
  isOurs = name: machines ? ${name} && machines.${name}.role == "control-plane";
  ours = if cfg.machine != null then cfg.machine else if isOurs hostName then hostName else null;
  rpc =
    if cfg.rpc != null then
      cfg.rpc
    else if ours != null && isOurs ours then
      service.hostPort machines.${ours}.address machines.${ours}.port
    else
      "127.0.0.1:7400";
in
{
  imports = [ ./shared.nix ];
  options.services.procurator.control-plane = service.options;

  config = lib.mkIf cfg.enable (
    lib.mkMerge [
      (service.user {
        description = "Procurator's control plane";
        secrets = {
          signing-key = cfg.signingKeyFile;
        }
        // lib.optionalAttrs (cfg.databasePasswordFile != null) { database-password = cfg.databasePasswordFile; }
        // lib.optionalAttrs (cfg.tls != null) {
          tls-certificate = cfg.tls.certificateFile;
          tls-key = cfg.tls.keyFile;
        };
        sockets = [ "procurator" ];
      })
      {
        assertions = [
          {
            assertion = cfg.machine == null || isOurs cfg.machine;
            message = "services.procurator.control-plane.machine: \"${toString cfg.machine}\" is no control plane in cluster.machines (there are ${lib.concatStringsSep ", " (lib.filter isOurs (lib.attrNames machines))})";
          }
          {
            assertion = cfg.publisherKeys != [ ];
            message = "services.procurator.control-plane.publisherKeys: is empty, so no generation could be accepted";
          }
        ];

        services.procurator.rendered.control-plane = service.render {
          listen = {
            inherit rpc;
            inherit (cfg) plaintext;
            http = service.hostPort cfg.address cfg.port;
            socket = "/run/procurator/control-plane.sock";
          };
          tls = lib.optionalAttrs (cfg.tls != null) {
            certificate = service.handed "tls-certificate";
            key = service.handed "tls-key";
          };
          database = {
            url = cfg.databaseUrl;
            password_file = if cfg.databasePasswordFile != null then service.handed "database-password" else null;
          };
          workers.policy = cfg.joinPolicy;
          keys = {
            assignment = service.handed "signing-key";
            publishers = cfg.publisherKeys;
          };
          inherit (cfg) origin;
          network.range = cfg.networkRange;
          retention.keep_generations = cfg.keepGenerations;
          socket.roles = config.services.procurator.peers // cfg.socketRoles;
        } cfg.settings;

        systemd.services.procurator-control-plane = service.unit {
          description = "Procurator's control plane";
          hardening = service.confined;
          serviceConfig.LimitNOFILE = 65536;
        };

        networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall [
          cfg.port
          (service.portOf rpc)
        ];
      }
    ]
  );
}

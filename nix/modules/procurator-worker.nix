# A worker as a NixOS service: root's, since it makes interfaces, firewall rules and disks. A restart of the unit ends no
# VM: `KillMode=process` leaves them in its control group, and the next start adopts them. They are ended when the machine
# goes down, or when it is no worker any more.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  service = import ./service.nix {
    inherit config lib pkgs;
    name = "worker";
  };
  inherit (config.cluster) machines;
  cfg = config.services.procurator.worker;
  state = "/var/lib/procurator/worker";
  name = if cfg.name != null then cfg.name else config.networking.hostName;
  master = machines.${cfg.master};
  isMaster = machine: machines.${machine}.role == "control-plane";
  own = machines.${name} or {
    address = "";
    labels = { };
  };
  isIPv4 = text: builtins.match "[0-9]{1,3}([.][0-9]{1,3}){3}" text != null;
  masters = lib.concatStringsSep ", " (lib.filter isMaster (lib.attrNames machines));
  known = cfg.master != null && machines ? ${cfg.master} && isMaster cfg.master;
  taps = import ./tap-prefix.nix { inherit name state; };
  # What VMs ask the worker itself: addresses and names. Its own table (worker/netplan.py) refuses all else from them.
  ports = [
    "53"
    "67"
  ];
in
{
  imports = [ ./shared.nix ];
  options.services.procurator.worker = service.options;

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = (cfg.master == null) != (cfg.socket == null);
        message = "services.procurator.worker: needs either master (a control plane in cluster.machines) or socket";
      }
      {
        assertion = cfg.master == null || known;
        message = "services.procurator.worker.master: \"${toString cfg.master}\" is no control plane in cluster.machines (there are ${
          if masters == "" then "none" else masters
        })";
      }
      {
        assertion = builtins.match "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?" name != null;
        message = "services.procurator.worker.name: \"${name}\" is not a DNS label (a-z, 0-9 and inner -, at most 63)";
      }
      {
        assertion = cfg.controlPlaneKeys != [ ];
        message = "services.procurator.worker.controlPlaneKeys: is empty, so no assignment could be believed";
      }
      {
        assertion = cfg.publisherKeys != [ ];
        message = "services.procurator.worker.publisherKeys: is empty, so no generation could be believed";
      }
    ];

    services.procurator.rendered.worker = service.render {
      inherit name state;
      control_plane = {
        inherit (cfg) socket;
        address = if known then service.hostPort master.address master.port else null;
        public_keys = cfg.controlPlaneKeys;
        inherit (cfg) ca;
        server_name = cfg.serverName;
        inherit (cfg) plaintext;
        join_token_file = cfg.joinTokenFile;
      };
      publishers.public_keys = cfg.publisherKeys;
      caches = {
        urls = cfg.cacheUrls;
        public_keys = if cfg.cacheKeys != null then cfg.cacheKeys else cfg.publisherKeys;
      };
      hypervisor.command = if cfg.hypervisor != null then cfg.hypervisor else [ "${pkgs.cloud-hypervisor}/bin/cloud-hypervisor" ];
      listen.http = service.hostPort cfg.address cfg.port;
      inherit (cfg) location;
      network.address = if cfg.machineAddress != null then cfg.machineAddress else if isIPv4 own.address then own.address else null;
      capacity = {
        inherit (cfg.capacity) cpu;
        memory_mb = cfg.capacity.memoryMb;
      };
      stop_timeout_ms = cfg.stopTimeoutMs;
      labels = if cfg.labels != null then cfg.labels else own.labels;
      inherit (cfg) extras;
    } cfg.settings;

    systemd.services.procurator-worker =
      service.unit {
        description = "Procurator's worker ${name}";
        after = [
          "procurator-control-plane.service"
          "procurator-vms.service"
        ];
        path = [
          pkgs.coreutils
          pkgs.dnsmasq
          pkgs.e2fsprogs
          pkgs.erofs-utils
          pkgs.nftables
          pkgs.nix
          pkgs.qemu_kvm
          pkgs.util-linux
        ];
        hardening = service.privileged;
        serviceConfig = {
          Delegate = true;
          KillMode = "process";
          # A VM that meets its memory's end must not take the unit with it.
          OOMPolicy = "continue";
          LimitNOFILE = 1048576;
          LimitMEMLOCK = "infinity";
          TasksMax = "infinity";
        };
      }
      // {
        wants = [
          "network-online.target"
          "procurator-vms.service"
        ];
      };

    # Stops after the worker does: when the machine goes down, and never on a switch to another configuration.
    systemd.services.procurator-vms = {
      description = "The VMs of Procurator's worker ${name}";
      inherit (config.systemd.services.procurator-worker) path;
      restartIfChanged = false;
      stopIfChanged = false;
      serviceConfig = service.privileged // {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${pkgs.coreutils}/bin/true";
        ExecStop = "${config.services.procurator.package}/bin/procurator-worker --config /etc/procurator/worker.toml --stop-vms";
        TimeoutStopSec = 30 + cfg.stopTimeoutMs / 1000;
      };
    };

    boot.kernelModules = [
      "tun"
      "kvm"
    ];
    boot.kernel.sysctl."net.ipv4.ip_forward" = true;

    networking.firewall = {
      allowedTCPPorts = lib.mkIf cfg.openFirewall [ cfg.port ];
      extraInputRules = lib.mkIf config.networking.nftables.enable ''
        iifname "${taps}*" meta l4proto { tcp, udp } th dport { ${lib.concatStringsSep ", " ports} } accept
      '';
      extraCommands = lib.mkIf (!config.networking.nftables.enable) (
        lib.concatMapStrings (protocol: ''
          iptables -A nixos-fw -i ${taps}+ -p ${protocol} -m multiport --dports ${lib.concatStringsSep "," ports} -j nixos-fw-accept
        '') [ "tcp" "udp" ]
      );
    };
    networking.dhcpcd.denyInterfaces = [ "${taps}*" ];
  };
}

# How a service of Procurator becomes settings and a systemd unit; the modules beside it say what is particular to each.
{
  config,
  lib,
  pkgs,
  name,
}:
let
  t = import ../lib/types.nix;
  toTOML = import ../lib/toml.nix;
  shared = config.services.procurator;

  # EXIT_SETTINGS of schema/service.py: wrong settings do not get better by trying again.
  wrongSettings = 2;
in
rec {
  options = t.mkOptions lib (import ./declarations.nix).${name};

  # host:port, as the settings have it.
  hostPort = address: port: "${if lib.hasInfix ":" address then "[${address}]" else address}:${toString port}";
  portOf = text: lib.toInt (lib.last (lib.splitString ":" text));

  # Where a service with a user of its own finds a secret that root keeps. No LoadCredential: newer systemd lets the user
  # in by an ACL, which shows as a file that a group can read, and such a file the services refuse.
  handed = secret: "/run/procurator-${name}/${secret}";

  render = base: written: toTOML (lib.recursiveUpdate base written);

  # The unit of a service that keeps to itself; what it must do beyond that is in `overrides`.
  unit =
    {
      description,
      after ? [ ],
      path ? [ ],
      hardening,
      serviceConfig ? { },
    }:
    {
      inherit description path;
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ] ++ after;
      restartTriggers = [ config.environment.etc."procurator/${name}.toml".source ];
      serviceConfig = {
        ExecStart = "${shared.package}/bin/procurator-${name} --config /etc/procurator/${name}.toml";
        Restart = "always";
        RestartSec = 2;
        RestartPreventExitStatus = wrongSettings;
        StateDirectory = "procurator/${name}";
        StateDirectoryMode = "0700";
        UMask = "0077";
      }
      // hardening
      // serviceConfig;
    };

  # For a service that has a user of its own, and needs nothing of the machine but its state and sockets. No
  # MemoryDenyWriteExecute: libffi's closures need it off. No PrivateUsers: the control plane knows its peers by uid.
  confined = {
    AmbientCapabilities = "";
    CapabilityBoundingSet = "";
    KeyringMode = "private";
    LockPersonality = true;
    NoNewPrivileges = true;
    PrivateDevices = true;
    PrivateTmp = true;
    ProcSubset = "pid";
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHome = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectProc = "invisible";
    ProtectSystem = "strict";
    RemoveIPC = true;
    RestrictAddressFamilies = [
      "AF_UNIX"
      "AF_INET"
      "AF_INET6"
    ];
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
    SystemCallErrorNumber = "EPERM";
    SystemCallFilter = [
      "@system-service"
      "~@privileged @resources"
    ];
  };

  # For one that makes namespaces, mounts or interfaces as root. Nothing here may cover a part of /proc: the kernel then
  # refuses a new /proc in a user namespace, and with it nix's sandbox and the jail of evaluations.
  privileged = {
    CapabilityBoundingSet = [
      "~CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYS_BOOT CAP_SYS_PACCT CAP_SYSLOG CAP_WAKE_ALARM CAP_BPF CAP_PERFMON CAP_LINUX_IMMUTABLE CAP_AUDIT_CONTROL"
    ];
    KeyringMode = "private";
    NoNewPrivileges = true;
    ProtectClock = true;
    ProtectHome = true;
    ProtectSystem = "full";
    RestrictRealtime = true;
  };

  # A user for the service, and its secrets copied for that user alone; they are read anew at each start. `sockets` are
  # directories of /run for sockets that others connect to.
  user =
    {
      description,
      uid ? null,
      secrets ? { },
      sockets ? [ ],
    }:
    {
      systemd.services."procurator-${name}".serviceConfig = {
        User = "procurator-${name}";
        Group = "procurator-${name}";
        RuntimeDirectory = [ "procurator-${name}" ] ++ sockets;
        # Others connect to sockets; a secret beside one is its user's alone by its own mode.
        RuntimeDirectoryMode = if sockets == [ ] then "0700" else "0755";
        ExecStartPre = lib.mapAttrsToList (
          secret: file:
          "+${pkgs.coreutils}/bin/install -m 0400 -o procurator-${name} -g procurator-${name} -- ${file} ${handed secret}"
        ) secrets;
      };
      users.users."procurator-${name}" = {
        inherit description uid;
        isSystemUser = true;
        group = "procurator-${name}";
        home = "/var/lib/procurator/${name}";
      };
      users.groups."procurator-${name}" = { };
    };
}

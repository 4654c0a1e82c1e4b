# The NixOS microVM profile: what a NixOS System needs to boot as a VM of Procurator, and to be there soon. The machine's
# side of it (disks, serials, network, command line) is the guest contract in nix/README.md.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  t = import ../lib/types.nix;
  serialOf = import ../lib/serial.nix;
  cfg = config.procurator.guest;
  declared = (import ./declarations.nix).guest;
  agent = pkgs.runCommandCC "procurator-guest-agent" { } ''
    mkdir -p "$out/bin"
    $CC -O2 -Wall -o "$out/bin/guest-agent" ${../lib/guest/agent.c}
  '';
  # `/run/procurator` is where both keep what they need; the guest's own tools are in the System's path.
  switchSystem = pkgs.writeTextFile {
    name = "procurator-switch";
    destination = "/bin/procurator-switch";
    executable = true;
    text = builtins.replaceStrings [ "@sh@" "@path@" ] [ "/bin/sh" "/run/current-system/sw/bin" ] (
      builtins.readFile ../lib/guest/procurator-switch.sh
    );
  };
  disk = serial: "/dev/disk/by-id/virtio-${serial}";
in
{
  # Two files may import it by different paths; it is one module all the same.
  key = "procurator/modules/guest.nix";

  options.procurator.guest = t.mkOptions lib (builtins.removeAttrs declared [ "agent" ]) // {
    agent = t.mkOptions lib declared.agent.type.options // {
      package = lib.mkOption {
        type = lib.types.package;
        default = agent;
        defaultText = lib.literalMD "made of `nix/lib/guest/agent.c`";
        inherit (declared.agent.type.options.package) description;
      };
    };
  };

  config = lib.mkMerge [
    {
      # --- disks ---------------------------------------------------------------------------------------------------
      fileSystems = {
        "/" = {
          device = "tmpfs";
          fsType = "tmpfs";
          options = [ "mode=0755" ];
          neededForBoot = true;
        };
        # An image of the closure, whose top directory is the content of /nix/store.
        "/nix/store" = {
          device = disk "store";
          fsType = "erofs";
          options = [ "ro" ];
          neededForBoot = true;
          noCheck = true;
        };
      }
      // lib.mapAttrs' (name: volume: {
        name = volume.mount;
        value = {
          device = disk (if volume.serial != null then volume.serial else serialOf name);
          fsType = "ext4";
          # The worker makes the disk larger, and leaves what is on it to the guest.
          autoResize = true;
          # The disk is there from the start; what is waited for is udev, for which an emulated guest on a busy machine
          # has needed 40 s.
          options = [ "x-systemd.device-timeout=120s" ];
        };
      }) cfg.volumes;

      boot.initrd.availableKernelModules = [
        "virtio_pci"
        "virtio_mmio"
        "virtio_blk"
        "virtio_console"
        "erofs"
        "overlay"
        "ext4"
      ];
      boot.initrd.kernelModules = [
        "virtio_balloon"
        "virtio_rng"
      ];
      boot.supportedFilesystems = [ "erofs" ];

      # A service that found an empty directory where its data should be would do harm: without one of its volumes the
      # guest powers off. Nobody is at its console, so an emergency shell would only hide that.
      systemd.enableEmergencyMode = lib.mkDefault false;
      systemd.targets.local-fs.unitConfig = {
        OnFailure = [ "poweroff.target" ];
        OnFailureJobMode = "replace-irreversibly";
      };

      # --- console and power ---------------------------------------------------------------------------------------
      boot.kernelParams = [
        "console=ttyS0"
        "panic=1"
        "boot.panic_on_fail"
      ];
      boot.consoleLogLevel = lib.mkDefault 4;
      # Newer NixOS takes what journald.conf says, where older ones have an option that stands for two lines of it.
      services.journald =
        if options.services.journald ? settings then
          {
            settings.Journal = {
              ForwardToConsole = lib.mkDefault true;
              TTYPath = lib.mkDefault "/dev/ttyS0";
            };
          }
        else
          { console = lib.mkDefault "/dev/ttyS0"; };

      # --- what a VM has no use for, so that it is there soon ---------------------------------------------------------
      boot.loader.grub.enable = false;
      boot.initrd.systemd.enable = lib.mkDefault true;
      boot.initrd.includeDefaultModules = lib.mkDefault false;
      boot.swraid.enable = lib.mkDefault false;
      console.enable = lib.mkDefault false;
      documentation.enable = lib.mkDefault false;
      fonts.fontconfig.enable = lib.mkDefault false;
      hardware.enableRedistributableFirmware = lib.mkDefault false;
      nix.enable = lib.mkDefault false;
      powerManagement.enable = lib.mkDefault false;
      programs.command-not-found.enable = lib.mkDefault false;
      security.sudo.enable = lib.mkDefault false;
      services.lvm.enable = lib.mkDefault false;
      services.timesyncd.enable = lib.mkDefault cfg.nic;
      services.udisks2.enable = lib.mkDefault false;
      xdg.autostart.enable = lib.mkDefault false;
      xdg.icons.enable = lib.mkDefault false;
      xdg.mime.enable = lib.mkDefault false;
      xdg.sounds.enable = lib.mkDefault false;

      # --- network -------------------------------------------------------------------------------------------------
      # The worker's firewall decides what reaches the guest, by the cluster's `connect` and `ports`; a second one inside
      # would have to be told the same, and would make a new System of every change to it.
      networking.firewall.enable = lib.mkDefault false;
      # Empty: the lease names it.
      networking.hostName = lib.mkDefault "";
      networking.useDHCP = false;
      networking.useNetworkd = true;
      networking.usePredictableInterfaceNames = false;
      systemd.network.wait-online.enable = lib.mkDefault cfg.nic;

      systemd.globalEnvironment = cfg.env;
    }

    (lib.mkIf cfg.nic {
      boot.initrd.availableKernelModules = [ "virtio_net" ];
      systemd.network.networks."10-procurator" = {
        matchConfig.Name = "eth0";
        networkConfig = {
          DHCP = "ipv4";
          IPv6AcceptRA = false;
          LinkLocalAddressing = "no";
        };
        # The worker's leases go by MAC. Asked for by number, the hostname (12) gets into the lease's file all the same.
        dhcpV4Config = {
          ClientIdentifier = "mac";
          RequestOptions = 12;
          UseDomains = true;
          UseHostname = false;
        };
      };
      # networkd may not set it itself: hostnamed asks polkit, which a guest can do without.
      systemd.services.procurator-hostname = lib.mkIf (config.networking.hostName == "") {
        description = "The hostname of the lease";
        wantedBy = [ "multi-user.target" ];
        wants = [ "systemd-networkd-wait-online.service" ];
        after = [ "systemd-networkd-wait-online.service" ];
        before = [ "network-online.target" ];
        script = ''
          read -r index </sys/class/net/eth0/ifindex
          while IFS="=" read -r key value; do
            if [ "$key" = HOSTNAME ]; then
              printf %s "$value" >/proc/sys/kernel/hostname
            fi
          done <"/run/systemd/netif/leases/$index"
        '';
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
        };
      };
    })

    (lib.mkIf cfg.agent.enable {
      # Either is how the worker reaches it; it waits for the drivers.
      boot.kernelModules = [
        "virtio_console"
        "vmw_vsock_virtio_transport"
      ];
      environment.systemPackages = [ switchSystem ];
      # Who makes the file `ready` in it says that the guest does its work.
      systemd.tmpfiles.rules = [ "d /run/procurator 0755 root root -" ];
      systemd.services.procurator-agent = {
        description = "Procurator's agent in the guest";
        wantedBy = [ "sysinit.target" ];
        before = [ "sysinit.target" ];
        unitConfig.DefaultDependencies = false;
        # It carries out a switch of the System that it belongs to.
        restartIfChanged = false;
        stopIfChanged = false;
        serviceConfig = {
          ExecStart = "${cfg.agent.package}/bin/guest-agent";
          Restart = "always";
          RestartSec = 1;
          OOMScoreAdjust = -900;
        };
      };
    })
  ];
}

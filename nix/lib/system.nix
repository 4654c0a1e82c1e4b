# mkSystem: the guest that needs no nixpkgs, in the shape of a NixOS toplevel. What it expects of the machine that boots
# it (disks, serials, network, command line) is the guest contract in nix/README.md.
{ parts, system }:
let
  build = import ./build.nix { inherit parts system; };
  inherit (build) fill shell tree;
  serialOf = import ./serial.nix;

  sw =
    shell "guest-sw"
      {
        mountVolumes = builtins.readFile ./guest/mount-volumes.sh;
        switchSystem = builtins.readFile ./guest/procurator-switch.sh;
      }
      ''
        mkdir -p "$out/bin"
        cp -a "$PATH"/. "$out/bin/"
        chmod 0755 "$out/bin"
        printf %s "$mountVolumes" | sed "s,@sh@,$out/bin/sh," >"$out/bin/mount-volumes"
        printf %s "$switchSystem" | sed "s,@sh@,$out/bin/sh,;s,@path@,$out/bin," >"$out/bin/procurator-switch"
        chmod 0555 "$out/bin/mount-volumes" "$out/bin/procurator-switch"
      '';

  kernel = shell "guest-kernel" { } ''
    mkdir -p "$out"
    cp ${parts}/bzImage "$out/bzImage"
    cp -r ${parts}/modules "$out/modules"
    cp ${parts}/kernel-release "$out/kernel-release"
  '';

  initrd = shell "guest-initrd" {
    stage1 = ./guest/stage1.sh;
    busybox = "${parts}/bin/busybox";
    modules = "${parts}/modules";
  } (builtins.readFile ./guest/initrd.sh);

  sh = "${sw}/bin/sh";

  quote = text: "'" + builtins.replaceStrings [ "'" ] [ "'\\''" ] text + "'";

  lines = entries: builtins.concatStringsSep "" (map (entry: "${entry}\n") entries);
in
{
  # name: for people, in the names of store paths.
  # services.<name>: what sh runs, again whenever it ends; its output goes to the console.
  # env: the environment of the services. volumes.<name>.mount: where the disk of that name is mounted (ext4).
  # nic: whether there is eth0 with DHCP. powerButton: whether the power button shuts the guest down.
  # etc: further files of /etc, from name to text. kernelParams: added to the command line.
  mkSystem =
    {
      name,
      services ? { },
      env ? { },
      volumes ? { },
      nic ? true,
      powerButton ? true,
      etc ? { },
      kernelParams ? [ ],
    }:
    let
      environment = tree "environment-${name}" {
        environment = lines (
          builtins.attrValues (builtins.mapAttrs (key: value: "${key}=${quote (toString value)}") env)
        );
      } [ ];

      service =
        serviceName: script:
        tree "service-${serviceName}" {
          ${serviceName} = fill ./guest/service.sh {
            inherit sh sw script;
            name = serviceName;
            environment = "${environment}/environment";
          };
        } [ serviceName ];

      # Outer mounts before those inside of them.
      mounts = builtins.sort (a: b: a.mount < b.mount) (
        map (volume: {
          inherit (volumes.${volume}) mount;
          serial = serialOf volume;
        }) (builtins.attrNames volumes)
      );

      dhcpEvent = tree "guest-dhcp" { event = fill ./guest/dhcp-event.sh { inherit sh sw; }; } [ "event" ];

      respawned =
        builtins.attrValues (builtins.mapAttrs (n: script: "${service n script}/${n}") services)
        ++ (if nic then [ "${sw}/bin/udhcpc -f -i eth0 -t 10 -T 1 -A 2 -s ${dhcpEvent}/event" ] else [ ])
        ++ [
          "${sw}/bin/guest-agent"
          "${later}/later"
        ];

      later = tree "guest-later" {
        later = fill ./guest/later.sh {
          inherit sh sw kernel;
          listens = if powerButton then "yes" else "no";
        };
      } [ "later" ];

      etcTree = tree "etc-${name}" (
        {
          # The console's shell is for whoever may attach to it; it starts when Enter is pressed.
          inittab = lines (map (command: "::respawn:${command}") respawned ++ [ "ttyS0::askfirst:-${sw}/bin/sh" ]);
          volumes = lines (map (volume: "${volume.serial} ${volume.mount}") mounts);
          passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
          group = "root:x:0:\nnogroup:x:65534:\n";
          hosts = "127.0.0.1 localhost\n";
          os-release = "ID=procurator\nNAME=Procurator\nPRETTY_NAME='Procurator guest (${name})'\n";
        }
        // (if powerButton then { "acpi/PWRF/00000080" = fill ./guest/shutdown.sh { inherit sh sw; }; } else { })
        // etc
      ) (if powerButton then [ "acpi/PWRF/00000080" ] else [ ]);

      params = [
        "console=ttyS0"
        "loglevel=4"
        "panic=1"
        "cryptomgr.notests"
        "edd=off"
      ]
      ++ kernelParams;

      toplevel =
        let
          values = {
            inherit sh sw kernel;
            etc = etcTree;
            toplevel = builtins.placeholder "out";
          };
          bootspec = builtins.toJSON {
            "org.nixos.bootspec.v1" = {
              label = "Procurator guest (${name})";
              kernel = "${kernel}/bzImage";
              initrd = "${initrd}/initrd";
              init = "${builtins.placeholder "out"}/init";
              kernelParams = params;
              toplevel = builtins.placeholder "out";
              inherit system;
            };
          };
        in
        shell "system-${name}"
          {
            init = fill ./guest/stage2.sh values;
            activate = fill ./guest/activate.sh values;
            switch = fill ./guest/switch-to-configuration.sh values;
            inherit bootspec;
          }
          ''
            mkdir -p "$out/bin"
            ln -s ${kernel}/bzImage "$out/kernel"
            ln -s ${initrd}/initrd "$out/initrd"
            ln -s ${kernel}/modules "$out/kernel-modules"
            ln -s ${etcTree} "$out/etc"
            ln -s ${sw} "$out/sw"
            printf %s "$init" >"$out/init"
            printf %s "$activate" >"$out/activate"
            printf %s "$switch" >"$out/bin/switch-to-configuration"
            chmod 0555 "$out/init" "$out/activate" "$out/bin/switch-to-configuration"
            printf %s ${quote (builtins.concatStringsSep " " params)} >"$out/kernel-params"
            printf %s "$bootspec" >"$out/boot.json"
            printf %s procurator-guest-1 >"$out/nixos-version"
            printf %s ${system} >"$out/system"
            printf %s 1 >"$out/init-interface-version"
          '';
    in
    {
      config.system.build = {
        inherit toplevel kernel;
        initialRamdisk = initrd;
      };
    };
}

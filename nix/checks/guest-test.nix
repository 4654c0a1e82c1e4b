# A guest of modules/guest.nix boots as a worker boots it: kernel, initrd and command line of its toplevel, an image of its
# closure as the disk "store", a volume by its serial; and says on its console that it did.
{ modules }:
{
  name = "procurator-guest";

  nodes.host =
    { pkgs, lib, ... }:
    let
      guest = import (pkgs.path + "/nixos/lib/eval-config.nix") {
        inherit lib;
        system = null;
        modules = [
          modules.guest
          {
            nixpkgs.hostPlatform = pkgs.stdenv.hostPlatform.system;
            procurator.guest = {
              volumes.data.mount = "/var/lib/data";
              env.GREETING = "hello";
              nic = false;
            };
            systemd.services.tell = {
              wantedBy = [ "multi-user.target" ];
              unitConfig.RequiresMountsFor = "/var/lib/data";
              script = ''
                findmnt -n -o FSTYPE /var/lib/data /nix/store
                echo "the guest says $GREETING"
                systemctl poweroff
              '';
              serviceConfig.Type = "oneshot";
              path = [ pkgs.util-linux ];
            };
            system.stateVersion = lib.trivial.release;
          }
        ];
      };
      inherit (guest.config.system.build) toplevel;
      image = pkgs.runCommand "store.erofs" { nativeBuildInputs = [ pkgs.erofs-utils ]; } ''
        mkdir tree
        while read -r path; do cp -a "$path" tree/; done <${pkgs.writeClosure [ toplevel ]}
        mkfs.erofs --quiet -T1 --all-root "$out" tree
      '';
      serial = import ../lib/serial.nix "data";
    in
    {
      virtualisation.memorySize = 2048;
      virtualisation.cores = 2;
      environment.systemPackages = [
        pkgs.e2fsprogs
        pkgs.qemu_kvm
      ];
      environment.etc."boot-guest".source = pkgs.writeShellScript "boot-guest" ''
        truncate -s 64M /tmp/volume
        mkfs.ext4 -q /tmp/volume
        exec qemu-system-x86_64 -machine q35 -cpu max -m 512 -nographic -no-reboot \
          -kernel ${toplevel}/kernel -initrd ${toplevel}/initrd \
          -append "$(cat ${toplevel}/kernel-params) init=${toplevel}/init" \
          -drive file=${image},format=raw,if=none,id=store,read-only=on \
          -device virtio-blk-pci,drive=store,serial=store \
          -drive file=/tmp/volume,format=raw,if=none,id=data \
          -device virtio-blk-pci,drive=data,serial=${serial}
      '';
    };

  testScript = ''
    said = host.succeed("timeout 900 /etc/boot-guest </dev/null 2>&1")
    assert "the guest says hello" in said, said
    assert "ext4" in said and "erofs" in said, said
  '';
}

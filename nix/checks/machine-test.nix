# All services on one NixOS machine: they start, answer, keep their secrets to themselves, and a restart of the worker
# leaves what it started alone.
{ modules }:
{
  name = "procurator-machine";

  nodes.machine =
    { pkgs, lib, ... }:
    let
      # Of this test alone; whoever may read the store may read them.
      made = pkgs.runCommand "keys" { nativeBuildInputs = [ pkgs.nix ]; } ''
        mkdir $out
        for name in ci control-plane; do
          nix --extra-experimental-features nix-command key generate-secret --key-name $name-1 >$out/$name
          nix --extra-experimental-features nix-command key convert-secret-to-public <$out/$name >$out/$name.pub
        done
      '';
      services = [
        "control-plane"
        "worker"
        "ci"
        "cache"
        "repohub"
      ];
      keys = "/var/lib/procurator-keys";
    in
    {
      imports = [ modules.default ];
      virtualisation.memorySize = 2048;
      virtualisation.diskSize = 4096;
      environment.systemPackages = [
        pkgs.curl
        pkgs.jq
      ];

      systemd.services =
        lib.genAttrs (map (name: "procurator-${name}") services) (_name: {
          after = [ "test-keys.service" ];
          requires = [ "test-keys.service" ];
        })
        // {
        test-keys = {
          serviceConfig = {
            Type = "oneshot";
            RemainAfterExit = true;
            UMask = "0077";
          };
          script = ''
            mkdir -p ${keys}
            for name in ci control-plane; do
              cp ${made}/$name ${keys}/$name
            done
            printf %s upload-token >${keys}/upload
            printf %s hook-token >${keys}/hook
          '';
        };
      };

      services.procurator =
        let
          publicKeys = {
            ci = [ (builtins.readFile "${made}/ci.pub") ];
            control-plane = [ (builtins.readFile "${made}/control-plane.pub") ];
          };
        in
        {
          control-plane = {
            enable = true;
            signingKeyFile = "${keys}/control-plane";
            publisherKeys = publicKeys.ci;
          };
          worker = {
            enable = true;
            name = "machine";
            socket = "/run/procurator/control-plane.sock";
            hypervisor = [ "procurator-vmm" ];
            controlPlaneKeys = publicKeys.control-plane;
            publisherKeys = publicKeys.ci;
          };
          ci = {
            enable = true;
            signingKeyFile = "${keys}/ci";
            hookTokenFile = "${keys}/hook";
            uploadTokenFile = "${keys}/upload";
          };
          cache = {
            enable = true;
            publicKeys = publicKeys.ci;
            uploadTokenFile = "${keys}/upload";
          };
          repohub = {
            enable = true;
            hookTokenFile = "${keys}/hook";
          };
        };
    };

  testScript = ''
    units = ["control-plane", "cache", "repohub", "ci", "worker"]
    for unit in units:
        machine.wait_for_unit(f"procurator-{unit}.service")
    for port in (7401, 7402, 7403, 7404, 3001):
        machine.wait_for_open_port(port)

    with subtest("secrets are their service's alone"):
        mode = machine.succeed("stat -c '%a %U' /run/procurator-control-plane/signing-key").strip()
        assert mode == "400 procurator-control-plane", mode
        machine.fail("runuser -u procurator-repohub -- cat /run/procurator-control-plane/signing-key")

    with subtest("a restart of the worker leaves its processes alone"):
        group = machine.succeed("systemctl show -P ControlGroup procurator-worker").strip()
        machine.succeed(f"sleep 1000 & echo $! >/sys/fs/cgroup{group}/cgroup.procs; echo $! >/run/left")
        machine.succeed("systemctl restart procurator-worker")
        machine.wait_for_unit("procurator-worker.service")
        machine.succeed("kill -0 $(cat /run/left)")

    with subtest("nobody is root who need not be"):
        for unit in ("control-plane", "cache", "repohub"):
            user = machine.succeed(f"systemctl show -P User procurator-{unit}").strip()
            assert user == f"procurator-{unit}", user
  '';
}

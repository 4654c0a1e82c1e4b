# All services on one NixOS machine: they start, answer, keep their secrets to themselves, and a restart of the worker
# leaves what it started alone.
{ modules }:
{
  name = "procurator-machine";

  nodes.machine =
    { pkgs, lib, ... }:
    let
      # Of this test alone, with the secret halves in them: whoever may read this may read them. Made here, the public
      # halves would have to be built before the machine could be evaluated.
      keyPairs = {
        ci = {
          secret = "ci-1:YSB0ZXN0IGtleSBvZiBjaSAtLS0tLS0tLS0tLS0tLS2Webs0frtuUcCSqIY4jjBhiR45vdSr1QvTOZ9rNzJZnA==";
          public = "ci-1:lnm7NH67blHAkqiGOI4wYYkeOb3Uq9UL0zmfazcyWZw=";
        };
        control-plane = {
          secret = "control-plane-1:YSB0ZXN0IGtleSBvZiBjb250cm9sLXBsYW5lIC0tLS15OO8ghmijHhvgMV9ZtXI5WYYJW5kZU0vyioaB/dKszw==";
          public = "control-plane-1:eTjvIIZoox4b4DFfWbVyOVmGCVuZGVNL8oqGgf3SrM8=";
        };
      };
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
            printf %s ${keyPairs.ci.secret} >${keys}/ci
            printf %s ${keyPairs.control-plane.secret} >${keys}/control-plane
            printf %s upload-token >${keys}/upload
            printf %s hook-token >${keys}/hook
          '';
        };
      };

      services.procurator = {
        control-plane = {
          enable = true;
          signingKeyFile = "${keys}/control-plane";
          publisherKeys = [ keyPairs.ci.public ];
        };
        worker = {
          enable = true;
          name = "machine";
          socket = "/run/procurator/control-plane.sock";
          hypervisor = [ "procurator-vmm" ];
          controlPlaneKeys = [ keyPairs.control-plane.public ];
          publisherKeys = [ keyPairs.ci.public ];
        };
        ci = {
          enable = true;
          signingKeyFile = "${keys}/ci";
          hookTokenFile = "${keys}/hook";
          uploadTokenFile = "${keys}/upload";
        };
        cache = {
          enable = true;
          publicKeys = [ keyPairs.ci.public ];
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

# The options of `services.procurator.*` and `procurator.guest`, in the same form as those of a cluster
# (../lib/options.nix): the modules and docs/reference/options.md are made from it.
let
  t = import ../lib/types.nix;
  inherit (t) needed optional;
  example = value: option: option // { example = value; };
  computed = text: option: option // { defaultText = text; };

  port = t.int 1 65535 "";
  # Nix copies what is written as a path into its store, which everybody reads.
  secretFile =
    t.simple "the absolute path of a secret file, as a string, outside of the Nix store"
      {
        kind = "text";
        pattern = "/.+";
      }
      (
        value:
        builtins.isString value
        && builtins.match "/[A-Za-z0-9._/+@=-]{1,500}" value != null
        && builtins.match "/nix/store/.*" value == null
      );
  publicFile = t.simple "the absolute path of a file" {
    kind = "text";
    pattern = "/.+";
  } (value: builtins.isPath value || builtins.isString value && builtins.match "/[^\n]+" value != null);
  key = t.matching "a public key (name:base64)" "[^: ]+:[A-Za-z0-9+/]{43}=";
  url = t.matching "an http or https URL" "https?://[^[:space:]]+";
  hostPort = t.matching "host:port" "[^[:space:]/]+:[0-9]{1,5}";
  address = t.matching "a host name or an IP address" "[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}";
  duration = t.int 0 604800000 " of milliseconds";
  uid = t.int 1 60000 "";

  settings =
    file:
    optional { } (t.mapOf (t.matching "a key" ".+") t.any)
      "What ${file} says beside what the other options say, as nested sets; it wins over them. The keys are those of the service's settings; when the machine is built, the service's own program reads the file, and what it would refuse stops the build.";

  listening = default: {
    address = optional "127.0.0.1" address "Address on which HTTP is served.";
    port = optional default port "Port on which HTTP is served.";
    openFirewall = optional false t.bool "Whether `port` is opened in the machine's firewall. It is of no use while `address` is a loopback one.";
  };

  service = what: options: {
    enable = optional false t.bool "Whether this machine runs ${what}.";
  } // options;
in
{
  inherit hostPort;

  shared = {
    package = computed "pkgs.procurator" (optional null t.any "Procurator's programs.");
    checkSettings = optional true t.bool "Whether each settings file is read by its service's own program when the machine is built. Turn it off where the builder cannot run the machine's programs.";
  };

  control-plane = service "the control plane" (
    listening 7401
    // {
      machine = example "control-plane-1" (
        computed "the host name, if `cluster.machines` has it as a control plane" (
          optional null t.label "Which of `cluster.machines` this is: address and port of `rpc` come from there."
        )
      );
      rpc = computed "address and port of `machine`, else 127.0.0.1:7400" (
        optional null hostPort "Where Cap'n Proto is served over TCP, to workers and to `pcr`. `openFirewall` opens it too."
      );
      tls = optional null (t.record {
        certificateFile = needed publicFile "The certificate (PEM), with the chain below its CA.";
        keyFile = needed secretFile "Its secret key. Root keeps it; the service gets a copy for itself.";
      }) "With what `rpc` and HTTP show that they are the control plane. Needed where other machines reach it.";
      plaintext = optional false t.bool "Whether other machines may reach it without TLS: everybody on the way can then read and write.";
      joinPolicy = optional "manual" (t.oneOf [
        "manual"
        "token"
        "auto"
      ]) "Who lets a worker join: an operator, also whoever shows a join token, or also root on this machine.";
      databaseUrl = optional "sqlite:////var/lib/procurator/control-plane/state.sqlite" t.string "SQLite by path, or PostgreSQL as `postgresql://user@host/name`.";
      databasePasswordFile = optional null secretFile "The password for PostgreSQL. Root keeps it; the service gets a copy for itself.";
      signingKeyFile = example "/etc/procurator/keys/control-plane" (
        needed secretFile "The secret key that signs assignments. Root keeps it; the service gets a copy for itself."
      );
      publisherKeys = needed (t.listOf key) "CI's public keys: whose generations are accepted. Two while one is replaced by another.";
      origin = example {
        repository = "team/shop";
        branch = "main";
      } (
        optional null (t.record {
          repository = needed (t.matching "a repository (owner/name)" "[a-z0-9][a-z0-9._-]{0,62}/[a-z0-9][a-z0-9._-]{0,62}") "As repohub has it.";
          branch = needed t.string "The branch.";
          path = optional "." t.string "The directory of the flake.";
        }) "What the cluster tracks. Without it, the origin of the first generation that is accepted."
      );
      networkRange = optional "10.77.0.0/16" (t.matching "an IPv4 network" "[0-9.]+/[0-9]{1,2}") "Of which each worker gets a /24 for its VMs.";
      keepGenerations = optional 5 (t.int 1 1000 "") "How many of the newest generations keep their closures.";
      socketRoles = example { "1000" = "operator"; } (
        optional { } (t.mapOf (t.matching "a uid" "[0-9]{1,10}") (
          t.oneOf [
            "viewer"
            "publisher"
            "operator"
            "admin"
          ]
        )) "What users of this machine may do over the unix socket, by uid. root may do all; repohub is added where it runs on this machine."
      );
      settings = settings "control-plane.toml";
    }
  );

  worker = service "a worker" (
    listening 7402
    // {
      name = computed "the host name" (optional null t.label "The worker's name in the cluster.");
      master = example "control-plane-1" (
        optional null t.label "The control plane, by its name in `cluster.machines`; or `socket`."
      );
      socket = example "/run/procurator/control-plane.sock" (
        optional null (t.matching "an absolute path" "/.+") "The control plane's unix socket, where both are on one machine; or `master`."
      );
      ca = example "/etc/procurator/ca.pem" (
        optional null publicFile "The CA (PEM) that signed the control plane's certificate: it is then reached by TLS."
      );
      serverName = computed "the address of `master`" (
        optional null t.string "The name in the control plane's certificate."
      );
      plaintext = optional false t.bool "Whether a control plane on another machine may be reached without TLS: everybody on the way can then read and write.";
      joinTokenFile = optional null secretFile "The token with which it joins, where an operator made one for it.";
      location = example "Berlin, rack 2" (optional "" t.string "Where the machine stands, for people.");
      machineAddress = computed "that of the machine of this name in `cluster.machines`, if it is an IPv4 address" (
        optional null (t.matching "an IPv4 address" "[0-9]{1,3}([.][0-9]{1,3}){3}") "Under which other workers reach this machine."
      );
      controlPlaneKeys = needed (t.listOf key) "The control plane's public keys: whose assignments are carried out.";
      publisherKeys = needed (t.listOf key) "CI's public keys: whose generations are run.";
      cacheUrls = optional [ "http://127.0.0.1:7404" ] (t.listOf url) "Binary caches, tried in this order.";
      cacheKeys = computed "`publisherKeys`" (
        optional null (t.listOf key) "Whose signatures on closures are believed."
      );
      labels = computed "those of the machine of this name in `cluster.machines`" (
        optional null (t.mapOf (t.matching "a label's name" "[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?") (
          t.matching "a label's value" "[A-Za-z0-9._-]{0,63}"
        )) "What `placement` of a VM can ask for."
      );
      extras = example { gpu = 1; } (optional { } (t.mapOf t.string (t.int 1 1048576 "")) "Further things that VMs can ask for, each with how many there are.");
      capacity = optional { } (t.record {
        cpu = optional 0 (t.int 0 65536 "") "Virtual CPUs; 0: all that the machine has.";
        memoryMb = optional 0 (t.int 0 1073741824 " of MiB") "MiB; 0: all that the machine has.";
      }) "What may be placed here.";
      hypervisor = computed "cloud-hypervisor" (
        optional null (t.listOf t.string) "The command that runs a VM: cloud-hypervisor, or something with its API such as `procurator-vmm`."
      );
      stopTimeoutMs = optional 10000 duration "Milliseconds that a guest has to obey the power button.";
      settings = settings "worker.toml";
    }
  );

  ci = service "CI" (
    listening 7403
    // {
      signingKeyFile = needed secretFile "The secret key that signs closures and generations.";
      hookTokenFile = needed secretFile "The token that repohub shows when it tells of a push.";
      uploadTokenFile = needed secretFile "The token that the cache asks of uploads.";
      repositoriesUrl = optional "http://127.0.0.1:3001" url "Where pushed commits are fetched from: repohub.";
      cacheUrl = optional "http://127.0.0.1:7404" url "The cache that closures are pushed to.";
      socket = optional "/run/procurator/control-plane.sock" (t.matching "an absolute path" "/.+") "The control plane's unix socket: CI runs on its machine.";
      allowedPaths = optional [ ] (t.listOf (t.matching "an absolute path" "/.+")) "Directories that flakes may read beside their own repository.";
      network = optional false t.bool "Whether flakes may fetch inputs while they are evaluated. They then reach what listens on this machine, too.";
      settings = settings "ci.toml";
    }
  );

  cache = service "the binary cache" (
    listening 7404
    // {
      uploadTokenFile = computed "nobody can upload" (
        optional null secretFile "The token that uploads must show."
      );
      publicKeys = needed (t.listOf key) "CI's public keys: only what one of them signed is served.";
      settings = settings "cache.toml";
    }
  );

  repohub = service "repohub" (
    listening 3001
    // {
      uid = optional 7405 uid "Of its user. It is fixed, as the control plane knows its peers on the unix socket by uid.";
      hookTokenFile = needed secretFile "The token that it shows CI.";
      ciUrl = optional "http://127.0.0.1:7403" url "Where CI is.";
      socket = computed "the control plane's, where it runs on this machine" (
        optional null (t.matching "an absolute path" "/.+") "The control plane's unix socket; without it, pages show no cluster."
      );
      master = example "control-plane-1" (
        optional null t.label "The control plane on another machine, by its name in `cluster.machines`; instead of `socket`."
      );
      ca = optional null publicFile "With `master`: the CA (PEM) that signed the control plane's certificate.";
      tokenFile = optional null secretFile "With `master`: a viewer's token. Root keeps it; the service gets a copy for itself.";
      baseUrl = example "https://hub.example.org" (
        computed "what it listens on" (optional null url "Under which people reach it.")
      );
      settings = settings "repohub.toml";
    }
  );

  guest = {
    env = optional { } (t.mapOf (t.matching "the name of an environment variable" "[A-Za-z_][A-Za-z0-9_]{0,254}") t.string) "Environment of all services of the guest. `mkCluster` sets it from the VM's `env`.";
    nic = optional true t.bool "Whether there is a network card, `eth0`. `mkCluster` sets it from `network.nic`.";
    volumes = optional { } (t.mapOf t.label (
      t.record {
        mount = needed (t.matching "an absolute path of plain characters" "/[A-Za-z0-9._/-]{1,250}") "Where it is mounted.";
        serial = computed "that of the volume of this name" (
          optional null (t.matching "a virtio serial" "[A-Za-z0-9-]{1,20}") "By which its disk is found."
        );
      }
    )) "Disks that outlive the VM. `mkCluster` sets them from the VM's `volumes`.";
    agent = optional { } (t.record {
      enable = optional true t.bool "Whether it runs. Without it there are no commands, no switch in the running guest and no `readiness` and `command` checks.";
      package = computed "made of `nix/lib/guest/agent.c`" (optional null t.any "The package with `bin/guest-agent`.");
    }) "The guest's end of the worker's channel for commands, switching and readiness (`/run/procurator/ready` exists).";
  };
}

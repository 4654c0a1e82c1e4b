# What an author may write in a cluster, option by option: forms, ranges and defaults as in Blueprint v1
# (schema/blueprint.py; a test holds the two together), and `guest` and `configuration`, from which Systems are made.
# The checks of mkCluster, the options of modules/cluster.nix and docs/reference/options.md all come from here.
let
  t = import ./types.nix;
  inherit (t) needed optional;
  example = value: option: option // { example = value; };

  # Without a limit of its own: what the wire carries.
  count = low: t.int low 4294967295 "";
  port = t.int 1 65535 "";
  milliseconds = t.int 0 604800000 " of milliseconds";
  megabytes = low: t.int low 67108864 " of MiB";
  labelKey = t.matching "a label's name" "[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?";
  labelValue = t.matching "a label's value" "[A-Za-z0-9._-]{0,63}";
  labels = t.mapOf labelKey labelValue;
  address = t.matching "a host name or an IP address" "[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}";
  absolute = t.matching "an absolute path of plain characters" "/[A-Za-z0-9._/-]{1,250}";
  variable = t.matching "the name of an environment variable" "[A-Za-z_][A-Za-z0-9_]{0,254}";
  domain = t.matching "a domain (x.org, or *.x.org for its subdomains)" "([*][.])?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z0-9-]{2,63}";
  target = t.matching "a VM and a port (db:5432)" "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?:[0-9]{1,5}";
  attribute = t.matching "a flake attribute" "[A-Za-z_][A-Za-z0-9_'-]{0,100}([.][A-Za-z_0-9][A-Za-z0-9_'-]{0,100}){0,15}";
  path = t.matching "a path that starts with /" "/[!-~]{0,1000}";

  labelExpression = t.record {
    key = needed labelKey "Name of the worker's label that is looked at." // { example = "zone"; };
    operator = optional "in" (t.oneOf [
      "in"
      "notIn"
      "exists"
    ]) "Whether the label's value must be one of `values`, none of them, or whether the label must just be there.";
    values = optional [ ] (t.listOf labelValue) "The values; none with `exists`, at least one otherwise.";
  };

  machine = t.record {
    role = needed (t.oneOf [
      "control-plane"
      "worker"
    ]) "What the machine does.";
    address = example "10.0.0.1" (needed address "Under which the other machines reach it.");
    port = example 7400 (needed port "Of the control plane's Cap'n Proto service, or of the worker's HTTP.");
    labels = example { zone = "a"; } (optional { } labels "What `placement` of a VM can ask for.");
  };

  volume = t.record {
    sizeMb = example 1024 (needed (megabytes 1) "Size in MiB. A volume grows when this does, and never shrinks.");
    mount = example "/var/lib/postgresql" (needed absolute "Where the guest mounts it (ext4).");
    onLoss = optional "keep" (t.oneOf [
      "keep"
      "recreate"
    ]) "What happens when the worker that holds it is lost: the VM waits for it, or starts elsewhere with an empty one.";
  };

  egress = t.record {
    mode = optional "isolated" (t.oneOf [
      "isolated"
      "allow"
      "open"
    ]) "What may leave the cluster: nothing, connections to `domains`, or everything.";
    domains = example [ "example.org" "*.example.org" ] (
      optional [ ] (t.listOf domain) "With mode `allow`: `x.org` is that name alone, `*.x.org` are its subdomains."
    );
  };

  offered = t.record {
    name = example "http" (needed t.label "For people; each name once a VM.");
    port = example 80 (needed port "On which the guest listens.");
    publish = optional null port "Port of the worker's own address that leads here. One VM of the cluster at most has it.";
  };

  network = t.record {
    nic = optional true t.bool "Whether the guest has a network card.";
    egress = optional { } egress "What may leave the cluster from here.";
    connect = example [ "db:5432" ] (
      optional [ ] (t.listOf target) "VMs and ports that this one may reach; nothing else inside of the cluster."
    );
    ports = optional [ ] (t.listOf offered) "What the VM offers.";
  };

  spread = t.record {
    over = example "zone" (needed labelKey "The workers' label.");
    maxSkew = optional 1 (count 1) "By how many replicas two of its values may differ.";
  };

  placement = t.record {
    require = optional [ ] (t.listOf labelExpression) "What a worker must have.";
    prefer = optional [ ] (t.listOf labelExpression) "What a worker should have, if there is the choice.";
    spread = optional [ ] (t.listOf spread) "Labels of workers over whose values the replicas are spread evenly.";
    affinity = optional [ ] (t.listOf t.label) "VMs whose workers this one shares.";
    antiAffinity = optional [ ] (t.listOf t.label) "VMs whose workers this one avoids; its own name keeps replicas apart.";
    priority = optional 50 (t.int 0 100 "") "Who goes when there is not room for all: the lower one.";
  };

  check = t.record {
    type = needed (t.oneOf [
      "tcp"
      "http"
      "command"
      "readiness"
    ]) "`tcp` and `http` are asked by the worker; `command` runs in the guest, `readiness` is what the guest says of itself.";
    port = optional null port "With `tcp` and `http`, where it is needed.";
    path = example "/healthz" (optional null path "With `http`: what is asked for.");
    command = example [ "pg_isready" ] (
      optional null (t.listOf t.string) "With `command`, where it is needed: a program and its arguments; 0 is healthy."
    );
  };

  health = t.record {
    checks = optional [ ] (t.listOf check) "All must pass. Without any, the VM is healthy when it has run for `rollout.minHealthyMs`.";
    intervalMs = optional 2000 (t.int 100 3600000 " of milliseconds") "Milliseconds from one round of checks to the next.";
    timeoutMs = optional 1000 (t.int 50 600000 " of milliseconds") "Milliseconds that one check may take.";
    failures = optional 3 (t.int 1 1000 "") "Failures in a row that make a healthy VM unhealthy.";
    startDeadlineMs = optional 120000 (t.int 1000 3600000 " of milliseconds") "Milliseconds from the first boot in which it must become healthy; otherwise the worker goes back.";
  };

  update = t.record {
    strategy = optional "replace" (t.oneOf [
      "replace"
      "switch"
    ]) "Whether a new System is booted, or switched to in the running guest where that is possible.";
    autoRollback = optional true t.bool "Whether what does not get healthy goes back; otherwise the rollout pauses.";
  };

  fileName = t.matching "a file's name" "[A-Za-z0-9_][A-Za-z0-9._-]{0,100}";
  filePath = t.matching "a file's path below /etc" "[A-Za-z0-9_][A-Za-z0-9._-]{0,100}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,100}){0,8}";
  word = t.matching "a word of the kernel's command line" "[!-~]{1,200}";

  # What the offline guest is made of. Texts may name store paths, so to look at them is to evaluate what they are built
  # from: a blueprint is made without that, and mkCluster looks at them when it makes the System.
  guestOf =
    text:
    t.record {
      services = example { web = "exec httpd -f -p 80 -h /srv"; } (
        optional { } (t.mapOf fileName text) "What sh runs, each again whenever it ends; the output goes to the console."
      );
      powerButton = optional true t.bool "Whether the power button shuts the guest down.";
      etc = optional { } (t.mapOf filePath text) "Further files of /etc, with their texts.";
      kernelParams = example [ "quiet" ] (optional [ ] (t.listOf word) "Added to the kernel's command line.");
    };

  vm = t.record {
    guest = optional null (guestOf t.any) "What `mkSystem` makes the System of, without nixpkgs. One of `guest`, `configuration` and `system` is needed.";
    configuration = optional null t.any ''
      Anything with `config.system.build.toplevel`, as `nixpkgs.lib.nixosSystem` yields. If the module `guest.nix` is among
      its modules, its volumes, environment and network card are set from here. Or a function that gets
      `{ name, env, volumes, nic, module }` and yields such a thing; `module` sets the same.'';
    system = example "packages.x86_64-linux.appliance" (
      optional null attribute "The flake attribute of a toplevel. By default that of `nixosConfigurations.<name>`."
    );
    cpu = example 2 (needed (t.int 1 255 "") "Virtual CPUs.");
    memoryMb = example 512 (needed (megabytes 32) "Memory in MiB.");
    extras = example { gpu = 1; } (
      optional { } (t.mapOf labelKey (t.int 1 9007199254740991 "")) "Further things that a worker has to give, each with how many."
    );
    replicas = optional 1 (t.int 0 10000 "") "Instances, called `<name>-0` and so on. A VM with volumes is always one.";
    labels = example { tier = "front"; } (optional { } labels "What waves of a rollout choose by.");
    singleton = optional false t.bool "Never two at once: the old one must have stopped, or its lease ended, before a new one starts.";
    volumes = optional { } (t.mapOf t.label volume) "Disks that outlive the VM.";
    network = optional { } network "What it may reach and what it offers.";
    dependsOn = example [ "db" ] (optional [ ] (t.listOf t.label) "VMs that are started before it, the first time.");
    env = example { LOG_LEVEL = "info"; } (
      optional { } (t.mapOf variable t.string) "Environment of the guest's services. It is part of the System and readable by all: no secrets."
    );
    placement = optional { } placement "Where it runs.";
    health = optional { } health "When it counts as healthy.";
    update = optional { } update "How a running one becomes the next one.";
  };

  wave = t.record {
    selector = example { tier = "front"; } (optional null labels "The VMs with these labels; or else `percent`.");
    percent = example 10 (optional null (t.int 1 100 "") "Its share of all instances that the rollout changes; or else `selector`.");
    delayMs = optional 0 milliseconds "Milliseconds to wait after the wave before.";
    gate = optional "auto" (t.oneOf [
      "auto"
      "approve"
    ]) "Whether health alone opens the wave, or a person too.";
  };

  rollout = t.record {
    waves = optional [ ] (t.listOf wave) "Parts of the fleet that change one after the other. Without any, all is one wave.";
    minHealthyMs = optional 2000 milliseconds "Milliseconds for which an instance must have been healthy.";
    maxFailures = optional 0 (count 0) "Instances that may fail, and go back by themselves, before the whole rollout goes back.";
    maxParallel = optional 1 (count 1) "Changed instances that may be not healthy at a time.";
    jitterMs = optional 0 milliseconds "Each change waits a part of so many milliseconds, by chance.";
    allowShrink = optional false t.bool "Whether a generation may empty the cluster, or take away more than half of it.";
  };
in
{
  guest = guestOf t.string;
  cluster = t.record {
    cluster = example "shop" (needed t.label "The cluster's name.");
    machines = optional { } (t.mapOf t.label machine) "The machines, by host name: what `services.procurator.worker.master` is looked up in.";
    vms = needed (t.mapOf t.label vm) "The VMs, by name.";
    rollout = optional { } rollout "How a generation replaces the one before it.";
  };
}

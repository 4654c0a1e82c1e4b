@0xb6b1f4d3c9a27e51;
# The words that both Master and Worker speak: values only, no interface.
#
# Rules (docs of the wire, DESIGN §4):
# - New fields and enumerants only at the end; numbers are never used again. Readers ignore what they do not know:
#   an unknown enumerant reads as the one that its enum names for that. Writers set every field that they know.
# - A pointer that may be missing is null, and says so below itself; all others are never null.
# - Times are milliseconds; points in time are Unix milliseconds. Memory and disk are MiB.
# - Maps travel as lists of entries, sorted by key, each key once.
# - Errors travel in the reason of a Cap'n Proto exception: `procurator-fault ` and one line of JSON,
#   {"code": …, "message": …}. Codes: invalid-input, not-found, conflict, stale, hash-mismatch, bad-signature,
#   wrong-origin, permission-denied, unauthenticated, unimplemented, too-large, unavailable, deadline-exceeded,
#   internal. A reader takes an unknown code for `internal`.

struct LabelEntry {
  # An entry of a map from text to text.
  key @0 :Text;
  # Unique in its list. Default: empty.
  value @1 :Text;
  # Default: empty.
}

struct CountEntry {
  # An entry of a map from text to a number.
  key @0 :Text;
  # Unique in its list. Default: empty.
  value @1 :UInt64;
  # Unit and meaning are the map's. Default: 0.
}

struct Origin {
  # Where a realm's desired state comes from.
  repository @0 :Text;
  # `owner/name` as repohub has it. Default: empty, which no origin has.
  branch @1 :Text;
  # The tracked branch, without `refs/heads/`. Default: empty, which no origin has.
  path @2 :Text = ".";
  # The flake's directory in the repository, relative. Default: `.`.
}

# ---- VmSpec and rollout policy -------------------------------------------------------------------------------------

struct Volume {
  # A raw disk that outlives its VM's processes.
  sizeMb @0 :UInt64;
  # MiB, at least 1. Default: 0, which no volume has.
  mount @1 :Text;
  # The absolute path in the guest. Default: empty.
  onLoss @2 :OnLoss;
  # What becomes of it when its worker is lost. Default: keep.
}

enum OnLoss {
  keep @0;
  # The instance waits for its worker; also what an unknown value reads as.
  recreate @1;
  # The volume may be made anew elsewhere, empty.
}

struct VolumeEntry {
  # An entry of the map of a VM's volumes.
  key @0 :Text;
  # The volume's name, a DNS label. Default: empty.
  value @1 :Volume;
  # Never null.
}

enum EgressMode {
  isolated @0;
  # Nothing leaves the cluster; also what an unknown value reads as.
  allow @1;
  # Only to the named domains.
  open @2;
  # Anywhere.
}

struct Egress {
  # What may leave the cluster from a VM.
  mode @0 :EgressMode;
  # Default: isolated.
  domains @1 :List(Text);
  # With `allow` only: `x.org` exactly, `*.x.org` its subdomains. Default: none.
}

struct PublishedPort {
  # A port that a VM offers.
  name @0 :Text;
  # A DNS label. Default: empty.
  port @1 :UInt16;
  # 1 to 65535, in the guest. Default: 0, which no port has.
  publish @2 :UInt16;
  # The worker's port that leads to it. Default: 0, not published.
}

struct Network {
  # What a VM may reach and offers.
  nic @0 :Bool = true;
  # Whether it has a network card. Default: true.
  egress @1 :Egress;
  # Never null.
  connect @2 :List(Text);
  # `vm:port` inside the cluster. Default: none.
  ports @3 :List(PublishedPort);
  # Default: none.
}

enum Operator {
  in @0;
  # The label's value is among the values; also what an unknown value reads as.
  notIn @1;
  # It is not.
  exists @2;
  # The label exists; there are no values.
}

struct LabelExpression {
  # A worker fits when this is true of its labels.
  key @0 :Text;
  # The label. Default: empty.
  operator @1 :Operator;
  # Default: in.
  values @2 :List(Text);
  # Default: none.
}

struct Spread {
  # Replicas are spread over the values of a label.
  over @0 :Text;
  # The label of workers. Default: empty.
  maxSkew @1 :UInt32 = 1;
  # By how many replicas two values may differ, at least 1. Default: 1.
}

struct PlacementPolicy {
  # Where a VM may and would rather run.
  require @0 :List(LabelExpression);
  # All must be true. Default: none.
  prefer @1 :List(LabelExpression);
  # The more the better. Default: none.
  spread @2 :List(Spread);
  # Default: none.
  affinity @3 :List(Text);
  # VMs that it would be with. Default: none.
  antiAffinity @4 :List(Text);
  # VMs that it must not be with. Default: none.
  priority @5 :UInt8 = 50;
  # 0 to 100; the higher may displace the lower. Default: 50.
}

enum CheckType {
  tcp @0;
  # The worker connects; also what an unknown value reads as.
  http @1;
  # The worker asks for a path.
  command @2;
  # The guest runs a command.
  readiness @3;
  # The guest says so itself.
}

struct HealthCheck {
  # One question whose answer says whether a VM does its work.
  type @0 :CheckType;
  # Default: tcp.
  port @1 :UInt16;
  # 1 to 65535, for tcp and http. Default: 0, none.
  path @2 :Text;
  # For http. Null: none.
  command @3 :List(Text);
  # For command: argv. Null: none.
}

struct Health {
  # When a VM counts as healthy. Without checks: when it has run for the rollout's minHealthyMs.
  checks @0 :List(HealthCheck);
  # All must pass. Default: none.
  intervalMs @1 :UInt32 = 2000;
  # Between two rounds of checks. Default: 2000.
  timeoutMs @2 :UInt32 = 1000;
  # For one check. Default: 1000.
  failures @3 :UInt32 = 3;
  # Rounds failed in a row that make it unhealthy. Default: 3.
  startDeadlineMs @4 :UInt32 = 120000;
  # From boot to healthy. Default: 120000.
}

enum UpdateStrategy {
  replace @0;
  # The VM is stopped and another booted; also what an unknown value reads as.
  switch @1;
  # The running VM switches to the next System.
}

struct UpdatePolicy {
  # What happens on change and on failure.
  strategy @0 :UpdateStrategy;
  # Default: replace.
  autoRollback @1 :Bool = true;
  # False: a failed rollout pauses. Default: true.
}

struct VmSpec {
  # One VM of a generation. `data` is what is hashed and signed; the typed fields say the same, and a reader
  # refuses a VmSpec in which the two disagree.
  data @0 :Data;
  # The RFC 8785 canonical JSON of the VmSpec. Never null.
  name @1 :Text;
  # A DNS label, unique in its generation. Default: empty.
  system @2 :Text;
  # The flake attribute of the toplevel. Default: empty.
  toplevel @3 :Text;
  # Store path of the System. Default: empty.
  kernel @4 :Text;
  # Store file. Default: empty.
  initrd @5 :Text;
  # Store file. Default: empty.
  cmdline @6 :Text;
  # The kernel's command line, at most 2048 bytes. Default: empty.
  diskImagePath @7 :Text;
  # Store file of an image that Nix built. Null: the worker assembles one.
  cpu @8 :UInt32;
  # Whole vCPUs, at least 1. Default: 0, which no VM has.
  memoryMb @9 :UInt64;
  # MiB, at least 32. Default: 0, which no VM has.
  extras @10 :List(CountEntry);
  # Further resources by name, each at least 1. Default: none.
  replicas @11 :UInt32 = 1;
  # Instances. Default: 1.
  labels @12 :List(LabelEntry);
  # Default: none.
  singleton @13 :Bool;
  # Never two at once, not even while one is lost. Default: false.
  volumes @14 :List(VolumeEntry);
  # Default: none.
  network @15 :Network;
  # Never null.
  dependsOn @16 :List(Text);
  # VMs that start first on the first boot. Default: none.
  env @17 :List(LabelEntry);
  # What is baked into the System's environment. Default: none.
  placement @18 :PlacementPolicy;
  # Never null.
  health @19 :Health;
  # Never null.
  update @20 :UpdatePolicy;
  # Never null.
}

enum Gate {
  auto @0;
  # The wave opens by itself when its turn has come; also what an unknown value reads as.
  approve @1;
  # An operator promotes it.
}

struct Wave {
  # A part of the fleet that changes together: exactly one of selector and percent.
  selector @0 :List(LabelEntry);
  # Labels of its VMs. Null: none.
  percent @1 :UInt8;
  # Its own share of all that the rollout changes, 1 to 100. Default: 0, none.
  delayMs @2 :UInt64;
  # After the wave before it has finished. Default: 0.
  gate @3 :Gate;
  # What opens this wave. Default: auto.
}

struct RolloutPolicy {
  # How a generation replaces the one before it. `data` is to the typed fields what it is in VmSpec.
  data @0 :Data;
  # The RFC 8785 canonical JSON of the policy. Never null.
  waves @1 :List(Wave);
  # Default: none, all at once.
  minHealthyMs @2 :UInt64 = 2000;
  # How long a VM must be healthy to count. Default: 2000.
  maxFailures @3 :UInt32;
  # Failures that a rollout survives. Default: 0.
  maxParallel @4 :UInt32 = 1;
  # Changed VMs that change at once, at least 1. Default: 1.
  jitterMs @5 :UInt64;
  # Up to how long a VM waits by chance after its wave has opened. Default: 0.
  allowShrink @6 :Bool;
  # Whether a generation may empty the cluster or remove more than half of it. Default: false.
}

# ---- What workers report -------------------------------------------------------------------------------------------

enum VmPhase {
  waiting @0;
  # Nothing happens to it yet; also what an unknown value reads as.
  pulling @1;
  # Its closure is being pulled.
  preparing @2;
  # Its image, volumes and network are being made.
  booting @3;
  # The hypervisor runs, the guest is not up yet.
  running @4;
  # The guest runs, not yet healthy.
  healthy @5;
  # All checks pass.
  unhealthy @6;
  # Checks fail.
  failed @7;
  # It does not run and will not without a change.
  stopping @8;
  # It is on its way down.
  gone @9;
  # Nothing of it runs any more.
}

enum View {
  ok @0;
  # The observer sees it working.
  failing @1;
  # The observer sees it failing.
  unknown @2;
  # There is no such observer; also what an unknown value reads as.
}

struct Reverted {
  # The worker booted the fallback because this content did not get healthy.
  contentHash @0 :Text;
  # The content that failed. Default: empty.
  reason @1 :Text;
  # For people. Default: empty.
}

struct RunningVm {
  # One VM as its worker sees it.
  instance @0 :Text;
  # `<vm>-<n>`. Default: empty.
  generation @1 :UInt64;
  # Of what runs or is being brought up. Default: 0, none.
  contentHash @2 :Text;
  # Of the same. Default: empty.
  specHash @3 :Text;
  # SHA-256 of the same VmSpec's bytes, hexadecimal. Default: empty.
  phase @4 :VmPhase;
  # Default: waiting.
  reason @5 :Text;
  # Why it is in this phase, for people. Default: empty.
  guestView @6 :View = unknown;
  # What the guest says. Default: unknown.
  hostView @7 :View = unknown;
  # What the worker's checks say. Default: unknown.
  address @8 :Text;
  # IPv4. Default: empty, none.
  pid @9 :UInt32;
  # The hypervisor's process. Default: 0, none.
  runningMs @10 :UInt64;
  # How long that process has run. Default: 0.
  healthyMs @11 :UInt64;
  # How long it has been healthy without a break. Default: 0.
  restarts @12 :UInt32;
  # Since it was assigned. Default: 0.
  phaseMs @13 :List(CountEntry);
  # Milliseconds that each phase which it has left lasted. Default: none.
  reverted @14 :Reverted;
  # Null: it was not reverted.
  volumes @15 :List(Text);
  # Names of its volumes on this worker. Default: none.
  pull @16 :PullProgress;
  # How far the pull of its closure is. Null: nothing is being pulled.
}

struct PullProgress {
  # How much of a closure has come.
  pathsDone @0 :UInt32;
  # Store paths that are there, of those that were missing. Default: 0.
  pathsTotal @1 :UInt32;
  # Store paths that were missing. Default: 0, not known yet.
  bytesDone @2 :UInt64;
  # Bytes that came over the network. Default: 0.
  bytesTotal @3 :UInt64;
  # Bytes to come in all. Default: 0, not known.
}

struct WorkerFacts {
  # What a machine is.
  arch @0 :Text = "x86_64";
  # As `uname -m` says. Default: x86_64.
  cpu @1 :UInt32;
  # Cores for VMs. Default: 0.
  memoryMb @2 :UInt64;
  # MiB for VMs. Default: 0.
  diskMb @3 :UInt64;
  # MiB for volumes and closures. Default: 0.
  hypervisor @4 :Text;
  # Its name and version. Default: empty.
  labels @5 :List(LabelEntry);
  # Default: none.
  extras @6 :List(CountEntry);
  # Further resources by name. Default: none.
  version @7 :Text;
  # Of the worker program. Default: empty.
  address @8 :Text;
  # By which other workers reach it. Default: empty.
  location @9 :Text;
  # Where it stands, for people: a site, a rack. Default: empty, not told.
}

struct WorkerMetrics {
  # How a machine is doing now.
  memoryFreeMb @0 :UInt64;
  # MiB. Default: 0.
  diskFreeMb @1 :UInt64;
  # MiB. Default: 0.
  load1 @2 :Float64;
  # The one-minute load average. Default: 0.
  uptimeMs @3 :UInt64;
  # Since boot. Default: 0.
  cpuPressure @4 :Float64;
  # Percent of the last 10 s in which something waited for a CPU (PSI `some avg10`), 0 to 100. Default: 0.
  memoryPressure @5 :Float64;
  # The same for memory. Default: 0.
  ioPressure @6 :Float64;
  # The same for disks. Default: 0.
}

struct WorkerReport {
  # All VMs that a worker has, complete; pushData's arguments.
  workerId @0 :Text;
  # A DNS label. Default: empty.
  observedGeneration @1 :UInt64;
  # The highest generation that its assignment names. Default: 0, none.
  runningVms @2 :List(RunningVm);
  # Default: none.
  metrics @3 :WorkerMetrics;
  # Never null.
  epoch @4 :Text;
  # Of the assignment that it obeys. Default: empty, none yet.
  revision @5 :UInt64;
  # Of the same. Default: 0.
  keptVolumes @6 :List(Text);
  # `instance/volume` for each volume file that it keeps. Default: none.
}

enum Directive {
  fullReport @0;
  # Report everything at once.
  drain @1;
  # Take no new VMs.
  collect @2;
  # Remove closures that nothing needs.
}

struct PushReply {
  # The answer to a report.
  serverTimeMs @0 :UInt64;
  # The control plane's clock, Unix milliseconds. Default: 0.
  intervalMs @1 :UInt32 = 10000;
  # When to report next at the latest. Default: 10000.
  directives @2 :List(Directive);
  # Unknown ones are ignored. Default: none.
  leaseMs @3 :UInt64;
  # How long after sending the report the worker may keep its fenced singletons. Default: 0, no lease is given.
}

# ---- What people see ------------------------------------------------------------------------------------------------

enum Convergence {
  converged @0;
  # Every instance is healthy on the newest generation.
  progressing @1;
  # A rollout runs or is paused; also what an unknown value reads as.
  failed @2;
  # The newest generation was rolled back, aborted or failed.
  held @3;
  # An operator pinned VMs to an earlier generation.
}

enum RolloutState {
  running @0;
  # On its way; also what an unknown value reads as.
  paused @1;
  # Waits for an operator.
  rollingBack @2;
  # What it changed goes back.
  succeeded @3;
  # The outcome that makes a generation last-good.
  rolledBack @4;
  # It failed, and what it changed is back.
  failed @5;
  # It failed, and going back did too.
  aborted @6;
  # An operator ended it.
  superseded @7;
  # A newer generation took over.
}

struct GenerationStatus {
  # A generation and how its rollout went.
  number @0 :UInt64;
  # Default: 0, which no generation has.
  commit @1 :Text;
  # Default: empty.
  origin @2 :Origin;
  # Never null.
  intentHash @3 :Text;
  # SHA-256, hexadecimal. Default: empty.
  publishedAtMs @4 :UInt64;
  # Unix milliseconds. Default: 0.
  state @5 :RolloutState;
  # Default: running.
  reason @6 :Text;
  # For people. Default: empty.
  placedMs @7 :UInt64;
  # Unix milliseconds at which all was placed. Default: 0, not yet.
}

enum WorkerState {
  ready @0;
  # It reports and takes VMs.
  cordoned @1;
  # It takes no new VMs.
  draining @2;
  # Its VMs go elsewhere.
  lost @3;
  # Its lease has expired; also what an unknown value reads as.
}

struct WorkerStatus {
  # One worker as the control plane sees it.
  workerId @0 :Text;
  # Default: empty.
  state @1 :WorkerState;
  # Default: ready.
  subnet @2 :Text;
  # Of its instances, CIDR. Default: empty, none yet.
  facts @3 :WorkerFacts;
  # Never null.
  metrics @4 :WorkerMetrics;
  # Never null.
  cpuUsed @5 :UInt32;
  # vCPUs of what is placed on it. Default: 0.
  memoryUsedMb @6 :UInt64;
  # MiB of what is placed on it. Default: 0.
  vms @7 :UInt32;
  # Instances placed on it. Default: 0.
  revision @8 :UInt64;
  # Of its newest assignment. Default: 0.
  observedRevision @9 :UInt64;
  # Of the one that it obeys. Default: 0.
  seenMsAgo @10 :UInt64;
  # Since its last report. Default: 0.
  connected @11 :Bool;
  # Whether it has a session now. Default: false.
  reason @12 :Text;
  # Why it takes nothing new, for people. Default: empty, it does.
}

struct VmStatus {
  # One instance: what is wanted, what runs, three views and the verdict.
  instance @0 :Text;
  # `<vm>-<n>`. Default: empty.
  vm @1 :Text;
  # The VmSpec's name. Default: empty.
  generation @2 :UInt64;
  # Assigned. Default: 0.
  contentHash @3 :Text;
  # Assigned. Default: empty.
  workerId @4 :Text;
  # Default: empty, not placed.
  placementReason @5 :Text;
  # Why there, or why nowhere. Default: empty.
  address @6 :Text;
  # IPv4. Default: empty, none.
  mac @7 :Text;
  # Default: empty, none.
  phase @8 :VmPhase;
  # Default: waiting.
  runningGeneration @9 :UInt64;
  # Of what runs. Default: 0, nothing.
  runningContentHash @10 :Text;
  # Of what runs. Default: empty, nothing.
  drift @11 :Bool;
  # Whether another content runs than is assigned. Default: false.
  healthy @12 :Bool;
  # The verdict. Default: false.
  reason @13 :Text;
  # Of the verdict, for people. Default: empty.
  guestView @14 :View = unknown;
  # Default: unknown.
  hostView @15 :View = unknown;
  # Default: unknown.
  controlPlaneView @16 :View = unknown;
  # Default: unknown.
  pid @17 :UInt32;
  # Default: 0, none.
  runningMs @18 :UInt64;
  # How long the process has run. Default: 0.
  restarts @19 :UInt32;
  # Default: 0.
  phaseMs @20 :List(CountEntry);
  # Milliseconds that each phase which it has left lasted. Default: none.
  ports @21 :List(Text);
  # `name:port`. Default: none.
  pull @22 :PullProgress;
  # How far the pull of its closure is. Null: nothing is being pulled.
}

struct ClusterStatus {
  # The whole cluster at one moment.
  realm @0 :Text = "default";
  # Default: default.
  cluster @1 :Text;
  # Default: empty, nothing published yet.
  origin @2 :Origin;
  # Null: not set yet.
  timeMs @3 :UInt64;
  # Unix milliseconds. Default: 0.
  epoch @4 :Text;
  # Of the database. Default: empty.
  convergence @5 :Convergence;
  # Default: converged.
  reason @6 :Text;
  # For people. Default: empty.
  generations @7 :List(GenerationStatus);
  # The newest first. Default: none.
  workers @8 :List(WorkerStatus);
  # By id. Default: none.
  vms @9 :List(VmStatus);
  # By instance. Default: none.
}

enum EventKind {
  generation @0;
  # Something about a generation; also what an unknown value reads as.
  placement @1;
  # An instance was placed, or was not.
  rollout @2;
  # A rollout's state changed.
  vm @3;
  # A VM's state changed.
  worker @4;
  # A worker's state changed.
  hold @5;
  # A hold was made, lifted, or lifted itself.
  audit @6;
  # Somebody did something that the audit keeps.
  join @7;
  # A worker asked to join, or was decided on.
}

struct Event {
  # Something that happened.
  atMs @0 :UInt64;
  # Unix milliseconds. Default: 0.
  kind @1 :EventKind;
  # Default: generation.
  subject @2 :Text;
  # The instance, worker or generation. Default: empty.
  message @3 :Text;
  # For people. Default: empty.
}

struct Cursor {
  # A place in the stream of events.
  epoch @0 :Text;
  # Of the database. Default: empty.
  sequence @1 :UInt64;
  # Of the last event that was delivered. Default: 0, before the first.
}

struct LiveClosures {
  # What caches and workers must keep.
  paths @0 :List(Text);
  # Store paths whose closures are needed. Default: none.
  complete @1 :Bool;
  # False: nothing may be collected. Default: false.
}

struct ConnectionInfo {
  # How to reach a VM.
  instance @0 :Text;
  # Default: empty.
  address @1 :Text;
  # IPv4 inside the cluster. Default: empty, none.
  workerId @2 :Text;
  # Default: empty.
  ports @3 :List(Text);
  # `name:port`. Default: none.
}

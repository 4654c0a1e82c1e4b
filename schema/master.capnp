@0xe1f3a3c7d3550c27;
# The control plane's side of the wire. `Gateway` is the bootstrap capability; nothing else is to be had unasked.

using Common = import "common.capnp";
using Work = import "worker.capnp";
using Op = import "operations.capnp";

enum Role {
  viewer @0;
  # Reads.
  publisher @1;
  # Publishes generations and follows them.
  operator @2;
  # Viewer, and acts on rollouts, workers and VMs.
  admin @3;
  # Everything.
  worker @4;
  # A machine's agent; gets a WorkerSession.
}

struct Credential {
  # Who somebody is.
  union {
    peer @0 :Void;
    # The uid of the process at the other end of a unix socket, which the server reads for itself.
    token @1 :Text;
    # A secret that the server knows the hash of.
    proof @2 :WorkerProof;
    # A worker's signature, with role worker only. Never null when chosen.
  }
}

struct WorkerProof {
  # A worker's key and its signature over a nonce of the server.
  publicKey @0 :Text;
  # `name:base64`. Default: empty.
  nonce @1 :Text;
  # From Gateway.challenge, good once. Default: empty.
  timeMs @2 :UInt64;
  # The worker's clock when it signed, Unix milliseconds. Default: 0.
  signature @3 :Text;
  # `name:base64` of the key over `procurator-login-v1\n` (join: `procurator-join-v1\n`) and the canonical JSON of
  # {nonce, realm, timeMs, workerId}. Default: empty.
}

struct WorkerHello {
  # What a worker says of itself at login.
  workerId @0 :Text;
  # A DNS label. Default: empty.
  facts @1 :Common.WorkerFacts;
  # Never null.
  worker @2 :Work.Worker;
  # The worker's own capability. Never null at login, null with join.
}

interface Gateway {
  # Hands out sessions. A peer that has not logged in within 10 s, or sends more than 64 KiB before, is dropped.

  login @0 (credential :Credential, role :Role, hello :WorkerHello) -> (master :Master, workerSession :WorkerSession);
  # hello: with role worker only, else null. The result is workerSession for role worker and master for all others;
  # the other one is null. Errors: unauthenticated, permission-denied, invalid-input.

  challenge @1 (workerId :Text) -> (nonce :Text, serverTimeMs :UInt64);
  # What a worker signs next. nonce: good once, for a short time. serverTimeMs: Unix milliseconds.

  join @2 (hello :WorkerHello, proof :WorkerProof, token :Text) -> (answer :Op.JoinAnswer);
  # A worker asks to be let in; asking again is harmless. hello, proof: never null. token: a join token, default empty,
  # none. Errors: unauthenticated, permission-denied, invalid-input, conflict when the id has another key.
}

struct Publish {
  # publishState's arguments: one generation.
  commit @0 :Text;
  # The full git object name. Default: empty.
  generation @1 :UInt64;
  # Its number, 1 to 2^53-1. Default: 0.
  intentHash @2 :Text;
  # SHA-256 of the intent document, hexadecimal. Default: empty.
  vmSpecs @3 :List(Common.VmSpec);
  # Each name once. Default: none.
  cluster @4 :Text;
  # A DNS label. Default: empty.
  rollout @5 :Common.RolloutPolicy;
  # Never null.
  origin @6 :Common.Origin;
  # Never null.
  signature @7 :Text;
  # `name:base64` of CI's key over `procurator-publish-v1\n` and the canonical JSON of
  # {realm, origin, number, commit, intentHash}. Default: empty.
  realm @8 :Text = "default";
  # Default: default.
}

struct PublishReceipt {
  # The answer to a publish that is on disk.
  number @0 :UInt64;
  # The generation. Default: 0.
  intentHash @1 :Text;
  # Default: empty.
  created @2 :Bool;
  # False: it was there already. Default: false.
}

struct Seen {
  # The last assignment that a worker knows.
  epoch @0 :Text;
  # Default: empty.
  revision @1 :UInt64;
  # Default: 0.
}

struct SignedAssignment {
  # An assignment's bytes as the control plane signed them.
  data @0 :Data;
  # Canonical JSON of {realm, workerId, epoch, revision, entries, peers, generations}. Default: empty.
  signature @1 :Text;
  # `name:base64` of the control plane's key over `procurator-assignment-v1\n` and data. Default: empty.
  intents @2 :List(Data);
  # The intent documents whose hashes `generations` names, canonical JSON under CI's signature. Default: none.
}

interface Master {
  # The control plane, as far as the session's role reaches.

  publishState @0 Publish -> PublishReceipt;
  # Accept a generation, atomically and idempotently; answers when it is on disk. Errors: conflict, stale,
  # hash-mismatch, bad-signature, wrong-origin, invalid-input.

  getAssignment @1 (workerId :Text, lastSeen :Seen) -> (assignment :SignedAssignment);
  # Answers once (epoch, revision) differs from lastSeen (null: at once), or within 25 s with null.

  pushData @2 Common.WorkerReport -> Common.PushReply;
  # Take a worker's report.

  getClusterStatus @3 () -> (status :Common.ClusterStatus);
  # The whole cluster now.

  getWorker @4 (workerId :Text) -> (worker :Work.Worker);
  # A connected worker, wrapped by role. Errors: not-found, unavailable.

  getVm @5 (vmId :Text) -> (vm :Work.Vm);
  # An instance on its connected worker, wrapped by role. Errors: not-found, unavailable.

  watch @6 (sink :EventSink, cursor :Common.Cursor) -> ();
  # Feed the sink until the call is cancelled. cursor: where to go on; null: from a snapshot of now.

  liveClosures @7 () -> (closures :Common.LiveClosures);
  # What must be kept.

  explain @8 (vmId :Text) -> Op.Explanation;
  # Why an instance is where it is, or nowhere; the deciding reason first. Errors: not-found.

  listGenerations @9 (limit :UInt32, before :UInt64) -> (generations :List(Common.GenerationStatus));
  # The newest first. limit: default 0, 100. before: only lower numbers, default 0, all.

  getGeneration @10 (number :UInt64) -> (publish :Publish, status :Common.GenerationStatus,
                                         content :Op.GenerationContent);
  # One generation as it was published. publish and status: null, what they would say is in content, which is never
  # null. Errors: not-found.

  pauseRollout @11 (generation :UInt64, reason :Text) -> ();
  # Errors: not-found, conflict when it has ended.

  resumeRollout @12 (generation :UInt64) -> ();
  # Errors: not-found, conflict.

  promoteRollout @13 (generation :UInt64) -> ();
  # Open the next wave. Errors: not-found, conflict.

  abortRollout @14 (generation :UInt64, reason :Text) -> ();
  # End it where it is. Errors: not-found, conflict.

  hold @15 (vms :List(Text), generation :UInt64, reason :Text) -> (hold :Op.Hold);
  # Pin VMs (none: all) to an earlier generation whose closures are kept. Errors: not-found, conflict.

  liftHold @16 (id :Text) -> ();
  # Errors: not-found.

  listHolds @17 () -> (holds :List(Op.Hold));
  # Those in force.

  cordonWorker @18 (workerId :Text, cordoned :Bool, reason :Text) -> ();
  # Whether it takes new VMs. cordoned: default false, it does. Errors: not-found.

  drainWorker @19 (workerId :Text, deadlineMs :UInt64, reason :Text) -> ();
  # Move its VMs elsewhere. deadlineMs: default 0, as long as it needs. Errors: not-found.

  releaseVolume @20 (instance :Text, volume :Text) -> ();
  # Give up a volume that is bound to its worker. volume: default empty, all of the instance. Errors: not-found,
  # conflict.

  listRollouts @21 (limit :UInt32, before :UInt64) -> (rollouts :List(Op.RolloutStatus));
  # The newest first. limit: default 0, 100. before: only lower numbers, default 0, all.

  listWorkers @22 () -> (workers :List(Op.WorkerAdmission));
  # All that ever asked to join, pending ones first.

  approveWorker @23 (workerId :Text) -> ();
  # Let a pending or rejected worker in. Errors: not-found, conflict for a retired one.

  rejectWorker @24 (workerId :Text, reason :Text) -> ();
  # Refuse a pending worker. Errors: not-found, conflict.

  retireWorker @25 (workerId :Text, reason :Text) -> ();
  # Take a worker out for good. Errors: not-found, conflict while it has VMs.

  createJoinToken @26 (workerId :Text) -> (secret :Text);
  # A secret, good once and for 15 minutes, that lets a worker in. workerId: default empty, any.

  createToken @27 (name :Text, role :Role, lastsMs :UInt64) -> (secret :Text);
  # A new token; its secret is shown only here. lastsMs: default 0, until revoked. Errors: conflict, invalid-input.

  listTokens @28 () -> (tokens :List(Op.TokenInfo));
  # All tokens, the revoked ones too.

  revokeToken @29 (name :Text) -> ();
  # End a token and every session that it holds. Errors: not-found, conflict for a configured one.

  listAudit @30 (limit :UInt32, before :UInt64) -> (entries :List(Op.AuditEntry));
  # The newest first. limit: default 0, 100. before: only lower sequences, default 0, all.

  verifyAudit @31 () -> (verdict :Op.AuditVerdict);
  # Follow the chain from its first row to its last.
}

interface WorkerSession {
  # Master as one worker may use it: another workerId than its own is denied.

  getAssignment @0 (workerId :Text, lastSeen :Seen) -> (assignment :SignedAssignment);
  # As Master.getAssignment.

  pushData @1 Common.WorkerReport -> Common.PushReply;
  # As Master.pushData.

  liveClosures @2 () -> (closures :Common.LiveClosures);
  # As Master.liveClosures.
}

interface EventSink {
  # Takes the stream of `watch`. Each call is awaited before the next, at most 5 s.

  event @0 (event :Common.Event, cursor :Common.Cursor) -> ();
  # The next event, and the cursor behind it.

  resync @1 (snapshot :Common.ClusterStatus, cursor :Common.Cursor) -> ();
  # Begin again from here: at the start, and when events were missed.
}

@0xc4608316a0ff3730;
# What people and workers ask of a control plane beside the path, and what it answers: values only, no interface.
# The rules of common.capnp hold here too.

using Common = import "common.capnp";

struct WorkerFit {
  # One worker as a place for an instance.
  workerId @0 :Text;
  # Default: empty.
  lacks @1 :List(Text);
  # What it lacks. Default: none, it fits.
  score @2 :Float64;
  # By which those that fit were compared, the lower wins. Default: 0.
}

struct Explanation {
  # Why an instance is where it is, why not elsewhere, or why nowhere.
  reasons @0 :List(Text);
  # The deciding one first. Default: none.
  instance @1 :Text;
  # Default: empty.
  workerId @2 :Text;
  # Default: empty, not placed.
  workers @3 :List(WorkerFit);
  # At most 100, the fitting ones first. Default: none.
  more @4 :UInt32;
  # How many workers were left out. Default: 0.
}

enum WaveState {
  waiting @0;
  # It has not begun; also what an unknown value reads as.
  open @1;
  # Its instances change.
  done @2;
  # All of it is healthy.
  abandoned @3;
  # The rollout goes back, or has ended, before it was done.
}

struct WaveStatus {
  # A part of the fleet that changes together.
  number @0 :UInt32;
  # From 1. Default: 0.
  state @1 :WaveState;
  # Default: waiting.
  instances @2 :List(Text);
  # Default: none.
  healthy @3 :UInt32;
  # How many of them are. Default: 0.
  failed @4 :UInt32;
  # How many of them failed. Default: 0.
  gate @5 :Text = "auto";
  # `auto` or `approve`. Default: auto.
  waitsFor @6 :Text;
  # What keeps it from opening, for people. Default: empty, nothing.
}

struct RolloutStatus {
  # The walk to one generation.
  generation @0 :UInt64;
  # Default: 0, which no generation has.
  state @1 :Common.RolloutState;
  # Default: running.
  reason @2 :Text;
  # For people. Default: empty.
  startedAtMs @3 :UInt64;
  # Unix milliseconds. Default: 0.
  endedAtMs @4 :UInt64;
  # Unix milliseconds. Default: 0, not yet.
  waves @5 :List(WaveStatus);
  # Default: none.
  failed @6 :List(Common.LabelEntry);
  # Instances that did not get healthy, with the reason of each. Default: none.
}

struct Hold {
  # An operator's pin of VMs to an earlier generation.
  id @0 :Text;
  # Default: empty.
  vms @1 :List(Text);
  # Names of VmSpecs. Default: none.
  generation @2 :UInt64;
  # The generation that they are pinned to. Default: 0.
  reason @3 :Text;
  # For people. Default: empty.
  createdAtMs @4 :UInt64;
  # Unix milliseconds. Default: 0.
  actor @5 :Text;
  # Who made it, as in the audit. Default: empty.
}

enum Admission {
  pending @0;
  # It asked, and nobody has decided; also what an unknown value reads as.
  approved @1;
  # It may log in.
  rejected @2;
  # It was refused, and may be approved later.
  retired @3;
  # It is out for good.
}

struct WorkerAdmission {
  # A worker that asked to join.
  workerId @0 :Text;
  # Default: empty.
  admission @1 :Admission;
  # Default: pending.
  fingerprint @2 :Text;
  # Hexadecimal SHA-256 of its public key. Default: empty.
  facts @3 :Common.WorkerFacts;
  # Never null.
  askedAtMs @4 :UInt64;
  # Unix milliseconds. Default: 0.
  decidedAtMs @5 :UInt64;
  # Unix milliseconds. Default: 0, not yet.
  decidedBy @6 :Text;
  # As in the audit. Default: empty.
  reason @7 :Text;
  # Of the decision, for people. Default: empty.
  peer @8 :Text;
  # From where it asked. Default: empty.
}

struct JoinAnswer {
  # What became of a worker's request to join.
  admission @0 :Admission;
  # Default: pending, it asks again later.
  reason @1 :Text;
  # For people. Default: empty.
}

struct TokenInfo {
  # A person's or program's token, without its secret.
  name @0 :Text;
  # Default: empty.
  role @1 :Text;
  # A role's name. Default: empty.
  createdAtMs @2 :UInt64;
  # Unix milliseconds. Default: 0.
  expiresAtMs @3 :UInt64;
  # Unix milliseconds. Default: 0, never.
  createdBy @4 :Text;
  # As in the audit. Default: empty.
  revoked @5 :Bool;
  # Default: false.
  configured @6 :Bool;
  # It is from the settings and can only be revoked there. Default: false.
  expired @7 :Bool;
  # It was seen to be over by its time. Default: false.
}

struct AuditEntry {
  # One row of the audit.
  sequence @0 :UInt64;
  # Its place, from 1. Default: 0, which none has.
  atMs @1 :UInt64;
  # Unix milliseconds. Default: 0.
  actor @2 :Text;
  # Who: `uid:0`, `token:<name>` or `worker:<id>`. Default: empty.
  peer @3 :Text;
  # From where. Default: empty.
  action @4 :Text;
  # What. Default: empty.
  subject @5 :Text;
  # To what. Default: empty.
  old @6 :Text;
  # The value before. Default: empty.
  new @7 :Text;
  # The value after. Default: empty.
  result @8 :Text = "ok";
  # How it ended: `ok`, or the code of an error and its message. Default: ok.
  hash @9 :Text;
  # Hexadecimal SHA-256 over the row before and this one. Default: empty.
}

struct AuditVerdict {
  # Whether the chain of the audit holds.
  holds @0 :Bool;
  # Default: false.
  rows @1 :UInt64;
  # How many there are. Default: 0.
  brokenAt @2 :UInt64;
  # The first sequence at which it does not hold. Default: 0, none.
  reason @3 :Text;
  # For people. Default: empty.
}

struct GenerationContent {
  # A generation as it was published, for people.
  status @0 :Common.GenerationStatus;
  # Never null.
  specs @1 :List(Common.LabelEntry);
  # The canonical JSON of each VmSpec by VM. Default: none.
  content @2 :List(Common.LabelEntry);
  # The contentHash of each by VM. Default: none.
  rollout @3 :Text = "{}";
  # The canonical JSON of the rollout policy. Default: {}.
}

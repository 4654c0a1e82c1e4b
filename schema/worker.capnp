@0xd8c05c1c7e0b6a93;
# What a worker and a VM on it can be asked. A worker hands its `Worker` to the control plane at login; everybody
# else gets both wrapped by role, never these themselves.

using Common = import "common.capnp";

interface Worker {
  # A machine's agent.

  read @0 () -> (report :Common.WorkerReport);
  # What it would report now.

  listVms @1 () -> (instances :List(Text));
  # The instances that it has, sorted.

  getVm @2 (instance :Text) -> (vm :Vm);
  # One of them. Errors: not-found.

  drain @3 (deadlineMs :UInt64, reason :Text) -> ();
  # Take no new VMs. deadlineMs: how long its VMs may stay, default 0, as long as they need.

  getConfig @4 () -> (entries :List(Common.LabelEntry));
  # Its settings by full key; no secret is among them.

  updateConfig @5 (key :Text, value :Text) -> (oldValue :Text);
  # Change one setting. Errors: not-found, invalid-input.

  shutdown @6 () -> ();
  # End the agent; its VMs go on.

  deleteVolume @7 (instance :Text, volume :Text) -> ();
  # Delete a volume that is kept of an instance which is no longer here; what is on it is lost. Errors: not-found,
  # conflict while the instance is assigned here or has not ended.
}

interface Vm {
  # One instance on its worker.

  read @0 () -> (vm :Common.RunningVm);
  # What the worker sees of it now.

  getLogs @1 (follow :Bool, tailLines :UInt32, sink :LogSink, hypervisor :Bool) -> ();
  # Feed the sink with what is kept and, with follow (default false), with what comes, until the VM is gone or
  # the call is cancelled. tailLines: how many lines of what is kept, default 0, all. hypervisor: what the hypervisor
  # said instead of what the guest wrote to its console, default false. Also of a VM that has gone, for a while.

  exec @2 (command :Text, args :List(Text), stdin :Data, deadlineMs :UInt64) -> ExecResult;
  # Run a command in the guest, no shell in between. stdin: what it reads, at most 1 MiB, default empty. deadlineMs:
  # when it is ended, default 0, the worker's own limit. Errors: unimplemented where there is no guest channel,
  # deadline-exceeded, too-large.

  console @3 (output :LogSink, columns :UInt16, rows :UInt16) -> (input :Console);
  # Attach to the serial console: output gets what it shows, input takes what is typed. columns and rows of the
  # terminal: default 0, unknown. When the VM is gone or output fails, calls of input fail as unavailable.

  getConnectionInfo @4 () -> (info :Common.ConnectionInfo);
  # How to reach it.

  restart @5 () -> ();
  # Stop it and start it again; answers when the stop has begun.
}

struct ExecResult {
  # How a command inside a guest ended. Output is untrusted.
  exitCode @0 :Int32;
  # Negative: minus the signal's number. Default: 0.
  stdout @1 :Data;
  # At most 1 MiB. Default: empty.
  stderr @2 :Data;
  # At most 1 MiB. Default: empty.
}

interface LogSink {
  # Takes what a guest writes. Each call is awaited before the next, at most 5 s.

  write @0 (data :Data) -> ();
  # At most 64 KiB of untrusted bytes.
}

interface Console {
  # The keyboard side of an attached console; dropping it detaches.

  write @0 (data :Data) -> ();
  # At most 64 KiB.

  resize @1 (columns :UInt16, rows :UInt16) -> ();
  # The terminal has another size. Both at least 1.

  close @2 () -> ();
  # Detach; further calls fail.
}

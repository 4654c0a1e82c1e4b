"""Starts, finds and ends the processes of VMs (the shim and its hypervisor); it speaks no REST and decides nothing."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from schema.errors import DeadlineExceeded, Internal, Unavailable
from worker.vmm import fence
from worker.vmm.confinement import Confinement
from worker.vmm.order import Order
from worker.vmm.programs import arguments_of, module_of, program_of
from worker.vmm.runtime_dir import RuntimeDir
from worker.vmm.shim_files import start_time
from worker.vmm.shims import Shims

CONTROL_SECONDS = 10.0
RECORD_SECONDS = 10.0
"""How long a shim that lives may take to write down how its hypervisor has ended."""
POLL_SECONDS = 0.02
MAX_ANSWER_BYTES = 65_536
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Live:
    """A hypervisor that runs: the process is named for good by `pid` and `start_time` (clock ticks after boot).

    `started_at` is in seconds since 1970, `begun_ns` the same moment on CLOCK_BOOTTIME: the process itself may have
    waited for its VM before that. `shim_pid` is None where the shim has died: the VM runs on without log.
    `is_fenced`: it is ended when the worker's lease is over, whoever is alive then.
    """

    pid: int
    start_time: int
    started_at: float
    begun_ns: int
    shim_pid: int | None
    is_fenced: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A hypervisor that ended by itself or was ended; exactly one of `code` and `signal` is set when it is known.

    `by_fence`: its worker's lease had run out.
    """

    code: int | None
    signal: int | None
    at: float
    by_fence: bool = False

    def __str__(self) -> str:
        if self.by_fence:
            return "ended, as the worker's lease had run out"
        if self.signal is not None:
            return f"killed by signal {self.signal}"
        return "ended, how is not known" if self.code is None else f"exited with {self.code}"


async def start_shim(
    directory: RuntimeDir,
    *,
    command: Sequence[str],
    log_bytes: int,
    lease: Path | None = None,
    confinement: Confinement | None = None,
    shims: Shims | None = None,
) -> Live:
    """Start a hypervisor (`command`, without `--api-socket`) under a new shim; it may not serve its API yet.

    Both live on when this process ends. `log_bytes` caps the serial log; `lease` is the lease file of a fenced VM,
    which is ended when that has run out; `confinement` is the hypervisor's (the shim is ours); without `shims` it has a
    spawner of its own. Raises what `Shims.start` does, and Unavailable when the hypervisor ended at once.
    """
    order = Order(
        str(directory.path),
        command=list(arguments_of(command)),
        log_bytes=log_bytes,
        lease=fence.NONE if lease is None else str(lease),
        confinement=confinement,
        module=module_of(command),
    )
    if shims is not None:
        return await _started(directory, order, shims)
    async with Shims(modules=(order.module,)) as own:
        return await _started(directory, order, own)


async def _started(directory: RuntimeDir, order: Order, shims: Shims) -> Live:
    await shims.start(order)
    found = find(directory)
    match found:
        case Live():
            return found
        case Ended():
            said = (directory.hypervisor_log.read_bytes() if directory.hypervisor_log.exists() else b"")[-2000:]
            raise Unavailable(f"{order.command[0]} {found} at once: {said.decode(errors='replace').strip()}")
    raise Internal(f"the shim of {directory.path} started and left no record")


async def runs_as(confinement: Confinement, command: Sequence[str], *, deadline: float) -> str:
    """Run a command to its end as that user, in at most `deadline` seconds; why it does not work, else empty."""
    try:
        with trio.fail_after(deadline):
            done = await trio.run_process(  # noqa: TID251 - this module is an owner
                [program_of(command[0]), *command[1:]],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                cwd="/",
                user=confinement.uid,
                group=confinement.gid,
                extra_groups=confinement.groups,
            )
    except trio.TooSlowError:
        return f"not done within {deadline:g} s"
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.decode(errors="replace").strip()[-500:] or f"{done.returncode}"


def find(directory: RuntimeDir) -> Live | Ended | None:
    """What runs or ran in a runtime directory; None where nothing was ever recorded that can be read.

    A process counts as running when its id, its start time and this run of the kernel are the recorded ones: an id that
    was given to another process since does not. Whether it still answers is for `ping`.
    """
    try:
        record = json.loads(directory.process_record.read_bytes())
    except (OSError, ValueError):
        return None
    match record:
        case {"pid": int(pid), "startTime": int(started), "startedAt": int() | float() as at, "bootId": str(boot)}:
            pass
        case _:
            return None
    match record.get("exit"):
        case {"code": int() | None as code, "signal": int() | None as number, "at": int() | float() as ended}:
            return Ended(code=code, signal=number, at=ended, by_fence=record["exit"].get("fenced") is True)
    if boot != fence.boot_id() or not _is_running(pid, started):
        return Ended(code=None, signal=None, at=at)
    shim_pid, shim_started = record.get("shimPid"), record.get("shimStartTime")
    return Live(
        pid=pid,
        start_time=started,
        started_at=at,
        begun_ns=int(record.get("begunNs", started * 10**9 // _TICKS)),  # a shim of an earlier version does not say
        shim_pid=shim_pid if _is_running(shim_pid, shim_started) else None,
        is_fenced=record.get("lease", fence.NONE) != fence.NONE,
    )


def find_live(directory: RuntimeDir) -> Live | None:
    """The running hypervisor of a runtime directory that still has its API socket, for adoption."""
    found = find(directory)
    return found if isinstance(found, Live) and directory.api_socket.is_socket() else None


async def attach_serial(directory: RuntimeDir) -> None:
    """Wait until the shim is connected to the serial socket, which is there from `vm.create` on: boot after this.

    Raises Unavailable when there is no shim, DeadlineExceeded when there is no such socket.
    """
    await ask(directory, {"op": "attach"})


async def set_fence(directory: RuntimeDir, lease: Path | None) -> None:
    """Put a running VM under the lease in this file, or under none; raises as `ask`."""
    await ask(directory, {"op": "fence", "lease": fence.NONE if lease is None else str(lease)})


async def ask(directory: RuntimeDir, request: Mapping[str, object]) -> Mapping[str, object]:
    """One request to the shim's control socket; raises Unavailable, DeadlineExceeded, Internal (refused)."""
    with trio.move_on_after(CONTROL_SECONDS):
        try:
            stream = await trio.open_unix_socket(os.fspath(directory.control_socket))
            async with stream:
                await stream.send_all(json.dumps(request).encode() + b"\n")
                line = b""
                while b"\n" not in line and len(line) < MAX_ANSWER_BYTES:
                    data = await stream.receive_some(MAX_ANSWER_BYTES)
                    if not data:
                        raise Unavailable(f"the shim of {directory.path} has gone")
                    line += data
        except (OSError, trio.BrokenResourceError) as error:
            raise Unavailable(f"no shim answers in {directory.path}: {error}") from error
        answer = json.loads(line)
        if not isinstance(answer, dict) or answer.get("ok") is not True:
            raise Internal(f"the shim of {directory.path} refused {request.get('op')}: {answer}")
        return answer
    raise DeadlineExceeded(f"the shim of {directory.path} did not answer {request.get('op')} in {CONTROL_SECONDS:g} s")


async def open_console(directory: RuntimeDir) -> trio.SocketStream:
    """A connection that carries the guest's console both ways. Raises Unavailable and DeadlineExceeded."""
    with trio.move_on_after(CONTROL_SECONDS):
        try:
            stream = await trio.open_unix_socket(os.fspath(directory.control_socket))
            await stream.send_all(b'{"op": "console"}\n')
            line = b""
            while not line.endswith(b"\n") and len(line) < MAX_ANSWER_BYTES:
                byte = await stream.receive_some(1)  # what follows the answer is the guest's
                if not byte:
                    break
                line += byte
        except (OSError, trio.BrokenResourceError) as error:
            raise Unavailable(f"no shim answers in {directory.path}: {error}") from error
        if line != b'{"ok": true}\n':
            await stream.aclose()
            raise Unavailable(f"the shim of {directory.path} gives no console: {line[:200].decode(errors='replace')}")
        return stream
    raise DeadlineExceeded(f"the shim of {directory.path} did not answer in {CONTROL_SECONDS:g} s")


async def wait_ended(directory: RuntimeDir, live: Live) -> Ended:
    """Wait for the end of an adopted or started hypervisor, however long it takes, and tell how it ended."""
    with _watched(live) as process:
        if process is not None:
            await trio.lowlevel.wait_readable(process)
    with trio.move_on_after(RECORD_SECONDS):
        while _is_alive(live.shim_pid) and not _has_exit(directory):  # noqa: ASYNC110 - another process writes it
            await trio.sleep(POLL_SECONDS)
    found = find(directory)
    return found if isinstance(found, Ended) else Ended(code=None, signal=None, at=live.started_at)


async def end(directory: RuntimeDir, live: Live, *, grace_seconds: float) -> Ended:
    """End a hypervisor with all it started: SIGTERM to its process group, SIGKILL after `grace_seconds`."""
    with _watched(live) as process:
        if process is not None:
            _signal_group(live, signal.SIGTERM)
            with trio.move_on_after(grace_seconds):
                await trio.lowlevel.wait_readable(process)
            _signal_group(live, signal.SIGKILL)
    return await wait_ended(directory, live)


def _has_exit(directory: RuntimeDir) -> bool:
    found = find(directory)
    return isinstance(found, Ended) and (found.code is not None or found.signal is not None)


def _signal_group(live: Live, number: signal.Signals) -> None:
    if _exists(live.pid, live.start_time):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(live.pid, number)


@contextlib.contextmanager
def _watched(live: Live) -> Iterator[int | None]:
    """A descriptor that is readable when the process has ended; None when it is not there any more."""
    try:
        descriptor = os.pidfd_open(live.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor if _exists(live.pid, live.start_time) else None
    finally:
        os.close(descriptor)


def _exists(pid: object, started: object) -> bool:
    """Whether the process has not been reaped (it may be a zombie, whose id is still its own)."""
    try:
        return isinstance(pid, int) and start_time(pid) == started
    except (OSError, ValueError, IndexError):
        return False


def _is_alive(pid: int | None) -> bool:
    """Whether a process of that id runs, be it another one's by now."""
    return pid is not None and _living(pid) is not None


def _is_running(pid: object, started: object) -> bool:
    return isinstance(pid, int) and _living(pid) == started


def _living(pid: int) -> int | None:
    """When a process was started that has not ended; None for a zombie, and where there is none."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if told[0] in ("Z", "X") else int(told[19])
    except (OSError, ValueError, IndexError):
        return None

"""Keep the services of a local cluster running and say when they listen; it knows nothing of what they do."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from cli.up.backoff import delay, is_hopeless, next_failures
from cli.up.layout import StateDir
from cli.up.plan import Program
from cli.up.processes import ProcessId, is_alive, spawn, stop, wait_ended, with_arguments
from cli.up.record import Record, Recorded, read_record, write_record
from schema.errors import DeadlineExceeded, Unavailable
from schema.log import escape_controls

READY_SECONDS = 60.0
_POLL_SECONDS = 0.01
_SHOWN_LOG_LINES = 8
_SHOWN_LOG_BYTES = 8192

log = logging.getLogger(__name__)

Say = Callable[[str], None]


@dataclass(slots=True)
class Supervisor:
    """Runs `programs` for the state directory `state`; `own` is our own process.

    `executables` is where the programs are; `say` gets one line for people about everything unexpected.
    """

    state: StateDir
    programs: Sequence[Program]
    executables: Path
    env: Mapping[str, str]
    own: ProcessId
    say: Say
    _running: dict[str, Recorded] = field(default_factory=dict)
    _listened: set[str] = field(default_factory=set)

    def adoptable(self) -> dict[str, Recorded]:
        """What an earlier `pcr up` left running, by the same program and settings as ours."""
        wanted = {program.name: self._fingerprint(program) for program in self.programs}
        recorded = read_record(self.state.record).services
        return {
            name: service
            for name, service in recorded.items()
            if service.fingerprint == wanted.get(name) and is_alive(service.process)
        }

    async def run(self, *, task_status: trio.TaskStatus[dict[str, dict[str, str]]]) -> None:
        """Run until cancelled, then stop every service. What `adoptable` names is taken over as it runs.

        `task_status` gets each service's addresses by its name once all of them listen. Raises Unavailable for one
        that ends again and again with no hope, DeadlineExceeded when not all listen within READY_SECONDS.
        """
        self._running = self.adoptable()
        self._write()
        try:
            async with trio.open_nursery() as nursery:
                for program in self.programs:
                    nursery.start_soon(self._keep, program)
                task_status.started(await self._all_ready())
        finally:
            with trio.CancelScope(shield=True):
                await stop_all({service.process for service in self._running.values()})
                self._running = {}
                write_record(self.state.record, Record())

    async def _keep(self, program: Program) -> None:
        failures = 0
        while True:
            recorded = self._running.get(program.name) or self.start(program)
            began = trio.current_time()
            code = await wait_ended(recorded.process)
            del self._running[program.name]
            failures = next_failures(failures, ran_seconds=trio.current_time() - began)
            if is_hopeless(code, failures=failures, has_listened=program.name in self._listened):
                raise Unavailable(f"{program.name} does not start:\n{self.log_tail(program.name)}")
            seconds = delay(failures)
            ended = "ended" if code is None else f"ended with {code}"
            last = self.log_tail(program.name).rpartition("\n")[2].strip()
            self.say(f"{program.name} {ended}; starting it again in {seconds:.1f} s\n  {self._log(program)}: {last}")
            await trio.sleep(seconds)

    def start(self, program: Program) -> Recorded:
        """Start a service's process and record it."""
        self.state.ready(program.name).unlink(missing_ok=True)
        process = spawn(self._argv(program), env=self.env, log=self._log(program), cwd=self.state.root)
        recorded = Recorded(process=process, fingerprint=self._fingerprint(program))
        self._running[program.name] = recorded
        self._write()
        return recorded

    async def restart(self, name: str) -> None:
        """End a service; it is started again like one that ended by itself."""
        recorded = self._running.get(name)
        if recorded is not None:
            await stop(recorded.process)

    def _argv(self, program: Program) -> list[str]:
        return [str(self.executables / program.executable), "--config", str(program.settings)]

    def _log(self, program: Program) -> Path:
        return self.state.log(program.name)

    def _fingerprint(self, program: Program) -> str:
        read = b"\0".join(path.read_bytes() for path in (program.settings, *program.reads))
        return hashlib.sha256("\0".join(self._argv(program)).encode() + b"\0" + read).hexdigest()

    def _write(self) -> None:
        write_record(self.state.record, Record(supervisor=self.own, services=self._running))

    async def _all_ready(self) -> dict[str, dict[str, str]]:
        waiting = {program.name for program in self.programs}
        addresses: dict[str, dict[str, str]] = {}
        with trio.move_on_after(READY_SECONDS):
            while waiting:
                for name in sorted(waiting):
                    told = self._ready(name)
                    if told is not None:
                        addresses[name] = told
                        self._listened.add(name)
                        waiting.discard(name)
                await trio.sleep(_POLL_SECONDS if waiting else 0)
            return addresses
        tails = "\n".join(f"{name}:\n{self.log_tail(name)}" for name in sorted(waiting))
        raise DeadlineExceeded(f"not listening after {READY_SECONDS:.0f} s: {', '.join(sorted(waiting))}\n{tails}")

    def _ready(self, name: str) -> dict[str, str] | None:
        try:
            told = json.loads(self.state.ready(name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        running = self._running.get(name)
        if running is None or told["pid"] != running.process.pid:
            return None  # what an earlier process wrote
        found: dict[str, str] = told["addresses"]
        return found

    def log_tail(self, name: str) -> str:
        """The last lines of a service's log, safe to show."""
        try:
            text = self.state.log(name).read_bytes()[-_SHOWN_LOG_BYTES:].decode(errors="replace")
        except FileNotFoundError:
            return "  (no log)"
        return "\n".join(f"  {escape_controls(line)}" for line in text.splitlines()[-_SHOWN_LOG_LINES:])


def processes_of(state: StateDir, programs: Sequence[Program]) -> set[ProcessId]:
    """What runs with the settings of `programs`, and what the record says runs, whoever started it."""
    recorded = {service.process for service in read_record(state.record).services.values()}
    found = with_arguments({str(program.settings) for program in programs})
    return found | {process for process in recorded if is_alive(process)}


async def stop_all(processes: Iterable[ProcessId]) -> None:
    """Stop them, all at once."""
    async with trio.open_nursery() as nursery:
        for process in processes:
            nursery.start_soon(partial(stop, process))

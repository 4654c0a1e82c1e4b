"""A machine in memory: the port `Steps` whose steps take as long and come out as a test says."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import trio

from schema.assignment import Peer
from schema.blueprint import HealthCheck
from schema.errors import Unavailable
from worker.adoption import Adopt, Found
from worker.health import CheckResult
from worker.steps import OnProgress
from worker.switching import CannotSwitch
from worker.vm_state import Attachment, Content, Desired, Process


async def at_once(work: Callable[[], None]) -> None:
    """No thread: a clock that jumps would not wait for it."""
    work()
    await trio.lowlevel.checkpoint()


@dataclass
class ScriptedSteps:
    """`done` is what happened, in order, with its time; `fails` how often each step fails before it succeeds."""

    seconds: float = 1.0
    lives_for: float = float("inf")
    fails: dict[str, int] = field(default_factory=dict)
    left: dict[str, Found] = field(default_factory=dict)
    done: list[tuple[str, str, float]] = field(default_factory=list)
    at_once: dict[str, int] = field(default_factory=dict)
    most_at_once: dict[str, int] = field(default_factory=dict)
    running: dict[str, trio.Event] = field(default_factory=dict)
    guest_says: CheckResult = field(default_factory=lambda: CheckResult(True, ""))
    refuses_switch: str = ""
    systems: dict[str, str] = field(default_factory=dict)
    pids: int = 100

    async def _step(self, kind: str, instance: str) -> None:
        self.at_once[kind] = self.at_once.get(kind, 0) + 1
        self.most_at_once[kind] = max(self.most_at_once.get(kind, 0), self.at_once[kind])
        try:
            await trio.sleep(self.seconds)
        except trio.Cancelled:
            self.done.append((f"{kind} undone", instance, trio.current_time()))
            raise
        finally:
            self.at_once[kind] -= 1
        if self.fails.get(kind, 0):
            self.fails[kind] -= 1
            raise Unavailable(f"{kind} failed")
        self.done.append((kind, instance, trio.current_time()))

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.done]

    def times(self, kind: str) -> list[float]:
        return [round(at, 3) for what, _, at in self.done if what == kind]

    async def update(self, desired: Mapping[str, Desired], peers: Iterable[Peer]) -> None:
        if self.fails.get("update", 0):
            self.fails["update"] -= 1
            raise Unavailable("no nftables")
        self.done.append(("update", "", trio.current_time()))

    async def pull(self, instance: str, content: Content, *, on_progress: OnProgress) -> None:
        await self._step("pull", instance)

    async def prepare(self, instance: str, content: Content) -> None:
        await self._step("prepare", instance)

    async def boot(self, instance: str, content: Content, attachment: Attachment) -> Process:
        assert instance not in self.running, "it would run twice"
        await self._step("boot", instance)
        self.pids += 1
        self.running[instance] = trio.Event()
        layers = (content.content_hash,)
        return Process(self.pids, trio.current_time(), attachment, content.spec.is_fenced, layers)

    async def switch(self, instance: str, content: Content, process: Process) -> Process:
        await self._step("switch", instance)
        if self.refuses_switch:
            raise CannotSwitch(self.refuses_switch)
        self.systems[instance] = content.spec.toplevel
        layers = process.layers if content.content_hash in process.layers else (*process.layers, content.content_hash)
        return replace(process, layers=layers)

    async def system_of(self, instance: str) -> str | None:
        return self.systems.get(instance)

    async def stop(self, instance: str, process: Process | None, *, for_good: bool) -> None:
        await self._step("stop", instance)
        ended = self.running.pop(instance, None)
        if ended is not None:
            ended.set()

    async def fence(self, instance: str, *, fenced: bool) -> None:
        await self._step("fence" if fenced else "unfence", instance)

    async def ask_guest(
        self, instance: str, checks: Sequence[HealthCheck], *, timeout_ms: int
    ) -> tuple[CheckResult, ...]:
        return tuple(self.guest_says for _ in checks)

    async def ended(self, instance: str, process: Process) -> str:
        ended = self.running[instance]
        with trio.move_on_after(self.lives_for) as scope:
            await ended.wait()
        if scope.cancelled_caught:
            self.running.pop(instance, None)
        return "it crashed"

    async def found(self) -> Mapping[str, Found]:
        return self.left

    async def adopt(self, one: Adopt) -> Process:
        self.running[one.instance] = trio.Event()
        return Process(one.pid, one.started_at, one.attachment, one.is_fenced, one.layers, one.is_doubtful)

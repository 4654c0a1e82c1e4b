"""The network without root, for development only: QEMU routes for each guest alone, and loopback ports lead in.

It takes `worker.network`'s place where `[hypervisor] user_mode_network` is set, and makes no tap, rule or lease. What
it does not do: `connect` (guests see nobody, and no names), and egress by names, which is refused. `isolated` holds as
far as QEMU's `restrict=on` does; `open` also leads to the machine's own loopback.
"""

import json
import logging
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import trio

from schema.assignment import Peer
from schema.blueprint import CheckType, EgressMode, HealthCheck
from schema.errors import InvalidInput, ProcuratorError, Unavailable
from schema.status import VmPhase, WorkerReport
from worker import probe
from worker.guest.channel import GuestChannel
from worker.health import CheckResult, host_checks
from worker.netplan import NetworkNames
from worker.vm_state import Attachment, Desired

NOT_ENFORCED = "user-mode network: egress is not enforced"
"""What status says of every VM that has nothing else to say, and of the machine's hypervisor."""
LOOPBACK = "127.0.0.1"
_LISTENING = "0A"
_SOCKETS = ("/proc/net/tcp", "/proc/net/tcp6")

log = logging.getLogger(__name__)


class UserNetwork:
    """One per worker. `folder` is what the hypervisor was started with; `guest` is an instance's agent."""

    def __init__(self, folder: Path, names: NetworkNames, guest: Callable[[str], GuestChannel]) -> None:
        self._folder = folder
        self._names = names
        self._guest = guest
        self._desired: Mapping[str, Desired] = {}
        self._attached: dict[str, Attachment] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def run(self) -> None:
        """Nothing has to be kept up; says what this is, until cancelled."""
        log.warning("%s (for development only)", NOT_ENFORCED)
        await trio.sleep_forever()

    async def update(self, desired: Mapping[str, Desired], peers: Iterable[Peer]) -> None:
        """What is wanted here; it counts from the next boot on."""
        self._desired = desired

    async def attach(self, instance: str, attachment: Attachment, *, owner: int | None = None) -> str:
        """Write down what the instance's card gets, and its name. Raises InvalidInput and Unavailable."""
        card = self._names.tap(instance)
        entry = self._desired.get(instance)
        if entry is None:
            raise Unavailable(f"{instance} is not assigned any more")
        network = entry.content.spec.network
        if network.egress.mode is EgressMode.ALLOW:
            raise InvalidInput(f"{instance}: egress by names needs taps, and so root; the user-mode network has none")
        told = {
            "address": attachment.address,
            "gateway": attachment.gateway,
            "restrict": network.egress.mode is EgressMode.ISOLATED,
            "name": instance,
            "forwards": forwards(entry, free_port=free_port),
        }
        _write(self._file(instance), json.dumps(told).encode())
        self._attached[instance] = attachment
        return card

    async def detach(self, instance: str) -> None:
        """Forget the instance's card; none is fine."""
        self._attached.pop(instance, None)
        self._file(instance).unlink(missing_ok=True)

    def is_attached(self, instance: str) -> bool:
        """Whether it has a card by us."""
        return instance in self._attached

    async def adopt(self, attached: Mapping[str, Attachment]) -> None:
        """At start: the cards of living VMs stay as they are, those of nobody are forgotten."""
        self._attached = dict(attached)
        mine = {self._file(instance) for instance in attached}
        for stray in set(self._folder.glob("*.json")) - mine:
            stray.unlink(missing_ok=True)

    async def remove_all(self) -> None:
        """Forget every card. Idempotent."""
        await self.adopt({})

    async def ask(self, checks: Sequence[HealthCheck], *, address: str, timeout_ms: int) -> tuple[CheckResult, ...]:
        """As `worker.probe.ask`, by the ports that lead to the VM at `address`.

        QEMU takes connections for a guest that does not listen yet, so a tcp check asks the guest who listens.
        """
        instance = next((name for name, one in self._attached.items() if one.ip == address), None)
        if instance is None:
            return tuple(CheckResult(False, f"{check.type} {check.port}: it has no card") for check in checks)
        ports = self._ports(instance)
        listening = frozenset[int]()
        if any(check.type is CheckType.TCP for check in checks):
            listening = await self._listening(instance, timeout_ms=timeout_ms)
        answers = []
        for check in checks:
            port = check.port or 0
            if check.type is CheckType.TCP:
                is_open = port in listening
                answers.append(
                    CheckResult(is_open, f"tcp {port}: {'open' if is_open else 'the guest does not listen'}")
                )
                continue
            led = check.model_copy(update={"port": ports.get(port, 0)})
            (answer,) = await probe.ask((led,), address=LOOPBACK, timeout_ms=timeout_ms)
            answers.append(
                replace(answer, detail=answer.detail.replace(f"{check.type} {led.port}", f"{check.type} {port}"))
            )
        return tuple(answers)

    def noted(self, report: WorkerReport) -> WorkerReport:
        """The report with what holds here, at every VM that runs and has nothing else to say."""
        running = tuple(
            vm.model_copy(update={"reason": self._note(vm.instance)})
            if vm.phase is VmPhase.HEALTHY and not vm.reason
            else vm
            for vm in report.running_vms
        )
        return report.model_copy(update={"running_vms": running})

    def _note(self, instance: str) -> str:
        led = [f"port {inside} is {LOOPBACK}:{port}" for inside, port in sorted(self._ports(instance).items())]
        return "; ".join([NOT_ENFORCED, *led])

    async def _listening(self, instance: str, *, timeout_ms: int) -> frozenset[int]:
        try:
            done = await self._guest(instance).exec("cat", _SOCKETS, deadline_ms=timeout_ms)
        except ProcuratorError as error:
            log.debug("%s: %s", instance, error.message)
            return frozenset()
        return listening_ports(done.stdout.decode(errors="replace"))

    def _ports(self, instance: str) -> dict[int, int]:
        """The guest's port → the loopback port that leads there."""
        try:
            told = json.loads(self._file(instance).read_bytes())
        except (OSError, ValueError):
            return {}
        return {inside: port for _, port, inside in told["forwards"]}

    def _file(self, instance: str) -> Path:
        return self._folder / f"{self._names.tap(instance)}.json"


def forwards(entry: Desired, *, free_port: Callable[[int], int]) -> list[tuple[str, int, int]]:
    """Loopback ports for what an instance offers and is checked by: address, port, the guest's port.

    `free_port` answers with the port that it was asked for when that is free, else with any; 0 asks for any.
    """
    spec = entry.content.spec
    wanted = dict.fromkeys((check.port for check in host_checks(spec) if check.port), 0)
    wanted |= {one.port: one.publish or 0 for one in spec.network.ports}
    return [(LOOPBACK, free_port(published), port) for port, published in sorted(wanted.items())]


def free_port(wanted: int) -> int:
    """A loopback port that nobody has, `wanted` if it is one of them; it is not kept."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((LOOPBACK, wanted))
        except OSError as error:
            log.warning("port %d is not published: the machine has it already (%s)", wanted, error.strerror)
            tried.bind((LOOPBACK, 0))
        port: int = tried.getsockname()[1]
        return port


def listening_ports(tables: str) -> frozenset[int]:
    """The ports that somebody listens on for others than the guest itself, out of `/proc/net/tcp` and `tcp6`."""
    found = set()
    for line in tables.splitlines():
        words = line.split()
        if len(words) < 4 or words[3] != _LISTENING:
            continue
        address, _, port = words[1].partition(":")
        is_own = address in ("0100007F", f"{'0' * 24}01000000") or (len(address) == 8 and address.endswith("7F"))
        if not is_own:
            found.add(int(port, 16))
    return frozenset(found)


def _write(path: Path, content: bytes) -> None:
    """Temp, fsync, rename."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(descriptor)
    fresh.replace(path)

"""The worker's network as a whole: taps, rules and leases follow what is attached and assigned; it decides nothing."""

import logging
from collections.abc import Iterable, Mapping

import trio

from schema.assignment import Peer
from schema.errors import ProcuratorError
from worker import firewall
from worker.dhcp import DhcpServer
from worker.netplan import NetworkNames, NetworkPlan, network_plan
from worker.taps import ensure_taps, remove_taps, taps_of
from worker.vm_state import Attachment, Desired

GUARD_SECONDS = 3.0
"""How often the rules are looked for. Without them a guest reaches the host and every other guest."""

log = logging.getLogger(__name__)


class Network:
    """One per worker. Changes are put into force one after another; `run` keeps dnsmasq alive and the rules there."""

    def __init__(self, names: NetworkNames, dhcp: DhcpServer) -> None:
        self._names = names
        self._dhcp = dhcp
        self._turn = trio.Lock()
        self._attached: dict[str, Attachment] = {}
        self._desired: Mapping[str, Desired] = {}
        self._peers: tuple[Peer, ...] = ()
        self._in_force: NetworkPlan | None = None

    async def run(self) -> None:
        """The leases' server and the guard over the rules, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._dhcp.run)
            nursery.start_soon(self._guard)

    async def _guard(self) -> None:
        """Put the rules back when somebody took them away (`nft flush ruleset`, as Debian's nftables.service does)."""
        while True:
            await trio.sleep(GUARD_SECONDS)
            try:
                await self._restore()
            except ProcuratorError as error:
                log.warning("cannot look after the rules of the VMs' network: %s", error.message)

    async def _restore(self) -> None:
        async with self._turn:
            plan = self._in_force
            if plan is not None and not await firewall.is_in_force(self._names):
                log.warning("somebody removed the nftables table %s: it is put back", self._names.table)
                await firewall.apply(plan)

    async def update(self, desired: Mapping[str, Desired], peers: Iterable[Peer]) -> None:
        """Whom the attached may reach now. Raises Unavailable."""
        self._desired, self._peers = desired, tuple(peers)
        await self._enforce()

    async def attach(self, instance: str, attachment: Attachment) -> str:
        """Make the instance's tap with its rules and lease, up before the VM is made; the tap's name.

        Whoever attached it before is what it was: again, or with another address, is fine. Raises Unavailable.
        """
        self._attached[instance] = attachment
        await self._enforce()
        return self._names.tap(instance)

    async def detach(self, instance: str) -> None:
        """Take the instance's tap, rules and lease away; none is fine. Raises Unavailable."""
        if self._attached.pop(instance, None) is not None:
            await self._enforce()
        await remove_taps([self._names.tap(instance)])

    def is_attached(self, instance: str) -> bool:
        """Whether it has a tap by us."""
        return instance in self._attached

    async def adopt(self, attached: Mapping[str, Attachment]) -> None:
        """At start: the taps of living VMs stay as they are, those of nobody are removed."""
        self._attached = dict(attached)
        mine = {self._names.tap(instance) for instance in attached}
        stray = [name for name in await taps_of(self._names.tap_prefix) if name not in mine]
        if stray:
            await remove_taps(stray)

    async def remove_all(self) -> None:
        """Take away everything that this worker ever made in the kernel, and its dnsmasq. Idempotent."""
        self._attached, self._in_force = {}, None
        await remove_taps(await taps_of(self._names.tap_prefix))
        await firewall.remove(self._names)
        await self._dhcp.end()

    async def _enforce(self) -> None:
        async with self._turn:
            plan = network_plan(self._names, self._desired, self._attached, self._peers)
            before = self._in_force
            if plan == before:
                return
            # Rules first: a tap is never without them, and one that is not in them may do nothing.
            await firewall.apply(plan)
            fresh = [tap for tap in plan.taps if before is None or tap not in before.taps]
            if fresh:
                await ensure_taps(fresh)
            if before is None or plan.taps != before.taps:
                self._dhcp.update(plan)
            self._in_force = plan

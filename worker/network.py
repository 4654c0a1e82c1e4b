"""The worker's network as a whole: taps, rules, leases, names and routes follow what is attached and assigned.

It decides nothing: `netplan` and `resolver.policy` do.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace

import trio

from schema.assignment import Peer
from schema.errors import ProcuratorError
from worker import firewall, flows, routing
from worker.dhcp import DhcpServer
from worker.netplan import NetworkNames, NetworkPlan, network_plan
from worker.ports import PublishedPorts
from worker.resolver.permits import Permits
from worker.resolver.policy import Policy, resolver_policy
from worker.resolver.server import Resolver
from worker.resolver.upstream import Upstream
from worker.rule_watch import RuleWatch
from worker.taps import ensure_taps, own_tap, remove_taps, taps_of
from worker.vm_state import Attachment, Desired

GUARD_SECONDS = 3.0
"""How often the rules are looked for, beside whenever a table goes: without them a guest reaches whatever it likes."""
PAUSE_SECONDS = 0.1
"""Between two looks, however often others change their tables."""
OUTWARD_SECONDS = 15.0
"""How often the way out is looked for: an interface may come up, and a route go with a link that was down."""

log = logging.getLogger(__name__)


class Network:
    """One per worker. Changes are put into force one after another; `run` keeps dnsmasq, the names and the rules."""

    def __init__(
        self, names: NetworkNames, dhcp: DhcpServer, upstream: Upstream, *, guard_seconds: float = GUARD_SECONDS
    ) -> None:
        self._guard_seconds = guard_seconds
        self._names = names
        self._dhcp = dhcp
        self._permits = Permits(lambda permits: firewall.permit(names, permits))
        self._resolver = Resolver(upstream, self._permits)
        self._ports = PublishedPorts()
        self._turn = trio.Lock()
        self._attached: dict[str, Attachment] = {}
        self._desired: Mapping[str, Desired] = {}
        self._peers: tuple[Peer, ...] = ()
        self._in_force: NetworkPlan | None = None
        self._policy = Policy()
        self._refused_ports: dict[int, str] = {}
        self._uplinks: set[str] = set()
        self._forwards_anyway = False
        self._unrouted: tuple[str, ...] = ()

    async def run(self) -> None:
        """The leases' server, the resolver and the guard over the rules, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._dhcp.run)
            nursery.start_soon(self._resolver.run)
            nursery.start_soon(self._guard)

    async def _guard(self) -> None:
        """Put the rules back when somebody took them away (`nft flush ruleset`, as Debian's nftables.service does)."""
        looked = trio.current_time()
        with RuleWatch() as watch:
            while True:
                with trio.move_on_after(self._guard_seconds):
                    await watch.until_a_table_goes()
                try:
                    await self._restore()
                    if trio.current_time() - looked >= OUTWARD_SECONDS:
                        looked = trio.current_time()
                        await self.look_outward()
                except ProcuratorError as error:
                    log.warning("cannot look after the rules of the VMs' network: %s", error.message)
                await trio.sleep(PAUSE_SECONDS)

    async def _restore(self) -> None:
        async with self._turn:
            plan = self._in_force
            if plan is not None and not await firewall.is_in_force(self._names):
                log.warning("somebody removed the nftables table %s: it is put back", self._names.table)
                await firewall.apply(plan)
                await firewall.note_uplinks(self._names, self._uplinks)
                await self._permits.write_again()
                # What a guest began meanwhile would go on for ever; what it may have is let through again.
                await flows.forget(tap.attachment.ip for tap in plan.taps)

    async def look_outward(self) -> None:
        """Use interfaces that came up meanwhile, and put back routes that went with one. Raises Unavailable."""
        async with self._turn:
            if self._in_force is not None:
                await self._reach_outward(self._in_force)

    async def update(self, desired: Mapping[str, Desired], peers: Iterable[Peer]) -> None:
        """Whom the attached may reach now. Raises Unavailable."""
        self._desired, self._peers = desired, tuple(peers)
        await self._enforce()

    async def attach(self, instance: str, attachment: Attachment, *, owner: int | None = None) -> str:
        """Make the instance's tap with its rules and lease, up before the VM is made; the tap's name.

        Whoever attached it before is what it was: again, or with another address, is fine. `owner` is the user beside
        root who may open it. Raises Unavailable.
        """
        self._attached[instance] = attachment
        await self._enforce()
        await own_tap(self._names.tap(instance), owner)
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
        self._ports.close()
        await remove_taps(await taps_of(self._names.tap_prefix))
        await routing.set_routes((), metric=self._names.route_metric)
        await routing.set_forwarding(await firewall.noted_uplinks(self._names), on=False)
        await firewall.remove(self._names)
        await self._dhcp.end()

    async def _enforce(self) -> None:
        async with self._turn:
            plan = self._with_ports(network_plan(self._names, self._desired, self._attached, self._peers))
            before = self._in_force
            if before is None:
                self._uplinks.update(await firewall.noted_uplinks(self._names))
            if plan != before:
                # Rules first: a tap is never without them, and one that is not in them may do nothing.
                if before is None or replace(plan, domain=before.domain) != before:
                    await firewall.apply(plan)
                fresh = [tap for tap in plan.taps if before is None or tap not in before.taps]
                if fresh:
                    await ensure_taps(fresh)
                if before is None or (plan.taps, plan.domain) != (before.taps, before.domain):
                    self._dhcp.update(plan)
                if before is None or (plan.is_routed_outward, plan.routes) != (before.is_routed_outward, before.routes):
                    await self._reach_outward(plan)
            await self._follow_names(plan)
            self._in_force = plan

    def _with_ports(self, plan: NetworkPlan) -> NetworkPlan:
        """The plan without the published ports that belong to the machine itself."""
        refused = self._ports.keep(one.machine_port for one in plan.published)
        for port, reason in refused.items():
            if self._refused_ports.get(port) != reason:
                log.warning("port %d is not published: the machine has it already (%s)", port, reason)
        self._refused_ports = refused
        return replace(plan, published=tuple(one for one in plan.published if one.machine_port not in refused))

    async def _reach_outward(self, plan: NetworkPlan) -> None:
        if plan.is_routed_outward:
            await self._use_uplinks()
        unrouted = await routing.set_routes(plan.routes, metric=self._names.route_metric)
        for subnet in set(unrouted) - set(self._unrouted):
            log.warning("no route to %s: its worker is not on a link of this machine; publish ports instead", subnet)
        self._unrouted = unrouted

    async def _use_uplinks(self) -> None:
        """Idle interfaces forward VMs' packets only, unless the machine forwards for others, too (as for Docker)."""
        was, self._forwards_anyway = self._forwards_anyway, await routing.forwards_anyway()
        if self._forwards_anyway and not was and self._uplinks:
            log.info(
                "this machine forwards packets for others, too: %s are left to it", ", ".join(sorted(self._uplinks))
            )
            await firewall.release_uplinks(self._names)
            self._uplinks.clear()
        idle = await routing.idle_uplinks()
        if idle:
            await firewall.note_uplinks(self._names, idle)
            self._uplinks.update(idle)
            await routing.set_forwarding(idle, on=True)

    async def _follow_names(self, plan: NetworkPlan) -> None:
        """Names last: what they lead to is in force by now. Who may name less than before loses what it had."""
        policy = resolver_policy(self._names, self._desired, self._attached, self._peers)
        known = {client.tap: client.domains for client in policy.clients.values()}
        narrower = [
            client.tap
            for client in self._policy.clients.values()
            if not client.domains <= known.get(client.tap, frozenset())
        ]
        first = self._in_force is None
        stale = {tap for tap, _ in await firewall.permitted(self._names) if tap not in known} if first else set()
        if narrower or stale:
            self._permits.forget({*narrower, *stale})
            await firewall.withdraw(self._names, {*narrower, *stale})
        self._policy = policy
        self._resolver.follow(policy, plan.gateways)

"""Put the worker's nftables tables in place, permit and withdraw, or take them away; the text is `worker.rules`'."""

import json
import re
from collections.abc import Iterable
from typing import Any

from nix.run import run
from schema.errors import CommandFailed, Unavailable
from worker.netplan import NetworkNames, NetworkPlan
from worker.rules import (
    CHAINS,
    PERMITTED,
    UPLINKS,
    permission,
    removal,
    ruleset,
    uplinks_added,
    uplinks_released,
    withdrawal,
)

NFT_SECONDS = 20.0
_CHAIN_WITH_RULES = re.compile(r"chain (\w+) \{\n[^\n]*\n\t\t\S")
"""As `nft list` has it: its hook in the first line, then its first rule."""


async def apply(plan: NetworkPlan) -> None:
    """Bring the tables to `plan`: packets see the old rules or the new ones, and permissions stay. Raises Unavailable.

    Tables of another version are replaced, and their permissions with them.
    """
    try:
        await _transact(ruleset(plan))
    except Unavailable:
        uplinks = await noted_uplinks(plan.names)
        await _transact(ruleset(plan, anew=True) + uplinks_added(plan.names, uplinks))


async def is_in_force(names: NetworkNames) -> bool:
    """Whether the tables are there, their chains and rules: who flushes the machine's ruleset takes ours with it."""
    chains = {"inet": CHAINS, "arp": ("pinned",)}
    return all([await _has(family, names, wanted) for family, wanted in chains.items()])


async def _has(family: str, names: NetworkNames, chains: Iterable[str]) -> bool:
    argv = ("nft", "--terse", "list", "table", family, names.table)
    asked = await run(argv, deadline=NFT_SECONDS, env={}, check=False, with_us=False)
    return asked.returncode == 0 and set(_CHAIN_WITH_RULES.findall(asked.stdout.decode())) >= set(chains)


async def remove(names: NetworkNames) -> None:
    """Take the tables away, there or not."""
    await _transact(removal(names))


async def permit(names: NetworkNames, permits: Iterable[tuple[str, str, int]]) -> None:
    """Let taps reach addresses for so many seconds. Raises Unavailable."""
    await _transact(permission(names, permits))


async def permitted(names: NetworkNames) -> frozenset[tuple[str, str]]:
    """All (tap, address) that are permitted now; none where there is no table."""
    elements = await _elements(names, PERMITTED)
    return frozenset((tap, address) for tap, address in (one["elem"]["val"]["concat"] for one in elements))


async def noted_uplinks(names: NetworkNames) -> tuple[str, ...]:
    """The interfaces that forward because of us."""
    return tuple(await _elements(names, UPLINKS))


async def _elements(names: NetworkNames, name: str) -> list[Any]:
    argv = ("nft", "-j", "list", "set", "inet", names.table, name)
    asked = await run(argv, deadline=NFT_SECONDS, env={}, check=False, with_us=False)
    if asked.returncode != 0:
        return []
    return [one for item in json.loads(asked.stdout)["nftables"] for one in item.get("set", {}).get("elem", ())]


async def withdraw(names: NetworkNames, taps: Iterable[str]) -> None:
    """Take away all that these taps were permitted; flows that are established go on. Raises Unavailable."""
    mine = set(taps)
    gone = sorted(permit for permit in await permitted(names) if permit[0] in mine)
    if gone:
        await _transact(withdrawal(names, gone))


async def note_uplinks(names: NetworkNames, interfaces: Iterable[str]) -> None:
    """These begin to forward because of us: nothing but our VMs' packets may cross them. Raises Unavailable."""
    await _transact(uplinks_added(names, interfaces))


async def release_uplinks(names: NetworkNames) -> None:
    """They may forward whatever the machine's own rules let them. Raises Unavailable."""
    await _transact(uplinks_released(names))


async def _transact(text: str) -> None:
    if not text:
        return
    try:
        await run(("nft", "-f", "-"), deadline=NFT_SECONDS, env={}, stdin=text.encode(), with_us=False)
    except CommandFailed as error:
        raise Unavailable(
            f"nftables refused the worker's tables: {error.stderr.decode(errors='replace')[:500]}"
        ) from error

"""Put the worker's nftables table in place or take it away, in one transaction; the rules are `worker.netplan`'s."""

from nix.run import run
from schema.errors import CommandFailed, Unavailable
from worker.netplan import CHAINS, NetworkNames, NetworkPlan, removal, ruleset

NFT_SECONDS = 20.0


async def apply(plan: NetworkPlan) -> None:
    """Replace the whole table: packets see the old rules or the new ones. Raises Unavailable."""
    await _transact(ruleset(plan))


async def is_in_force(names: NetworkNames) -> bool:
    """Whether the table is there with all its chains: whoever flushes the machine's ruleset takes ours with it."""
    asked = await run(
        ("nft", "--terse", "list", "table", "inet", names.table), deadline=NFT_SECONDS, env={}, check=False
    )
    return asked.returncode == 0 and all(f"chain {chain} {{" in asked.stdout.decode() for chain in CHAINS)


async def remove(names: NetworkNames) -> None:
    """Take the table away, there or not."""
    await _transact(removal(names))


async def _transact(text: str) -> None:
    try:
        await run(("nft", "-f", "-"), deadline=NFT_SECONDS, env={}, stdin=text.encode())
    except CommandFailed as error:
        raise Unavailable(
            f"nftables refused the worker's table: {error.stderr.decode(errors='replace')[:500]}"
        ) from error

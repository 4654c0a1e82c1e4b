"""Several repositories' shares of one cluster: VMs get distinct names, and who is meant by another's name is joined.

A VM keeps the name that its repository gives it where no other uses that; else the repository's name goes before it.
Two databases stay two, however alike: what is shared is only what one repository's files call by the name of a service
or application that exactly one other has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from autonix.emit.applications import Application
from autonix.emit.cluster import Part, neighbours_of, part_of
from autonix.emit.wiring import Peer, host_in
from autonix.emit.words import distinct, dns_label
from autonix.explain import reason
from autonix.findings import Analysis


@dataclass(frozen=True, slots=True)
class Member:
    """A repository under a label that is unique among them."""

    label: str
    analysis: Analysis


@dataclass(frozen=True, slots=True)
class Shared:
    """Repository `source` speaks to the VM `vm` of repository `target`, and the fact that says so."""

    source: str
    target: str
    vm: str
    because: str


def joined(members: Sequence[Member]) -> tuple[tuple[Part, ...], tuple[Shared, ...]]:
    """Each member's part with the names of the whole, in their order, and what they share."""
    parts = [part_of(member.analysis) for member in members]
    names = _distinct_names(members, parts)
    renamed = [_renamed(part, names[index]) for index, part in enumerate(parts)]
    owners: dict[str, list[int]] = {}
    for index, member in enumerate(members):
        called = {*names[index], *([member.label] if len(parts[index].running) == 1 else ())}
        for name in called:
            owners.setdefault(name, []).append(index)
    found: list[Part] = []
    shared: dict[tuple[str, str], Shared] = {}
    for index, part in enumerate(renamed):
        foreign = {
            name: of[0]
            for name, of in owners.items()
            if len(of) == 1 and of[0] != index and name not in {*names[index], *_own_words(part.analysis)}
        }
        whole, uses = _with_foreign(part, foreign, renamed, [each.label for each in members], members[index].label)
        found.append(whole)
        for each in uses:
            shared.setdefault((each.source, each.vm), each)
    return tuple(found), tuple(shared.values())


def _own_words(analysis: Analysis) -> set[str]:
    """What a repository itself makes or describes under a name; an image that it only runs may be another one's."""
    built = (each.name for each in analysis.containers if each.build is not None)
    return {*(each.name for each in analysis.services), *built}


def _distinct_names(members: Sequence[Member], parts: Sequence[Part]) -> list[dict[str, str]]:
    """For each part the VM's name in the whole by that in the part."""
    own = [[*(each.vm for each in part.running), *part.own] for part in parts]
    counts: dict[str, int] = {}
    for names in own:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    taken = {name for name, count in counts.items() if count == 1}
    found: list[dict[str, str]] = []
    for member, names in zip(members, own, strict=True):
        chosen: dict[str, str] = {}
        for name in names:
            if counts[name] == 1:
                chosen[name] = name
            else:
                chosen[name] = distinct(dns_label(f"{member.label}-{name}"), taken)
                taken.add(chosen[name])
        found.append(chosen)
    return found


def _renamed(part: Part, names: Mapping[str, str]) -> Part:
    running = tuple(replace(each, vm=names[each.vm]) for each in part.running)
    moved = neighbours_of(running)
    return replace(
        part,
        running=running,
        peers={name: replace(peer, vm=names[name]) for name, peer in part.peers.items()},
        neighbours={each.vm: moved[names[each.vm]] for each in part.running},
    )


def _with_foreign(
    part: Part, foreign: Mapping[str, int], parts: Sequence[Part], labels: Sequence[str], label: str
) -> tuple[Part, list[Shared]]:
    """`part` with the peers and neighbours of others that its applications' variables name."""
    peers, neighbours = dict(part.peers), dict(part.neighbours)
    running: list[Application] = []
    shared: list[Shared] = []
    for application in part.running:
        uses = list(application.uses)
        for variable in application.env:
            host = host_in(variable.value.default)
            if host is None or host not in foreign:
                continue
            if host == variable.value.default and not _is_host(variable.value.name):
                continue  # a word that is a name by chance
            other = parts[foreign[host]]
            if host in other.peers:
                peer = other.peers[host]
                peers[host] = Peer(peer.vm, peer.service, peer.setup)
                uses.append(host)
                vm = peer.vm
            else:
                neighbour = other.neighbours.get(host) or next(iter(other.neighbours.values()))
                neighbours[host] = neighbour
                vm = neighbour.vm
            shared.append(Shared(label, labels[foreign[host]], vm, f"{variable.value.name}: {reason(variable)}"))
        running.append(replace(application, uses=tuple(dict.fromkeys(uses))))
    return replace(part, running=tuple(running), peers=peers, neighbours=neighbours), shared


def _is_host(name: str) -> bool:
    return name.upper().endswith(("HOST", "HOSTNAME", "SERVER", "ADDR", "ADDRESS"))

"""Numbers, retries and refusals of a publish, against a control plane that only keeps what `publishState` promises."""

from typing import cast

import pytest

from ci_service.publishing import Published, Publisher, Unchanged
from ci_service.store import Reservation
from ci_service.tests.builders import a_build, a_generation, a_status, an_origin
from schema.blueprint import Blueprint
from schema.canonical import Sealed
from schema.errors import Conflict, Stale, Unavailable
from schema.generation import Publish, PublishReceipt
from schema.interfaces import Master
from schema.signing import SecretKey
from schema.status import ClusterStatus
from schema.tests.builders import a_vm_spec
from schema.vmspec import VmSpec

KEY = SecretKey.from_seed("ci-1", b"k" * 32)
BLUEPRINT = Blueprint.model_validate({"schemaVersion": 1, "cluster": "example", "vms": {}})


class Keeper:
    """Keeps generations as `publishState` says: idempotent, conflict, stale. `lose` drops that many answers."""

    def __init__(self, *, lose: int = 0, taken: tuple[int, ...] = ()) -> None:
        self.kept: dict[int, str] = dict.fromkeys(taken, "other")
        self.lose = lose

    async def publish_state(self, publish: Publish) -> PublishReceipt:
        number, intent = publish.header.number, publish.header.intent_hash
        if number in self.kept and self.kept[number] != intent:
            raise Conflict(f"generation {number} is another")
        if number not in self.kept and self.kept and number < max(self.kept):
            raise Stale(f"generation {number} is stale")
        created = number not in self.kept
        self.kept[number] = intent
        if self.lose:
            self.lose -= 1
            raise Unavailable("the answer was lost")
        return PublishReceipt(number, intent, created)

    async def get_cluster_status(self) -> ClusterStatus:
        known = sorted(self.kept.items(), reverse=True)
        return a_status(*(a_generation(number=number, intent_hash=intent) for number, intent in known))


class Desk:
    """What CI's store keeps of one build's tries."""

    def __init__(self, *specs: VmSpec) -> None:
        self.specs = tuple(Sealed.of(spec) for spec in specs or (a_vm_spec(),))
        self.reserved: Reservation | None = None

    async def reserve(self, reservation: Reservation) -> None:
        self.reserved = reservation

    async def publish(self, keeper: Keeper) -> Published | Unchanged:
        return await Publisher(key=KEY, realm="default").publish(
            cast(Master, keeper),
            build=a_build(),
            origin=an_origin(),
            blueprint=BLUEPRINT,
            vm_specs=self.specs,
            reserved=self.reserved,
            highest_reserved=self.reserved.number if self.reserved else 0,
            reserve=self.reserve,
        )


async def test_the_first_generation_is_number_one() -> None:
    assert (await Desk().publish(Keeper())) == Published(1, (await _hash()))


async def _hash() -> str:
    result = await Desk().publish(Keeper())
    assert isinstance(result, Published)
    return result.intent_hash


async def test_a_lost_answer_is_asked_for_again_with_the_same_number() -> None:
    master, desk = Keeper(lose=1), Desk()
    with pytest.raises(Unavailable):
        await desk.publish(master)
    assert isinstance(await desk.publish(master), Published)
    assert list(master.kept) == [1]


async def test_a_number_that_somebody_else_took_is_left_to_them() -> None:
    desk = Desk()
    desk.reserved = Reservation(4, await _hash())
    result = await desk.publish(Keeper(taken=(4,)))
    assert isinstance(result, Published)
    assert result.number == 5


async def test_equal_content_that_succeeded_is_not_published_again() -> None:
    master = Keeper()
    await Desk().publish(master)
    assert await Desk().publish(master) == Unchanged(1)


async def test_other_content_gets_the_next_number() -> None:
    master = Keeper()
    await Desk().publish(master)
    result = await Desk(a_vm_spec(seed="7")).publish(master)
    assert isinstance(result, Published)
    assert result.number == 2

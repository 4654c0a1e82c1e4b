"""What goes through the codec comes back as it was; what other versions send is read as far as it is known."""

import json
from pathlib import Path
from typing import Any

import capnp
import pytest
from hypothesis import HealthCheck as Slowness
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.canonical import Sealed
from schema.codec import operations as operation_tables
from schema.codec import reports, specs
from schema.codec.fields import Choice, Struct, wire_name
from schema.codec.sessions import ROLE, read_publish, write_publish
from schema.codec.wire import common, master, operations, worker
from schema.errors import InvalidInput, ProcuratorError
from schema.generation import Publish
from schema.status import PushReply, VmPhase
from schema.tests.builders import a_publish, a_vm_spec
from schema.tests.rpc.values import same, values

GOLDEN = Path(__file__).with_name("golden")
TABLES: dict[str, Struct[Any]] = {
    table.model.__name__: table
    for module in (specs, reports, operation_tables)
    for table in vars(module).values()
    if isinstance(table, Struct)
}
BY_HAND = {"LabelEntry", "CountEntry", "VolumeEntry"}


def structs(module: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if type(value).__name__ == "_StructModule"}


def test_every_struct_of_values_has_a_table_with_all_its_fields() -> None:
    words = structs(common) | structs(operations)
    assert set(words) == set(TABLES) | BY_HAND
    for name, table in TABLES.items():
        written = set(table.names.values()) | ({"data"} if name in ("VmSpec", "RolloutPolicy") else set())
        assert written == set(words[name].schema.fieldnames), name


def enums() -> list[tuple[str, Any, Choice[Any]]]:
    known = {
        kind.enum.__name__: kind
        for table in TABLES.values()
        for _, _, inner in table._kinds
        for kind in (inner, getattr(inner, "_choice", None))
        if isinstance(kind, Choice)
    } | {"Role": ROLE}
    return [
        (name, value, known[name])
        for module in (common, operations, master, worker)
        for name, value in vars(module).items()
        if type(value).__name__ == "_EnumModule"
    ]


def test_every_enum_has_its_members_in_the_order_of_the_wire() -> None:
    assert len(enums()) >= 16
    for name, wire, choice in enums():
        assert [wire_name(member.value) for member in choice.members] == list(wire.schema.enumerants), name


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_message_comes_back_as_it_was(name: str) -> None:
    table = TABLES[name]

    @settings(max_examples=40, deadline=None, suppress_health_check=list(Slowness))
    @given(values(table))
    def round_trip(value: Any) -> None:
        assert same(table.from_bytes(table.to_bytes(value)), value)

    round_trip()


def test_every_message_is_kept_in_each_of_its_versions() -> None:
    kept = {path.stem.partition("-")[0] for path in GOLDEN.glob("*.bin")}
    assert kept == {*TABLES, "Publish"}


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.json")))
def test_messages_of_every_version_are_still_read(name: str) -> None:
    table = TABLES[name.partition("-")[0]]
    stored = (GOLDEN / f"{name}.bin").read_bytes()
    expected = table.model.model_validate(json.loads((GOLDEN / f"{name}.json").read_text()))
    assert same(table.from_bytes(stored), expected)


def test_a_publish_of_the_first_version_is_still_read() -> None:
    with master.Publish.from_bytes((GOLDEN / "Publish.bin").read_bytes()) as reader:
        publish = read_publish(reader)
    expected = a_publish(a_vm_spec(), a_vm_spec("db", volumes={"data": {"size_mb": 64, "mount": "/data"}}), number=7)
    publish.check_content()
    assert publish.header == expected.header


@given(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1), st.integers(1, 2**53 - 1))
def test_a_publish_comes_back_with_the_bytes_that_were_hashed(names: list[str], number: int) -> None:
    publish = a_publish(*map(a_vm_spec, names), number=number)
    message = master.Publish.new_message()
    write_publish(message, publish)
    with master.Publish.from_bytes(message.to_bytes()) as reader:
        back = read_publish(reader)
    assert back == publish
    assert back.check_content() == publish.intent


def test_bytes_that_are_not_canonical_are_hashed_as_they_came() -> None:
    spec = a_vm_spec()
    loose = Sealed.parse(type(spec), json.dumps(spec.model_dump(mode="json", by_alias=True), indent=3).encode())
    honest = a_publish(spec)
    publish = Publish(honest.header, (loose,), honest.rollout)
    message = master.Publish.new_message()
    write_publish(message, publish)
    with master.Publish.from_bytes(message.to_bytes()) as reader:
        assert read_publish(reader).vm_specs[0].data == loose.data


def test_an_unknown_enumerant_reads_as_its_enums_unknown_and_an_unknown_directive_as_none() -> None:
    message = common.RunningVm.new_message(instance="web-0")
    message.phase = 999
    message.guestView = 999
    vm = reports.RUNNING_VM.read(message.as_reader())
    assert vm.phase is VmPhase.WAITING
    assert vm.guest_view.value == "unknown"


def test_fields_and_directives_of_the_future_are_ignored() -> None:
    future = capnp.load(str(Path(__file__).with_name("future.capnp")))
    message = future.PushReply.new_message(
        serverTimeMs=5, directives=["collect", "selfDestruct", "drain"], note="hello", urgency=9
    )
    reply = reports.PUSH_REPLY.from_bytes(message.to_bytes())
    assert reply.server_time_ms == 5
    assert [each.value for each in reply.directives] == ["collect", "drain"]


def test_a_message_of_the_past_reads_with_defaults() -> None:
    past = capnp.load(str(Path(__file__).with_name("future.capnp"))).PastPushReply
    assert reports.PUSH_REPLY.from_bytes(past.new_message(serverTimeMs=5).to_bytes()) == PushReply(server_time_ms=5)


@settings(deadline=None)
@given(st.sampled_from(sorted(TABLES)), st.data())
def test_any_bytes_are_read_or_refused_and_nothing_else(name: str, data: st.DataObject) -> None:
    good = bytearray((GOLDEN / f"{name}.bin").read_bytes())
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), max_size=8)):
        good[at] = byte
    try:
        TABLES[name].from_bytes(bytes(good[: data.draw(st.integers(0, len(good)))]))
    except ProcuratorError as error:
        assert isinstance(error, InvalidInput)


def test_a_key_that_comes_twice_is_refused() -> None:
    message = common.WorkerFacts.new_message(cpu=1, memoryMb=1)
    message.labels = [{"key": "zone", "value": "a"}, {"key": "zone", "value": "b"}]
    with pytest.raises(InvalidInput, match="twice"):
        reports.WORKER_FACTS.read(message.as_reader())

"""The blueprint, the VmSpec and the small words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schema.blueprint import Blueprint
from schema.canonical import explain_validation
from schema.errors import ERRORS_BY_CODE, Internal, error_from_code
from schema.names import printable
from schema.tests.builders import a_vm_spec


def a_blueprint(**vm: object) -> dict[str, object]:
    web = {"system": "packages.web", "cpu": 1, "memoryMb": 64} | vm
    return {"schemaVersion": 1, "cluster": "example", "vms": {"web": web}}


def why_not(document: dict[str, object]) -> str:
    with pytest.raises(ValidationError) as caught:
        Blueprint.model_validate(document)
    return explain_validation(caught.value)


def test_a_minimal_blueprint_has_the_defaults_of_the_table() -> None:
    web = Blueprint.model_validate(a_blueprint()).vms["web"]
    assert (web.replicas, web.placement.priority, web.network.egress.mode) == (1, 50, "isolated")
    assert (web.health.interval_ms, web.health.timeout_ms, web.health.failures) == (2000, 1000, 3)
    assert (web.health.start_deadline_ms, web.update.strategy) == (120_000, "replace")


@pytest.mark.parametrize(
    ("vm", "path"),
    [
        ({"memoryMb": 31}, "vms.web.memoryMb"),
        ({"cpu": 0}, "vms.web.cpu"),
        ({"colour": "red"}, "vms.web.colour"),
        ({"network": {"egress": {"mode": "open", "domains": ["a.org"]}}}, "vms.web.network.egress"),
        ({"health": {"checks": [{"type": "tcp"}]}}, "vms.web.health.checks.0"),
        ({"health": {"checks": [{"type": "tcp", "port": 1, "path": "/"}]}}, "vms.web.health.checks.0"),
        ({"volumes": {"data": {"sizeMb": 1, "mount": "data"}}}, "vms.web.volumes.data.mount"),
        ({"volumes": {"data": {"sizeMb": 1, "mount": "/data"}}, "replicas": 2}, "vms.web"),
        ({"system": "a b"}, "vms.web.system"),
    ],
)
def test_a_wrong_vm_is_refused_with_its_full_path(vm: dict[str, object], path: str) -> None:
    assert path in why_not(a_blueprint(**vm))


def test_names_of_other_vms_must_exist() -> None:
    assert "'db', which does not exist" in why_not(a_blueprint(dependsOn=["db"]))
    assert "'db', which does not exist" in why_not(a_blueprint(network={"connect": ["db:5432"]}))


def test_an_instance_and_a_vm_cannot_have_one_name() -> None:
    document = a_blueprint(replicas=2)
    vms = document["vms"]
    assert isinstance(vms, dict)
    vms["web-1"] = {"system": "packages.x", "cpu": 1, "memoryMb": 64}
    assert "is also the name of an instance of 'web'" in why_not(document)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": "5"},
        {"cmdline": "quiet"},
        {"cpu": 2},
        {"memory_mb": 256},
        {"extras": {"gpu": 1}},
        {"volumes": {"data": {"size_mb": 5, "mount": "/data"}}},
        {"network": {"nic": False}},
    ],
)
def test_what_decides_what_boots_changes_the_content_hash(changes: dict[str, Any]) -> None:
    seed = str(changes.pop("seed", "0"))
    assert a_vm_spec(seed=seed, **changes).content_hash != a_vm_spec().content_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"tier": "front"}},
        {"replicas": 3},
        {"health": {"interval_ms": 500}},
        {"network": {"egress": {"mode": "open"}, "ports": [{"name": "http", "port": 80}]}},
        {"placement": {"priority": 90}},
        {"update": {"strategy": "switch"}},
        {"env": {"A": "b"}},
    ],
)
def test_what_applies_live_does_not(changes: dict[str, Any]) -> None:
    assert a_vm_spec(**changes).content_hash == a_vm_spec().content_hash


def test_instances_are_numbered_from_zero() -> None:
    assert a_vm_spec("db", replicas=2).instances == ("db-0", "db-1")


def test_every_code_becomes_its_exception_again() -> None:
    for code, kind in ERRORS_BY_CODE.items():
        assert error_from_code(code, "why") == kind("why")
    assert error_from_code("from-the-future", "why") == Internal("why")


@given(st.text())
def test_nothing_printable_moves_a_terminal(text: str) -> None:
    shown = printable(text)
    assert not any(ord(char) < 32 and char not in "\n\t" for char in shown)
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert printable("\x1b]0;title\x07a\x1b[1mb") == "ab"
    assert printable("a\u202eb\u2066c\ud800d").encode() == b"abcd", "no turned text, and UTF-8 in any case"

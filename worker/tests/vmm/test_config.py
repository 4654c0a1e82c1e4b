"""The requests that the worker sends: what they hold, what is refused, that they fit cloud-hypervisor's OpenAPI."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import InvalidInput
from worker.vmm.config import (
    Disk,
    Nic,
    Size,
    VmConfig,
    create_request,
    disk_request,
    folder_url,
    resize_request,
)
from worker.vmm.port import VmAction

OPENAPI = Path(__file__).parents[3].parent / "shared" / "cloud-hypervisor-v53.yaml"


def a_vm(**changes: Any) -> VmConfig:
    plain: dict[str, Any] = {
        "cpus": 2,
        "memory_bytes": 128 * 2**20,
        "kernel": "/k",
        "initrd": "/i",
        "cmdline": "console=ttyS0",
        "serial_socket": "/run/serial.sock",
        "disks": (Disk("/d/store", "store", readonly=True), Disk("/d/v", "vol-0123456789abcdef", readonly=False)),
        "nics": (Nic("pv0123456789abc", "02:00:5e:00:53:01"),),
    }
    return VmConfig(**(plain | changes))


def test_a_request_names_everything_that_a_default_would_get_wrong() -> None:
    assert create_request(a_vm()) == {
        "cpus": {"boot_vcpus": 2, "max_vcpus": 2},
        "memory": {"size": 134217728},
        "payload": {"kernel": "/k", "cmdline": "console=ttyS0", "initramfs": "/i"},
        "rng": {"src": "/dev/urandom"},
        "serial": {"mode": "Socket", "socket": "/run/serial.sock"},
        "console": {"mode": "Off"},
        "disks": [
            {"path": "/d/store", "serial": "store", "readonly": True, "image_type": "Raw"},
            {"path": "/d/v", "serial": "vol-0123456789abcdef", "readonly": False, "image_type": "Raw"},
        ],
        "net": [{"tap": "pv0123456789abc", "mac": "02:00:5e:00:53:01"}],
    }


def test_a_vm_without_disks_nics_and_initrd_has_no_such_keys() -> None:
    request = create_request(a_vm(disks=(), nics=(), initrd=None))
    assert {"disks", "net"}.isdisjoint(request)
    assert request["payload"] == {"kernel": "/k", "cmdline": "console=ttyS0"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cpus": 0}, "cpus: 0"),
        ({"memory_bytes": 0}, "memory: 0 bytes"),
        ({"memory_bytes": 2**50}, "not in 1..2\\^44"),
        ({"memory_bytes": 1_000_001}, "no multiple of 4096"),
        ({"kernel": "k"}, "path: 'k' is not absolute"),
        ({"cmdline": "a" * 2048}, "longer than 2047"),
        ({"cmdline": "a\nb"}, "control character"),
        ({"serial_socket": "/" + "x" * 107}, "longer than 107"),
        ({"disks": (Disk("/a", "s", readonly=True), Disk("/b", "s", readonly=True))}, "same serial"),
        ({"disks": (Disk("/a", "s" * 21, readonly=True),)}, "disk serial"),
        ({"disks": (Disk("rel", "s", readonly=True),)}, "not absolute"),
        ({"balloon_bytes": 1 << 44}, "not less than the memory"),
        ({"nics": (Nic("x" * 16, "02:00:00:00:00:01"),)}, "tap"),
        ({"nics": (Nic("-x", "02:00:00:00:00:01"),)}, "tap"),
        ({"nics": (Nic("tap0", "02:00:00:00:00:0G"),)}, "mac"),
    ],
)
def test_what_a_hypervisor_would_take_silently_or_die_of_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        a_vm(**changes)


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    if not OPENAPI.exists():
        pytest.skip(f"{OPENAPI.name} is not beside the project: requests are not held to it")
    found: dict[str, Any] = yaml.safe_load(OPENAPI.read_text())
    return found


serials = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20).filter(lambda text: text[0] != "-")


@given(
    cpus=st.integers(1, 255),
    pages=st.integers(1, 2**30),
    names=st.lists(serials, unique=True, max_size=4),
    readonly=st.booleans(),
    initrd=st.none() | st.just("/i"),
)
def test_every_create_request_fits_the_openapi_file(
    openapi: dict[str, Any], *, cpus: int, pages: int, names: list[str], readonly: bool, initrd: str | None
) -> None:
    disks = tuple(Disk(f"/{name}", name, readonly=readonly) for name in names)
    request = create_request(a_vm(cpus=cpus, memory_bytes=pages * 4096, disks=disks, initrd=initrd))
    assert misfits(openapi, {"$ref": "#/components/schemas/VmConfig"}, request) == []


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("vm.add-disk", disk_request(Disk("/d", "s", readonly=True))),
        ("vm.remove-device", {"id": "_disk0"}),
        ("vm.resize", resize_request(Size(cpus=2, memory_bytes=4096, balloon_bytes=0))),
        ("vm.snapshot", {"destination_url": folder_url("/f")}),
        ("vm.restore", {"source_url": folder_url("/f"), "resume": True}),
    ],
)
def test_every_other_request_fits_the_openapi_file(
    openapi: dict[str, Any], endpoint: str, body: dict[str, object]
) -> None:
    (content,) = openapi["paths"][f"/{endpoint}"]["put"]["requestBody"]["content"].values()
    assert misfits(openapi, content["schema"], body) == []


def test_what_is_added_is_looked_at_before_it_is_asked_for() -> None:
    with pytest.raises(InvalidInput, match="not absolute"):
        disk_request(Disk("d", "s", readonly=True))
    with pytest.raises(InvalidInput, match="not absolute"):
        folder_url("f")


def test_every_action_is_an_endpoint_of_the_openapi_file_that_takes_no_body(openapi: dict[str, Any]) -> None:
    for action in VmAction:
        assert "requestBody" not in openapi["paths"][f"/{action.value}"]["put"]


def test_the_openapi_check_finds_a_wrong_key_type_and_enum(openapi: dict[str, Any]) -> None:
    request = create_request(a_vm()) | {"typo": 1, "console": {"mode": "off"}, "memory": {"size": "1"}}
    found = misfits(openapi, {"$ref": "#/components/schemas/VmConfig"}, request)
    assert [bad.partition(":")[0] for bad in found] == ["/memory/size", "/console/mode", "/typo"]


TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


def misfits(openapi: dict[str, Any], schema: dict[str, Any], value: object, place: str = "") -> list[str]:
    """Where `value` does not fit, stricter than the file: keys that it does not name count."""
    if "$ref" in schema:
        *_, name = schema["$ref"].split("/")
        return misfits(openapi, openapi["components"]["schemas"][name], value, place)
    if not isinstance(value, TYPES[schema["type"]]) or (schema["type"] == "integer" and isinstance(value, bool)):
        return [f"{place}: {value!r} is no {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{place}: {value!r} is none of {schema['enum']}"]
    if isinstance(value, list):
        items = enumerate(value)
        return [bad for index, item in items for bad in misfits(openapi, schema["items"], item, f"{place}/{index}")]
    if not isinstance(value, dict):
        return []
    bad = [f"{place}/{key}: missing" for key in schema.get("required", ()) if key not in value]
    for key, item in value.items():
        known = schema.get("properties", {}).get(key)
        bad += [f"{place}/{key}: unknown"] if known is None else misfits(openapi, known, item, f"{place}/{key}")
    return bad

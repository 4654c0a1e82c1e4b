"""Reads `vm.create`'s JSON as the real one does; it opens no file and does not ask whether the VM could boot.

Read: types, enums, required fields; unknown keys are ignored. Source: recorded answers of v53 (facts §5 and §6).
"""

import copy
import json
import re
from collections.abc import Callable

from worker.vmm.dev.answers import Json, Refused

U8, U16, U32, U64 = 8, 16, 32, 64
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_PCI: Json = {"pci_segment": (0, U16), "id": (None, str), "pci_device_id": (None, U8)}
_CONSOLE_MODES = ("Off", "Pty", "Tty", "File", "Socket", "Null")
_IMAGE_TYPES = ("FixedVhd", "Qcow2", "Raw", "Vhdx", "Unknown")
REQUIRED = object()
_PREFIXES = {"disks": "_disk", "net": "_net", "vsock": "_vsock"}


def _disk() -> Json:
    return {
        **_PCI,
        "path": (None, str),
        "readonly": (False, bool),
        "direct": (False, bool),
        "iommu": (False, bool),
        "num_queues": (1, U32),
        "queue_size": (128, U16),
        "vhost_user": (False, bool),
        "vhost_socket": (None, str),
        "rate_limiter_config": (None, dict),
        "rate_limit_group": (None, str),
        "serial": (None, str),
        "queue_affinity": (None, list),
        "backing_files": (False, bool),
        "sparse": (True, bool),
        "image_type": ("Unknown", _IMAGE_TYPES),
        "lock_granularity": ("ByteRange", ("ByteRange", "Full")),
    }


def _vsock() -> Json:
    return {**_PCI, "cid": (REQUIRED, U32), "socket": (REQUIRED, str), "iommu": (False, bool)}


def _net() -> Json:
    return {
        **_PCI,
        "tap": (None, str),
        "ip": (None, str),
        "mask": (None, str),
        "mac": (None, _MAC),
        "host_mac": (None, _MAC),
        "mtu": (None, U16),
        "iommu": (False, bool),
        "num_queues": (2, U32),
        "queue_size": (256, U16),
        "vhost_user": (False, bool),
        "vhost_socket": (None, str),
        "vhost_mode": ("Client", ("Client", "Server")),
        "rate_limiter_config": (None, dict),
        "offload_tso": (True, bool),
        "offload_ufo": (True, bool),
        "offload_csum": (True, bool),
    }


VM_CONFIG: Json = {
    "cpus": (
        {"boot_vcpus": 1, "max_vcpus": 1},
        {
            "boot_vcpus": (REQUIRED, U32),
            "max_vcpus": (REQUIRED, U32),
            "topology": (None, dict),
            "kvm_hyperv": (False, bool),
            "max_phys_bits": (46, U8),
            "nested": (True, bool),
            "features": ({}, {"amx": (False, bool)}),
            "core_scheduling": ("Vm", ("Vm", "Vcpu", "Off")),
            "affinity": (None, list),
        },
    ),
    "memory": (
        {"size": 512 * 2**20},
        {
            "size": (REQUIRED, U64),
            "hotplug_size": (None, U64),
            "hotplugged_size": (None, U64),
            "hotplug_method": ("Acpi", ("Acpi", "VirtioMem")),
            "mergeable": (False, bool),
            "shared": (False, bool),
            "hugepages": (False, bool),
            "hugepage_size": (None, U64),
            "prefault": (False, bool),
            "reserve": (False, bool),
            "thp": (True, bool),
            "zones": (None, list),
        },
    ),
    "payload": (
        None,
        {"kernel": (None, str), "cmdline": (None, str), "initramfs": (None, str), "firmware": (None, str)},
    ),
    "disks": (None, [_disk()]),
    "net": (None, [_net()]),
    "rng": (
        {"src": "/dev/urandom"},
        {"src": (REQUIRED, str), "pci_segment": (0, U16), "id": (None, str), "iommu": (None, bool)},
    ),
    "serial": (
        {"mode": "Null"},
        {"mode": (REQUIRED, _CONSOLE_MODES), "file": (None, str), "socket": (None, str)},
    ),
    "console": (
        {"mode": "Tty"},
        {"mode": (REQUIRED, _CONSOLE_MODES), "file": (None, str), "pci_segment": (0, U16), "iommu": (None, bool)},
    ),
    "debug_console": (
        {"mode": "Off"},
        {"mode": (REQUIRED, _CONSOLE_MODES), "file": (None, str), "iobase": (233, U16)},
    ),
    "balloon": (
        None,
        {
            **_PCI,
            "size": (REQUIRED, U64),
            "deflate_on_oom": (False, bool),
            "free_page_reporting": (False, bool),
        },
    ),
    "vsock": (None, _vsock()),
    "fs": (None, [{**_PCI, "tag": (REQUIRED, str), "socket": (REQUIRED, str), "num_queues": (1, U32)}]),
    "pvpanic": (False, bool),
    "iommu": (False, bool),
    "watchdog": (False, bool),
    "landlock_enable": (False, bool),
    "landlock_rules": (None, [{"path": (REQUIRED, str), "access": (REQUIRED, str)}]),
}
"""Key → (default, shape). A shape: bits of an unsigned integer, `str`/`bool`/`dict`/`list` as is, a tuple of enum
values, a pattern (a MAC), a dict (a struct), a list of one dict (a list of structs). None: left out when unset."""

DEVICES: dict[str, Json] = {"disks": _disk(), "net": _net(), "vsock": _vsock()}
"""The devices that can be added to a VM, by the configuration's key."""


def parse(body: bytes, name: str = "VmConfig", fields: Json = VM_CONFIG) -> Json:
    """The configuration in a `vm.create` body with every default filled in, or another request's struct.

    Raises Refused (400) with the recorded text; the column that it ends with is the body's last one, where the real one
    names the value's.
    """
    place = f" at line 1 column {len(body)}"
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "Failed to deserialize JSON", _syntax_problem(body, error)) from error
    try:
        if isinstance(parsed, list) and fields is VM_CONFIG:
            raise TypeError("invalid length 2, expected struct VmConfig with 28 elements")
        return _struct(name, fields, parsed)
    except TypeError as problem:
        raise Refused(400, "Failed to deserialize JSON", f"{problem}{place}") from problem


def _syntax_problem(body: bytes, error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        text = "key must be a string" if "property name" in error.msg else "expected value"
        if error.pos >= len(body.strip()):
            text = "EOF while parsing a value"
        return f"{text} at line {error.lineno} column {error.pos + 1}"
    return "invalid unicode code point at line 1 column 1"


def _struct(name: str, fields: Json, value: object) -> Json:
    if not isinstance(value, dict):
        raise TypeError(f"invalid type: {_described(value)}, expected struct {name}")
    result: Json = {}
    for key, spec in fields.items():
        assert isinstance(spec, tuple)  # noqa: S101 - the table above is written by hand
        default, shape = spec
        given = value.get(key)
        if key not in value and default is REQUIRED:
            raise TypeError(f"missing field `{key}`")
        if given is None and default is None:
            continue
        result[key] = _value(key, shape, copy.deepcopy(default) if key not in value else given)
    return result


def _value(key: str, shape: object, value: object) -> object:  # noqa: PLR0912 - one branch a shape
    match shape:
        case type():
            if not isinstance(value, shape):
                expected = {str: "a string", bool: "a boolean", dict: "a map", list: "a sequence"}[shape]
                raise TypeError(f"invalid type: {_described(value)}, expected {expected}")
        case int():
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"invalid type: {_described(value)}, expected u{shape}")
            if not 0 <= value < 2**shape:
                raise TypeError(f"invalid value: integer `{value}`, expected u{shape}")
        case tuple():
            if not isinstance(value, str):
                raise TypeError(f"invalid type: {_described(value)}, expected string or map")
            if value not in shape:
                raise TypeError(f"unknown variant `{value}`, expected one of {', '.join(f'`{v}`' for v in shape)}")
        case re.Pattern():
            if not isinstance(value, str) or shape.fullmatch(value) is None:
                raise TypeError(f"The provided MAC address is invalid: parsing of {value} into a MAC address failed")
        case dict():
            return _struct(f"{key.capitalize()}Config", shape, value)
        case [dict() as fields]:
            if not isinstance(value, list):
                raise TypeError(f"invalid type: {_described(value)}, expected a sequence")
            return [_struct(f"{key.rstrip('s').capitalize()}Config", fields, item) for item in value]
    return value


def _described(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return f"boolean `{str(value).lower()}`"
        case int():
            return f"integer `{value}`"
        case float():
            return f"floating point `{value}`"
        case str():
            return f'string "{value}"'
        case list():
            return "sequence"
    return "map"


def devices(config: Json, kind: str) -> list[Json]:
    """The devices of one kind (`disks`, `net`, `fs`), none when the key is unset."""
    listed = config.get(kind)
    return listed if isinstance(listed, list) else []


def section(config: Json, name: str) -> Json:
    """One struct of the configuration, empty when it is unset."""
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def number(value: object) -> int:
    """An integer out of a parsed configuration, where the table has it as one."""
    return value if isinstance(value, int) else 0


def with_boot_names(config: Json, *, random_mac: Callable[[], str]) -> tuple[Json, int]:
    """The configuration as the real one writes it back at boot, ids from one counter for all kinds, and MACs.

    Also the counter's next value.
    """
    named, count = copy.deepcopy(config), 0
    for kind in ("disks", "net"):
        listed = devices(named, kind)
        for index, device in enumerate(listed):
            listed[index], count = with_name(kind, device, count=count, random_mac=random_mac)
    if section(named, "vsock"):
        named["vsock"], count = with_name("vsock", section(named, "vsock"), count=count, random_mac=random_mac)
    return named, count


def with_name(kind: str, device: Json, *, count: int, random_mac: Callable[[], str]) -> tuple[Json, int]:
    """One device as it is written back, and the counter's next value."""
    named = dict(device)
    if "id" not in named:
        named["id"], count = f"{_PREFIXES[kind]}{count}", count + 1
    if kind == "net":
        named.setdefault("mac", random_mac())
    return named, count


def with_device(config: Json, kind: str, device: Json) -> Json:
    """The configuration with a device more. There is one vsock at most, which the caller sees to."""
    return {**config, kind: device if kind == "vsock" else [*devices(config, kind), device]}


def without_device(config: Json, identifier: str) -> Json:
    """The configuration without the device of that id; a kind of which none is left goes too."""
    left = {**config}
    for kind in ("disks", "net"):
        kept = [device for device in devices(config, kind) if device.get("id") != identifier]
        left.pop(kind, None)
        left |= {kind: kept} if kept else {}
    if section(config, "vsock").get("id") == identifier:
        del left["vsock"]
    return left

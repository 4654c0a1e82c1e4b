"""What one generation changes against another: VMs added, removed and changed, field by field; it fetches neither."""

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from schema.canonical import canonical_bytes
from schema.errors import InvalidInput
from schema.names import WireModel
from schema.operations import GenerationContent


class Effect(StrEnum):
    """What a change of a VM means for one that runs."""

    CONTENT = "content"
    LIVE = "live"


class FieldChange(WireModel):
    """One field of a VmSpec or of the rollout policy. `old` and `new` are JSON, empty where the field is not there."""

    field: str
    old: str = ""
    new: str = ""


class VmChange(WireModel):
    """A VM that both have. With effect `content` it boots anew (or switches), with `live` it is not touched."""

    vm: str
    effect: Effect
    fields: tuple[FieldChange, ...]


class GenerationDiff(WireModel):
    """From generation `old` to `new`; names are in order, `unchanged` counts the VMs that are equal byte for byte."""

    old: int
    new: int
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[VmChange, ...] = ()
    unchanged: int = 0
    rollout: tuple[FieldChange, ...] = ()


def generation_diff(old: GenerationContent, new: GenerationContent) -> GenerationDiff:
    """The difference. Raises InvalidInput when a spec is not JSON."""
    both = sorted(set(old.specs) & set(new.specs))
    different = [vm for vm in both if old.specs[vm] != new.specs[vm]]
    return GenerationDiff(
        old=old.status.number,
        new=new.status.number,
        added=tuple(sorted(set(new.specs) - set(old.specs))),
        removed=tuple(sorted(set(old.specs) - set(new.specs))),
        changed=tuple(_vm_change(vm, old, new) for vm in different),
        unchanged=len(both) - len(different),
        rollout=tuple(_fields("", _read("rollout", old.rollout), _read("rollout", new.rollout))),
    )


def _vm_change(vm: str, old: GenerationContent, new: GenerationContent) -> VmChange:
    same = old.content.get(vm) == new.content.get(vm)
    fields = _fields("", _read(vm, old.specs[vm]), _read(vm, new.specs[vm]))
    return VmChange(vm=vm, effect=Effect.LIVE if same else Effect.CONTENT, fields=tuple(fields))


def _fields(path: str, old: Any, new: Any) -> Iterator[FieldChange]:
    """The leaves in which two JSON values differ, in the order of their names; lists are compared as a whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _fields(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    elif old != new:
        yield FieldChange(field=path, old=_text(old), new=_text(new))


def _text(value: Any) -> str:
    return "" if value is None else canonical_bytes(value).decode()


def _read(what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{what}: not JSON: {error}") from error

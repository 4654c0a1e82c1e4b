"""Declarations of options → a Markdown page; it evaluates and writes nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_HEAD = """\
# Options

Made from the declarations in `nix/lib/options.nix` and `nix/modules/declarations.nix` by `python -m nix.reference`; to
change a text, change it there.
"""
_CLUSTER = """\
What `mkCluster` takes, and what the module `cluster.nix` declares below `cluster`, where the cluster's own name is
`cluster.name`. `<name>` stands for a name of your choice, `*` for each of a list. The blueprint itself is described by
[`blueprint.schema.json`](blueprint.schema.json).
"""
_SERVICES = """\
NixOS modules: `nixosModules.control-plane`, `.worker`, `.ci`, `.cache` and `.repohub`; `nixosModules.default` has all
of them, and none does anything before its `enable`.
"""
_GUEST = """\
`nixosModules.guest`, the profile of a NixOS System that boots as a VM. `mkCluster` sets these options for every
`configuration` that has the module.
"""


@dataclass(frozen=True, slots=True)
class Group:
    """Options below one path. `form` is a record of `nix/lib/types.nix` as data."""

    path: str
    form: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Option:
    """One row: its path, the words for its type, and what was declared of it."""

    path: str
    what: str
    declared: Mapping[str, Any]


def options(form: Mapping[str, Any], path: str = "") -> Iterator[Option]:
    """Every option of a record and of the records inside of it, depth first, in the order of their names."""
    for name, option in form["options"].items():
        here = f"{path}.{name}" if path else name
        inner, below = _record_in(option["form"], here)
        # What holds options shows them, and needs no words for its type.
        yield Option(here, _WHAT[option["form"]["kind"]] if inner else option["what"], option)
        if inner is not None:
            yield from options(inner, below)


_WHAT = {"record": "options", "map": "a set from names to options", "list": "a list of options"}


def _record_in(form: Mapping[str, Any], path: str) -> tuple[Mapping[str, Any] | None, str]:
    match form["kind"]:
        case "record":
            return form, path
        case "map":
            return _record_in(form["of"], f"{path}.<name>")
        case "list":
            return _record_in(form["of"], f"{path}.*")
        case _:
            return None, path


def descriptions(form: Mapping[str, Any]) -> dict[str, str]:
    """Each option's text by its path, on one line."""
    return {option.path: " ".join(option.declared["description"].split()) for option in options(form)}


def page(*, cluster: Group, services: Sequence[Group], guest: Group) -> str:
    """The whole page."""
    parts = [_HEAD, "## The cluster\n", _CLUSTER, _table(cluster, prefix="")]
    parts += ["## Services\n", _SERVICES]
    for group in services:
        parts += [f"### `{group.path}`\n", _table(group, prefix="")]
    parts += ["## The guest\n", _GUEST, _table(guest, prefix="procurator.guest.")]
    return "\n".join(parts)


def _table(group: Group, *, prefix: str) -> str:
    rows = [_row(option, prefix) for option in options(group.form)]
    return "\n".join(["| option | type | default | |", "| --- | --- | --- | --- |", *rows, ""])


def _row(option: Option, prefix: str) -> str:
    text = " ".join(option.declared["description"].split())
    if "example" in option.declared:
        text += f" Example: `{nix_value(option.declared['example'])}`."
    return f"| `{prefix}{option.path}` | {_cell(option.what)} | {_default(option.declared)} | {_cell(text)} |"


def _default(declared: Mapping[str, Any]) -> str:
    if declared["required"]:
        return "(needed)"
    if "defaultText" in declared:
        return _cell(declared["defaultText"])
    return "none" if declared["default"] is None else f"`{nix_value(declared['default'])}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def nix_value(value: Any) -> str:
    """A value as one writes it in Nix."""
    match value:
        case dict():
            inner = "".join(f"{_key(name)} = {nix_value(one)}; " for name, one in value.items())
            return f"{{ {inner}}}"
        case list():
            return f"[ {''.join(f'{nix_value(one)} ' for one in value)}]"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("${", "\\${")
        case _:
            return json.dumps(value)


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and not name[0].isdigit() else nix_value(name)

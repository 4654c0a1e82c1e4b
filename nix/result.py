"""Parses what nix 2.8 to 2.34 print on stdout into one record type each; it looks at no exit code."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nix.flake import derivation_path, store_path
from schema.errors import Internal, InvalidInput

_VERSION = re.compile(r"\b(\d+)\.(\d+)(?:\.(\d+))?")
_STORE = "/nix/store/"
_DERIVATION = re.compile(r"/nix/store/[0-9a-df-np-sv-z]{32}-[0-9a-zA-Z+\-._?=]+?\.drv\b")
_FREED = re.compile(r"(\d+) store paths? deleted")


@dataclass(frozen=True, slots=True)
class PathInfo:
    """What a store has registered of one valid path. `nar_size` is bytes; `references` are full paths."""

    path: str
    nar_hash: str
    nar_size: int
    references: tuple[str, ...]
    signatures: tuple[str, ...] = ()
    deriver: str | None = None
    content_address: str | None = None


@dataclass(frozen=True, slots=True)
class Derivation:
    """A derivation and the store paths that it yields, built or not."""

    drv: str
    outputs: Mapping[str, str]

    @property
    def out(self) -> str:
        """The output that the attribute stands for: `out`, else the only one."""
        return self.outputs["out"] if "out" in self.outputs else next(iter(self.outputs.values()))


@dataclass(frozen=True, slots=True)
class FlakeMetadata:
    """What a flake reference was locked to. `last_modified` is seconds since 1970."""

    rev: str | None
    last_modified: int | None
    nar_hash: str | None
    source: str


def parse_json(output: bytes) -> Any:
    """Any JSON that nix printed. Raises `InvalidInput` where an author nested it beyond what Python reads, `Internal`
    on something else: nix has already exited with 0.
    """
    try:
        return json.loads(output)
    except RecursionError as error:
        raise InvalidInput("nested too deeply") from error
    except ValueError as error:
        raise Internal(f"nix printed something else than JSON: {output[:200]!r}") from error


def parse_version(output: bytes) -> tuple[int, int, int]:
    """`(2, 8, 0)` of `nix (Nix) 2.8.0`."""
    found = _VERSION.search(output.decode(errors="replace"))
    if found is None:
        raise Internal(f"not a version: {output[:100]!r}")
    return int(found[1]), int(found[2]), int(found[3] or 0)


def parse_path_info(output: bytes) -> dict[str, PathInfo | None]:
    """Every path that was asked for or belongs to a closure; None is a path that the store does not have.

    2.8 prints a list, 2.26 an object by path, 2.34 that or (`--json-format 2`) one under `info` with base names.
    """
    return dict(_path_infos(parse_json(output)))


def _path_infos(printed: Any) -> Iterator[tuple[str, PathInfo | None]]:
    match printed:
        case list(entries):
            for entry in entries:
                path = _full(entry["path"])
                yield path, _path_info(path, entry) if entry.get("valid", True) else None
        case {"info": dict(entries), **_rest}:
            yield from _path_infos(entries)
        case dict(entries):
            for name, entry in entries.items():
                if entry is None or isinstance(entry, dict):  # `version` and `storeDir` stand beside the paths
                    yield _full(name), None if entry is None else _path_info(_full(name), entry)
        case _:
            raise Internal("nix path-info printed neither a list nor an object")


def _path_info(path: str, entry: Mapping[str, Any]) -> PathInfo:
    return PathInfo(
        path=store_path(path),
        nar_hash=_sri(entry["narHash"]),
        nar_size=int(entry["narSize"]),
        references=tuple(sorted(store_path(_full(reference)) for reference in entry["references"])),
        signatures=tuple(_signature(one) for one in entry.get("signatures") or ()),
        deriver=_full(entry["deriver"]) if entry.get("deriver") else None,
        content_address=_content_address(entry.get("ca")),
    )


def _full(path: str) -> str:
    return path if path.startswith(_STORE) else _STORE + path


def _sri(value: Any) -> str:
    return value if isinstance(value, str) else f"{value['algorithm']}-{value['hash']}"


def _signature(value: Any) -> str:
    return value if isinstance(value, str) else f"{value['keyName']}:{value['sig']}"


def _content_address(value: Any) -> str | None:
    if not value:
        return None
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def parse_instantiated(output: bytes) -> Derivation:
    """What `nix.argv.OUTPUTS` yields."""
    entry = parse_json(output)
    return Derivation(derivation_path(entry["drv"]), {k: store_path(v) for k, v in entry["outputs"].items()})


def parse_realised(output: bytes) -> tuple[str, ...]:
    """`nix-store --realise`: the output paths, a line each."""
    return tuple(store_path(line) for line in output.decode().split())


def parse_names(output: bytes) -> tuple[str, ...]:
    """A list of attribute names."""
    names = parse_json(output)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidInput("expected a list of attribute names")
    return tuple(names)


def parse_flake_metadata(output: bytes) -> FlakeMetadata:
    """`nix flake metadata --json`."""
    entry = parse_json(output)
    locked = entry.get("locked", {})
    return FlakeMetadata(
        rev=entry.get("revision") or locked.get("rev"),
        last_modified=entry.get("lastModified"),
        nar_hash=locked.get("narHash"),
        source=store_path(entry["path"]),
    )


def parse_collected(output: bytes) -> int:
    """How many paths `nix store gc` says that it deleted."""
    found = _FREED.search(output.decode(errors="replace"))
    return int(found[1]) if found else 0


def failed_derivations(text: str) -> tuple[str, ...]:
    """The derivations that an error text names, each once, in order; its sentences differ between versions."""
    return tuple(dict.fromkeys(_DERIVATION.findall(text)))

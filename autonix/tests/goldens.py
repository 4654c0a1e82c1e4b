"""The recorded analysis of one repository an ecosystem; `python -m autonix.tests.goldens` records them anew."""

import tempfile
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import trio

from autonix.explain import reason
from autonix.findings import Analysis, Finding
from autonix.scan import analyse
from autonix.tests.archive import repository

GOLDENS = Path(__file__).parent / "goldens"
RECORDED = (
    "python-pep621-uv",
    "javascript-pnpm-workspace",
    "rust-workspace",
    "go-service",
    "nix-flake",
    "java-gradle-kotlin",
    "ruby-rails",
    "php-laravel",
    "elixir-phoenix",
    "dotnet-web",
    "haskell-cabal",
    "zig-exe",
    "scala-sbt",
    "c-autotools",
    "c-cmake",
    "javascript-deno",
    "python-conda",
    "compose-only",
    "compose-layers",
    "ci-many",
)


def told(analysis: Analysis) -> str:
    """Every field that is set, indented, with the reason of each finding."""
    return "\n".join(_lines("analysis", analysis, 0)) + "\n"


def _lines(name: str, value: Any, depth: int, why: str = "") -> Iterator[str]:
    if isinstance(value, Finding):
        yield from _lines(name, value.value, depth, f"  <- {reason(value)}")
    elif isinstance(value, tuple) and value and (is_dataclass(value[0]) or isinstance(value[0], Finding)):
        for item in value:
            yield from _lines(name, item, depth, why)
    elif is_dataclass(value):
        yield f"{'  ' * depth}{name}{why}"
        for field in fields(value):
            inner = getattr(value, field.name)
            if inner not in (None, (), "", False):
                yield from _lines(field.name, inner, depth + 1)
    else:
        shown = value.value if isinstance(value, Enum) else value
        yield f"{'  ' * depth}{name} {shown!r}{why}"


async def analysis_of(name: str, directory: Path) -> Analysis:
    return await analyse(repository(name).write(directory / "repository"))


def record() -> None:
    for name in RECORDED:
        with tempfile.TemporaryDirectory() as directory:
            (GOLDENS / f"{name}.txt").write_text(told(trio.run(analysis_of, name, Path(directory))))


if __name__ == "__main__":
    record()

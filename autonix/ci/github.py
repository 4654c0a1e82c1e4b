"""GitHub's workflows: shell steps, services, and the tools that actions set up; reusable workflows are not followed."""

import re
from collections.abc import Iterator, Mapping

from autonix.ci.words import Seen, beside, image_tool, is_version, step, versions
from autonix.findings import Finding, Setup
from autonix.formats.document import Document, Key
from autonix.reader import Reader

_WORKFLOW = re.compile(r"\.github/workflows/[^/]+\.ya?ml")
_MATRIX = re.compile(r"\$\{\{\s*matrix\.([\w-]+)\s*\}\}")
ACTIONS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "actions/setup-node": (("node", "node-version"),),
    "actions/setup-python": (("python", "python-version"),),
    "actions/setup-go": (("go", "go-version"),),
    "actions/setup-java": (("java", "java-version"),),
    "actions/setup-dotnet": (("dotnet", "dotnet-version"),),
    "ruby/setup-ruby": (("ruby", "ruby-version"),),
    "shivammathur/setup-php": (("php", "php-version"),),
    "erlef/setup-beam": (("elixir", "elixir-version"), ("erlang", "otp-version")),
    "haskell-actions/setup": (("ghc", "ghc-version"),),
    "haskell/actions/setup": (("ghc", "ghc-version"),),
    "mlugg/setup-zig": (("zig", "version"),),
    "goto-bus-stop/setup-zig": (("zig", "version"),),
    "denoland/setup-deno": (("deno", "deno-version"),),
    "oven-sh/setup-bun": (("bun", "bun-version"),),
    "pnpm/action-setup": (("pnpm", "version"),),
    "actions-rs/toolchain": (("rust", "toolchain"),),
    "actions-rust-lang/setup-rust-toolchain": (("rust", "toolchain"),),
    "dtolnay/rust-toolchain": (("rust", "toolchain"),),
}
"""What each action installs, and the input that names the version."""


def read(reader: Reader) -> Iterator[Seen]:
    """All that the workflows say, in the order of files and jobs."""
    for path in reader.named("*.yml", "*.yaml"):
        document = reader.yaml(path) if _WORKFLOW.fullmatch(path) else None
        for job in document.table("jobs") if document is not None else ():
            if document is not None:
                yield from _job(document, job)


def _job(document: Document, job: str) -> Iterator[Seen]:
    base: tuple[Key, ...] = ("jobs", job)
    for name in document.table(*base, "services"):
        keys: tuple[Key, ...] = (*base, "services", name)
        yield from beside(document, *keys, "image") if document.text(*keys, "image") else beside(document, *keys)
    for keys in ((*base, "container"), (*base, "container", "image")):
        yield from image_tool(document, "github", *keys)
    for index, _ in enumerate(document.array(*base, "steps")):
        keys = (*base, "steps", index)
        yield from step(document, "github", job, *keys, "run")
        yield from _setups(document, base, keys)


def _setups(document: Document, base: tuple[Key, ...], keys: tuple[Key, ...]) -> Iterator[Finding[Setup]]:
    action, _, reference = document.text(*keys, "uses").partition("@")
    for tool, argument in ACTIONS.get(action, ()):
        where: tuple[Key, ...] = (*keys, "with", argument)
        if match := _MATRIX.fullmatch(document.text(*where)):
            yield from _of_matrix(document, base, tool, match[1])
        elif document.get(*where) is not None:
            yield from versions(document, "github", tool, *where)
        elif action == "dtolnay/rust-toolchain" and is_version(reference):
            yield document.finding(Setup("github", tool, reference), *keys, "uses", rule="ci.github.tool")


def _of_matrix(document: Document, base: tuple[Key, ...], tool: str, name: str) -> Iterator[Finding[Setup]]:
    matrix: tuple[Key, ...] = (*base, "strategy", "matrix")
    yield from versions(document, "github", tool, *matrix, name)
    for index, _ in enumerate(document.array(*matrix, "include")):
        yield from versions(document, "github", tool, *matrix, "include", index, name)

"""What all CI systems have in common: steps, images beside them, and the tools that they set up; it reads no file."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from autonix.findings import Confidence, Finding, Setup, Step
from autonix.formats.document import Document, Key
from autonix.mapping.purposes import purpose_of
from autonix.mapping.services import image_parts, kind_of_image
from autonix.reader import Reader


@dataclass(frozen=True, slots=True)
class Beside:
    """An image of a known kind that runs beside a job."""

    kind: str
    image: Finding[str]


Seen = Finding[Step] | Finding[Setup] | Beside
System = Callable[[Reader], Iterator[Seen]]

_VERSION = re.compile(r"[\^~]?(?:>=?\s*)?v?[0-9]+(?:\.(?:[0-9]+|x|\*))*")
_TAG = re.compile(r"v?([0-9]+(?:\.[0-9]+)*)(?![0-9A-Za-z.])")

_LANGUAGES = (
    *(("python", "python"), ("node", "node"), ("golang", "go"), ("go", "go"), ("ruby", "ruby"), ("php", "php")),
    *(("elixir", "elixir"), ("openjdk", "java"), ("rust", "rust"), ("haskell", "ghc")),
)
IMAGES: Mapping[str, str] = {
    **{f"{owner}{name}": tool for owner in ("", "cimg/", "circleci/") for name, tool in _LANGUAGES},
    "eclipse-temurin": "java",
    "amazoncorretto": "java",
    "dotnet/sdk": "dotnet",
    "oven/bun": "bun",
    "denoland/deno": "deno",
}
"""Images that are a toolchain, whose tag begins with its version."""


def step(document: Document, system: str, job: str, *keys: Key) -> Iterator[Finding[Step]]:
    """The shell text at `keys`, or each of a list of them."""
    value = document.get(*keys)
    texts = value if isinstance(value, list) else [value]
    for index, text in enumerate(texts):
        where = (*keys, index) if isinstance(value, list) else keys
        if isinstance(text, str) and text.strip():
            said = Step(system, job, text.strip(), purpose_of("", text))
            yield document.finding(said, *where, rule=f"ci.{system}.step")


def beside(document: Document, *keys: Key) -> Iterator[Beside]:
    """The service image at `keys`, where it is of a known kind and no variable."""
    reference = document.text(*keys)
    kind = kind_of_image(reference) if reference and "$" not in reference else None
    if kind is not None:
        yield Beside(kind.kind, document.finding(reference, *keys, rule="ci.service", confidence=Confidence.LIKELY))


def image_tool(document: Document, system: str, *keys: Key) -> Iterator[Finding[Setup]]:
    """The toolchain that the job's own image at `keys` is, with the version that its tag names."""
    found = tool_of_image(document.text(*keys))
    if found is not None:
        yield document.finding(Setup(system, *found), *keys, rule=f"ci.{system}.image", confidence=Confidence.LIKELY)


def tool_of_image(reference: str) -> tuple[str, str] | None:
    """`cimg/node:20.11-browsers` → node, 20.11."""
    parts = image_parts(reference)
    tool = IMAGES.get(parts.repository.lower())
    match = _TAG.match(parts.tag) if tool and "$" not in reference else None
    return (tool, match[1]) if tool and match else None


def versions(document: Document, system: str, tool: str, *keys: Key) -> Iterator[Finding[Setup]]:
    """The version or versions at `keys`; names of channels (`lts`, `stable`) are none."""
    value = document.get(*keys)
    for index, item in enumerate(value if isinstance(value, list) else [value]):
        where = (*keys, index) if isinstance(value, list) else keys
        for text in str(item).split("\n") if isinstance(item, str | int) else ():
            if is_version(text.strip()):
                yield document.finding(Setup(system, tool, text.strip()), *where, rule=f"ci.{system}.tool")


def is_version(text: str) -> bool:
    """Whether it is a version or a range of some, and no channel or variable."""
    return len(text) < 60 and _VERSION.fullmatch(text) is not None

"""Travis' file: its phases' commands, the versions of its language, its services by name."""

from collections.abc import Iterator, Mapping

from autonix.ci.words import Seen, is_version, step, versions
from autonix.findings import Finding, Setup
from autonix.formats.document import Document
from autonix.reader import Reader

TRAVIS = ".travis.yml"
_PHASES = ("before_install", "install", "before_script", "script")
_LANGUAGES: Mapping[str, str] = {
    "python": "python",
    "node_js": "node",
    "go": "go",
    "rvm": "ruby",
    "ruby": "ruby",
    "php": "php",
    "rust": "rust",
    "elixir": "elixir",
    "otp_release": "erlang",
    "ghc": "ghc",
    "dotnet": "dotnet",
    "scala": "scala",
}
"""The key that lists a language's versions, and its tool."""


def read(reader: Reader) -> Iterator[Seen]:
    """All that the file says, in the order of its phases. Services have no version there, so they say nothing."""
    document = reader.yaml(TRAVIS)
    if document is None:
        return
    for phase in _PHASES:
        yield from step(document, "travis", phase, phase)
    for key, tool in _LANGUAGES.items():
        yield from versions(document, "travis", tool, key)
    yield from _java(document)


def _java(document: Document) -> Iterator[Finding[Setup]]:
    """`openjdk17` is Java 17."""
    value = document.get("jdk")
    for index, item in enumerate(value if isinstance(value, list) else [value]):
        version = str(item).removeprefix("openjdk").removeprefix("oraclejdk") if isinstance(item, str) else ""
        if is_version(version):
            where = ("jdk", index) if isinstance(value, list) else ("jdk",)
            yield document.finding(Setup("travis", "java", version), *where, rule="ci.travis.tool")

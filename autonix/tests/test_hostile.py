"""Texts that were written to do harm: no parser ends the process, calls itself without end, or fills the memory."""

import os
import sys
from pathlib import Path

import pytest

from autonix.ci import systems
from autonix.explain import findings_of
from autonix.formats.json import parse_json
from autonix.formats.toml import parse_toml
from autonix.formats.xml import parse_xml
from autonix.formats.yaml import parse_yaml
from autonix.scan import analyse
from autonix.understand import WANTED, understand
from nix.run import run
from schema.errors import InvalidInput

PIECES = (
    *("\n", " ", "(", "[", "{", '"', "a: ", "- ", "/*", "${", "\\\n", "<a>", "a = ", "x: ", "''", ".{ .a = ", "a@"),
    *("FROM a\n", "AC_INIT(", "sh '", "lazy val a = project\n", "let ", "gem 'a'\n", "&a [*a, ", "addExecutable(.{"),
)
NAMES = sorted(
    {
        *(name.replace("*", "x") for name in (*WANTED, *systems.PATTERNS)),
        *(".github/workflows/x.yml", ".circleci/config.yml", ".buildkite/pipeline.yml", "config/database.yml"),
        *("requirements/x.txt", "Properties/launchSettings.json", "gradle/libs.versions.toml"),
    }
)


@pytest.mark.parametrize("piece", PIECES, ids=repr)
def test_one_piece_again_and_again_in_any_file_is_got_over(piece: str) -> None:
    for name in NAMES:
        files = {name: piece * (6_000 // len(piece))}
        for finding in findings_of(understand("hostile", (name,), files)):
            assert finding.file == name


DEEP = 300_000
BILLION_LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]><Project>&j;</Project>"
)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_json, "[" * DEEP),
        (parse_json, '{"a":' * DEEP),
        (parse_json, "// c\n" + "[" * DEEP),
        (parse_toml, "a = " + "[" * DEEP),
        (parse_yaml, "[" * DEEP),
        (parse_yaml, "- " * DEEP),
        (parse_xml, "<a>" * DEEP),
        (parse_xml, BILLION_LAUGHS),
        (parse_xml, "<a>" + "<b/>" * DEEP + "</a>"),
    ],
    ids=["json", "json tables", "json with comments", "toml", "yaml", "yaml lists", "xml", "entities", "elements"],
)
def test_what_is_too_deep_or_too_much_is_refused(parse: object, text: str) -> None:
    assert callable(parse)
    with pytest.raises(InvalidInput):
        parse("x", text)


async def test_names_of_a_repository_stay_data(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text(
        '{"name": "@scope/x\\";${builtins.abort}\\n\'\'", "scripts": {"start": "node \\u001b[2J"}}'
    )
    (tmp_path / "x$(touch y).csproj").write_text('<Project Sdk="Microsoft.NET.Sdk.Web"/>')
    (tmp_path / "compose.yml").write_text('services: {"../../db; rm -rf /": {image: "postgres:16"}}')
    analysis = await analyse(tmp_path)
    assert [project.name.value for project in analysis.projects if project.name] == [
        "x$(touch y)",
        "@scope/x\";${builtins.abort}\n''",
    ]
    assert [service.name for service in analysis.services] == ["db-rm-rf"]
    assert not (tmp_path / "y").exists()


MEMORY = 1_000_000_000
"""Bytes of address space for an analysis of the largest files that are read, all of them nasty."""
SCAN = """
import resource, sys, trio
from pathlib import Path
from autonix.scan import analyse
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
print(len(trio.run(analyse, Path(sys.argv[1])).skipped))
"""


async def test_the_largest_files_of_all_kinds_fit_into_a_bounded_memory(tmp_path: Path) -> None:
    size = 7_000_000
    large = {
        "pnpm-lock.yaml": "- a\n",
        "package-lock.json": "[],",
        "Cargo.lock": "a=1\n",
        "pom.xml": "<a/>",
        "configure.ac": "AC_X(a)\n",
        "x.cabal": "a: b\n",
        "flake.nix": "a ",
        "build.zig.zon": ".{},",
        "Makefile": "a: b\n",
        "compose.yml": "{a: ",
    }
    for name, piece in large.items():
        (tmp_path / name).write_text(piece * (size // len(piece)))
    argv = (sys.executable, "-c", SCAN, str(tmp_path), str(MEMORY))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    done = await run(argv, deadline=100, env=env)
    assert int(done.stdout) >= 4

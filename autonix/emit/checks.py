"""A project's own test and lint commands → checks of its flake; commands that need the network are not told apart."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from autonix.emit.recipes import Named
from autonix.emit.words import dns_label
from autonix.explain import reason
from autonix.findings import Analysis, Command, Ecosystem, Finding, Purpose
from autonix.nixast import Binding, ListOf, Node, Op, Select, call, names, text

RUNNERS: Final = {
    "npm": ("npm run", ()),
    "yarn": ("yarn run", ()),
    "pnpm": ("pnpm run", ()),
    "bun": ("bun run", ()),
    "make": ("make", ("gnumake",)),
    "just": ("just", ("just",)),
    "task": ("task", ("go-task",)),
    "mise": ("mise run", ("mise",)),
}
"""How a runner is told a command's name, and the package of nixpkgs that it is in."""

_ENDLESS: Final = re.compile(r"(?:^|[\s:_-])watch(?:[\s:_=-]|$)|--ui\b")
"""A test that waits for the next change of a file never ends."""

PLAIN: Final = ("pdm", "poe", "hatch", "taskipy", "pixi")
"""Runners that would first make an environment of their own; a check has one, so the text itself runs."""

OF_CI: Final = {
    Ecosystem.PYTHON: ("pytest", "ruff", "mypy", "flake8", "pylint", "black"),
    Ecosystem.C: ("make", "ctest", "ninja", "meson"),
    Ecosystem.ZIG: ("zig",),
}
"""Programs whose commands in CI mean the same in a check, where the project names no commands itself."""

OWN_COMMANDS: Final = {
    Ecosystem.RUST: (("test", "cargo test --offline"), ("lint", "cargo clippy --offline -- -D warnings")),
    Ecosystem.GO: (("test", "go test ./..."), ("lint", "go vet ./...")),
    Ecosystem.ZIG: (("test", "zig build test ${zigDeps:+--system $zigDeps}"),),
}
"""What every project of these ecosystems has without saying so."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its attribute's name, the shell text that it runs, the tools it needs, and why it is there."""

    name: str
    run: str
    tools: tuple[str, ...]
    because: str


def checks_of(named: Named, analysis: Analysis) -> tuple[Check, ...]:
    """The checks of one project; the tree's own tasks are its too where it is the root's only project."""
    known: list[Finding[Command]] = list(named.project.scripts)
    if named.project.path in ("", ".") and len(analysis.projects) == 1:
        known += analysis.tasks
    known = [each for each in known if not _ENDLESS.search(f"{each.value.name} {each.value.text}")]
    found: dict[str, Check] = {}
    for finding in known:
        command = finding.value
        if command.purpose in (Purpose.TEST, Purpose.LINT) and command.runner in RUNNERS:
            start, tools = RUNNERS[command.runner]
            name = f"{named.name}-{dns_label(command.name, otherwise=command.purpose.value)}"
            line = f"{start} {shlex.quote(command.name)}"
            found.setdefault(name, Check(name, line, tools, reason(finding)))
        elif command.purpose in (Purpose.TEST, Purpose.LINT) and command.runner in PLAIN:
            name = f"{named.name}-{dns_label(command.name, otherwise=command.purpose.value)}"
            found.setdefault(name, Check(name, command.text, (), reason(finding)))
    if not found:
        found |= {check.name: check for check in _of_ci(named, analysis)}
    if not found:
        for kind, line in OWN_COMMANDS.get(named.project.ecosystem, ()):
            name = f"{named.name}-{kind}"
            because = f"{named.project.manifest}: what every project of {named.project.ecosystem.value} has"
            found[name] = Check(name, line, (), because)
    return tuple(found.values())


def _of_ci(named: Named, analysis: Analysis) -> Iterator[Check]:
    """The test and lint commands that CI runs, of those programs that the check's environment has."""
    project = named.project
    if project.path not in ("", ".") or sum(each.ecosystem is project.ecosystem for each in analysis.projects) > 1:
        return
    needed = {each.value.name for each in project.dependencies} | {"pytest"}
    seen: set[str] = set()
    for finding in analysis.ci:
        step, line = finding.value, finding.value.text.strip()
        program = line.split(" ")[0]
        known = program in OF_CI.get(project.ecosystem, ()) and "\n" not in line and "$" not in line
        kind = step.purpose.value
        if step.purpose in (Purpose.TEST, Purpose.LINT) and known and line not in seen:
            if project.ecosystem is Ecosystem.PYTHON and program not in needed:
                continue
            name = f"{named.name}-{kind}" if not seen else f"{named.name}-{kind}-{dns_label(program)}-{len(seen)}"
            seen.add(line)
            yield Check(f"{name}-ci", line, (), reason(finding))


def check_binding(check: Check, named: Named) -> Binding:
    """`<name> = checked packages.<project> [ tools ] "<shell text>";`."""
    package = Select(names("packages"), (named.name,))
    tools: Node = ListOf(tuple(names(f"pkgs.{tool}") for tool in check.tools))
    if named.recipe.check_tools is not None:
        tools = Op("++", tools, named.recipe.check_tools) if check.tools else named.recipe.check_tools
    inside = named.recipe.inside
    run = f"cd {shlex.quote('./' + inside)} && {check.run}" if inside else check.run
    return Binding((check.name,), call("checked", package, tools, text(run)), check.because)

"""A project's own test and lint commands → checks of its flake; commands that need the network are not told apart."""

import shlex
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
    "make": ("make", ("gnumake",)),
    "just": ("just", ("just",)),
    "task": ("task", ("go-task",)),
    "taskfile": ("task", ("go-task",)),
}
"""How a runner is told a command's name, and the package of nixpkgs that it is in."""

OWN_COMMANDS: Final = {
    Ecosystem.RUST: (("test", "cargo test --offline"), ("lint", "cargo clippy --offline -- -D warnings")),
    Ecosystem.GO: (("test", "go test ./..."), ("lint", "go vet ./...")),
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
    found: dict[str, Check] = {}
    for finding in known:
        command = finding.value
        if command.purpose in (Purpose.TEST, Purpose.LINT) and command.runner in RUNNERS:
            start, tools = RUNNERS[command.runner]
            name = f"{named.name}-{dns_label(command.name, otherwise=command.purpose.value)}"
            line = f"{start} {shlex.quote(command.name)}"
            found.setdefault(name, Check(name, line, tools, reason(finding)))
    if not found:
        for kind, line in OWN_COMMANDS.get(named.project.ecosystem, ()):
            name = f"{named.name}-{kind}"
            because = f"{named.project.manifest}: what every project of {named.project.ecosystem.value} has"
            found[name] = Check(name, line, (), because)
    return tuple(found.values())


def check_binding(check: Check, named: Named) -> Binding:
    """`<name> = checked packages.<project> [ tools ] "<shell text>";`."""
    package = Select(names("packages"), (named.name,))
    tools: Node = ListOf(tuple(names(f"pkgs.{tool}") for tool in check.tools))
    if named.recipe.check_tools is not None:
        tools = Op("++", tools, named.recipe.check_tools) if check.tools else named.recipe.check_tools
    inside = named.recipe.inside
    run = f"cd {shlex.quote('./' + inside)} && {check.run}" if inside else check.run
    return Binding((check.name,), call("checked", package, tools, text(run)), check.because)

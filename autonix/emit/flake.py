"""Analysis → the syntax tree of `flake.nix`; the cluster is `cluster.py`'s, the file's header `files.py`'s."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from autonix.emit.checks import check_binding, checks_of
from autonix.emit.recipe import interpolated
from autonix.emit.recipes import Named, named_projects
from autonix.emit.words import dns_label, reasons
from autonix.findings import Analysis, Purpose
from autonix.nixast import (
    Apply,
    AttrSet,
    Binding,
    Commented,
    Formal,
    If,
    Inherit,
    Lambda,
    Let,
    Lines,
    ListOf,
    Node,
    Op,
    Path,
    Pattern,
    Select,
    Str,
    Var,
    bind,
    call,
    literal,
    names,
    text,
)

IN_A_CHECKOUT: Final = {
    "deno": "deno task",
    "bun": "bun run",
    "npm": "npm run",
    "yarn": "yarn run",
    "pnpm": "pnpm run",
}
"""How a runner is told a command's name where the sources are."""
SYSTEM: Final = "x86_64-linux"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where the generated flake gets what it is made of, as flake references.

    `procurator` is the project's `nix/` directory (`lib/` and `modules/` are below it); its place differs from machine
    to machine, and whoever uses the flake fills it in, as the reference cluster's does.
    """

    nixpkgs: str = "github:NixOS/nixpkgs/nixos-26.05"
    procurator: str = "path:/var/lib/procurator/nix"


def flake_tree(analysis: Analysis, inputs: Inputs) -> Node:
    """The whole of `flake.nix`."""
    projects = named_projects(analysis)
    described = next((each.project.description for each in projects if each.project.description), None)
    description = described.value if described else f"{analysis.root_name}, as autonix found it"
    pattern = Pattern((Formal("self"), Formal("nixpkgs"), Formal("procurator")))
    return AttrSet(
        (
            bind("description", text(description), comment=reasons((described,)) if described else ""),
            bind("inputs.nixpkgs.url", text(inputs.nixpkgs)),
            procurator_input(inputs),
            bind("outputs", Lambda(pattern, Let(_definitions(projects), _outputs(projects, analysis)))),
        )
    )


def _definitions(projects: tuple[Named, ...]) -> tuple[Binding | Inherit, ...]:
    arguments = ("nixpkgs", "procurator", "system", "packages", "runtimes")
    return (*shared_definitions(), *project_definitions(projects), *mkcluster(arguments))


def _present() -> Binding:
    """`present`: names of a package set → those packages that this nixpkgs has, the others named on stderr."""
    missing = interpolated("autonix: this nixpkgs has no package ", Var("name"), ", which is left out")
    pick = Lambda(
        "name",
        If(
            call("builtins.hasAttr", Var("name"), Var("scope")),
            ListOf((Select(Var("scope"), (Var("name"),)),)),
            call("builtins.trace", missing, ListOf(())),
        ),
    )
    return bind(
        "present",
        Lambda("scope", call("lib.concatMap", pick)),
        comment="The packages of these names; one that this nixpkgs lacks is named on stderr and left out.",
    )


def _checked() -> Binding:
    """`checked`: a package's own sources and dependencies, with a command in the place of its build."""
    inputs = Op("++", Select(Var("old"), ("nativeBuildInputs",), ListOf(())), Var("tools"))
    overrides = AttrSet(
        (
            bind("nativeBuildInputs", inputs),
            bind("dontBuild", Var("false")),
            bind("buildPhase", Var("command")),
            bind("installPhase", text("touch $out")),
            bind("outputs", literal(["out"])),
            bind("doCheck", Var("false")),
            bind("doInstallCheck", Var("false")),
            bind("dontFixup", Var("true")),
        )
    )
    body = Apply(names("package.overrideAttrs"), (Lambda("old", overrides),))
    function = Lambda("package", Lambda("tools", Lambda("command", body)))
    return bind(
        "checked", function, comment="A package's sources and dependencies, and a command instead of its build."
    )


def _package(named: Named) -> Binding:
    assert named.recipe.package is not None  # noqa: S101 - the caller looked
    return Binding((named.name,), named.recipe.package, named.recipe.because)


def _runtimes(projects: tuple[Named, ...]) -> Binding:
    entries = tuple(
        Binding((each.name,), ListOf(each.recipe.run_tools))
        for each in projects
        if each.recipe.package is not None and each.recipe.run_tools
    )
    return bind("runtimes", AttrSet(entries), comment="What start commands find in PATH besides their own package.")


def shared_definitions() -> tuple[Binding | Inherit, ...]:
    """What every flake defines before its packages."""
    return (
        bind("system", text(SYSTEM)),
        bind("pkgs", Select(Var("nixpkgs"), ("legacyPackages", Var("system")))),
        Inherit(("lib",), Var("pkgs")),
        _present(),
        _checked(),
    )


def project_definitions(projects: tuple[Named, ...]) -> tuple[Binding, Binding]:
    """`packages` and `runtimes` of one repository."""
    built = tuple(_package(each) for each in projects if each.recipe.package is not None)
    return (bind("packages", AttrSet(built)), _runtimes(projects))


def project_outputs(projects: tuple[Named, ...], analysis: Analysis) -> tuple[Binding, Binding, Binding, Binding]:
    """`packages`, `apps`, `checks` and `devShells` of one repository; they speak of `packages` above."""
    return (
        bind("packages", _with_default(projects)),
        bind("apps", AttrSet(_apps(projects))),
        bind("checks", AttrSet(_checks(projects, analysis))),
        bind("devShells", AttrSet(_shells(projects))),
    )


def mkcluster(arguments: tuple[str, ...]) -> tuple[Binding, Binding]:
    """`library` and `cluster`, of the cluster.nix that takes `arguments`."""
    library = call("import", interpolated(Var("procurator"), "/lib"), AttrSet((Inherit(("system",)),)))
    cluster = call("import", Path("cluster.nix"), AttrSet((Inherit(arguments),)))
    return (bind("library", library), bind("cluster", call("library.mkCluster", cluster)))


def procurator_input(inputs: Inputs) -> Binding:
    """The input that `library` comes from."""
    value = AttrSet((bind("url", text(inputs.procurator)), bind("flake", Var("false"))))
    return bind("inputs.procurator", value, comment="Procurator's nix/ directory: lib/ and modules/ are in it.")


def _outputs(projects: tuple[Named, ...], analysis: Analysis) -> Node:
    return AttrSet(
        (
            *(Binding((*each.path, Var("system")), each.value) for each in project_outputs(projects, analysis)),
            Inherit(("blueprint", "blueprintJSON", "nixosConfigurations"), Var("cluster")),
        )
    )


def _with_default(projects: tuple[Named, ...]) -> Node:
    built = [each for each in projects if each.recipe.package is not None]
    root = [each for each in built if each.project.path in ("", ".")] or built
    if len(root) != 1:
        return Var("packages")
    return Op("//", Var("packages"), AttrSet((bind("default", Select(Var("packages"), (root[0].name,))),)))


def _apps(projects: tuple[Named, ...]) -> tuple[Binding, ...]:
    found: dict[str, Binding] = {}
    for named in projects:
        if named.recipe.package is None:
            for name, binding in _commands(named):
                found.setdefault(name, binding)
            continue
        for entry in named.project.entry_points:
            if entry.value.name not in named.recipe.programs or "/" in entry.value.name:
                continue
            program = Str((Select(Var("packages"), (named.name,)), f"/bin/{entry.value.name}"))
            app = AttrSet((bind("type", text("app")), bind("program", program)))
            found.setdefault(entry.value.name, Binding((entry.value.name,), app, reasons((entry,))))
    return tuple(found.values())


def _commands(named: Named) -> Iterator[tuple[str, Binding]]:
    """Of a project that is no package: what starts it, run in a checkout of it with the tools of its shell."""
    project = named.project
    if project.manager is not None and project.manager.value == "sbt" and project.workspace is None:
        for entry in project.entry_points[:1]:
            yield _in_a_checkout(named, f"{named.name}-run", "sbt run", reasons((entry,)))
    for finding in project.scripts:
        command = finding.value
        if command.purpose in (Purpose.START, Purpose.DEVELOP) and command.runner in IN_A_CHECKOUT:
            name = f"{named.name}-{dns_label(command.name, otherwise=command.purpose.value)}"
            line = f"{IN_A_CHECKOUT[command.runner]} {shlex.quote(command.name)}"
            yield _in_a_checkout(named, name, line, reasons((finding,)))


def _in_a_checkout(named: Named, name: str, line: str, because: str) -> tuple[str, Binding]:
    there = "" if named.project.path in ("", ".") else f"cd {shlex.quote('./' + named.project.path)}\n"
    script = AttrSet(
        (
            bind("name", text(name)),
            bind("runtimeInputs", ListOf(named.recipe.tools)),
            bind("text", Lines((f"{there}exec {line}\n",))),
        )
    )
    program = interpolated(Var("script"), f"/bin/{name}")
    app = Let(
        (bind("script", call("pkgs.writeShellApplication", script)),),
        AttrSet((bind("type", text("app")), bind("program", program))),
    )
    return name, Binding((name,), app, f"{because}: to be run in a checkout, as there is no package")


def _checks(projects: tuple[Named, ...], analysis: Analysis) -> tuple[Binding, ...]:
    found: list[Binding] = []
    for named in projects:
        if named.recipe.package is None:
            continue
        built = Binding((named.name,), Select(Var("packages"), (named.name,)), "It builds.")
        found += [built, *(check_binding(check, named) for check in checks_of(named, analysis))]
    return tuple(found)


def _shells(projects: tuple[Named, ...]) -> tuple[Binding, ...]:
    shells = []
    for named in projects:
        if not named.recipe.tools:
            continue
        comment = f"{named.project.manifest}: {named.project.ecosystem.value}"
        if named.recipe.refusal:
            comment += f". There is no package: {named.recipe.refusal}"
        shells.append(Binding((named.name,), _shell(named.recipe.tools), comment))
    if shells:
        merged = tuple(dict.fromkeys(tool for named in projects for tool in named.recipe.tools))
        shells.append(bind("default", _shell(merged), comment="All of the above."))
    return tuple(shells)


def _shell(tools: tuple[Node | Commented, ...]) -> Node:
    return call("pkgs.mkShell", AttrSet((bind("packages", ListOf(tools)),)))

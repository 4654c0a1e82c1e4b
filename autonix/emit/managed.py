"""Ecosystems whose builders need little: Mix, Zig; and what to say of those that need more."""

import shlex
from typing import Final

from autonix.emit.recipe import Recipe, Tree, because, fake_hash, identity, meta, source, tools
from autonix.emit.toolchain import chosen
from autonix.explain import reason
from autonix.findings import Ecosystem, Project
from autonix.nixast import (
    Apply,
    AttrSet,
    Binding,
    Commented,
    Inherit,
    Lambda,
    Let,
    Lines,
    ListOf,
    Node,
    Select,
    Var,
    bind,
    call,
    names,
)

SHELLS: Final = {
    Ecosystem.ELIXIR: ("elixir", ()),
    Ecosystem.ZIG: ("zig", ()),
}
"""The tool whose version is chosen, and what stands beside it in the shell."""

REFUSALS: Final = {
    Ecosystem.NIX: "it is Nix already",
}
"""Why there is no package, and what would make one possible."""


def managed_recipe(project: Project, tree: Tree) -> Recipe:
    """The recipe of a project in an ecosystem of `SHELLS`, or of Nix."""
    shell = _shell(project)
    refusal = REFUSALS.get(project.ecosystem)
    if project.ecosystem is Ecosystem.ELIXIR and project.members:
        refusal = "an umbrella is no application: each of its applications that starts is a release of its own"
    elif project.ecosystem is Ecosystem.ELIXIR and project.workspace is not None and not project.entry_points:
        refusal = f"a library of the umbrella in {project.workspace}, built with the applications that need it"
    if refusal is not None:
        return Recipe(None, "", shell, refusal=refusal)
    root = project.workspace if project.ecosystem is Ecosystem.ELIXIR and project.workspace else project.path
    common = (*identity(project, root_name=tree.analysis.root_name), bind("src", source(root)))
    described = meta(project, program=None)
    match project.ecosystem:
        case Ecosystem.ELIXIR:
            package: Node = call("pkgs.beamPackages.mixRelease", _mix(common, (*_member(project, root), *described)))
        case _:
            package = _zig(project, (*common, *described))
    programs = tuple(each.value.name for each in project.entry_points)
    arguments = ("start",) if project.ecosystem is Ecosystem.ELIXIR else ()
    return Recipe(package, because(project, "nixpkgs' builder for it"), shell, programs=programs, arguments=arguments)


def _zig(project: Project, common: tuple[Binding, ...]) -> Node:
    """The hook comes with the compiler that is asked for; what is downloaded is one derivation of its own."""
    zig = chosen(project, "zig")
    hook = bind("nativeBuildInputs", ListOf((Select(Var("zig"), ("hook",), Var("zig")),)))
    fetched = AttrSet(
        (Inherit(("pname", "version", "src"), Var("final")), fake_hash("hash", "what build.zig.zon names"))
    )
    linked = Lines(("ln -s ", Select(Var("final"), ("zigDeps",)), ' "$ZIG_GLOBAL_CACHE_DIR/p"\n'))
    deps = (bind("zigDeps", call("zig.fetchDeps", fetched)), bind("postConfigure", linked))
    body = AttrSet((*common, hook, *(deps if project.dependencies else ())))
    why = reason(zig.because) if zig.because else "nothing asks for a version, so nixpkgs' default"
    return Let(
        (bind("zig", zig.node, comment=why),), Apply(names("pkgs.stdenv.mkDerivation"), (Lambda("final", body),))
    )


def _member(project: Project, root: str) -> tuple[Binding, ...]:
    """Of an umbrella's application: the whole is compiled, and its own directory is where Mix makes its release."""
    if root == project.path:
        return ()
    inside = project.path if root in ("", ".") else project.path.removeprefix(root).strip("/")
    return (bind("preInstall", Lines((f"cd {shlex.quote('./' + inside)}\n",)), comment="One release an application."),)


def _mix(common: tuple[Binding, ...], described: tuple[Binding, ...]) -> Node:
    inherited = Inherit(("pname", "version", "src"), names("final"))
    fetched = call("pkgs.beamPackages.fetchMixDeps", AttrSet((inherited, fake_hash("hash", "what mix.lock names"))))
    # mixRelease takes a set only, so the set is built around itself.
    body = AttrSet((*common, bind("mixFodDeps", fetched), *described))
    return call("lib.fix", Lambda("final", body))


def _shell(project: Project) -> tuple[Node | Commented, ...]:
    tool, beside = SHELLS.get(project.ecosystem, ("", ("nixfmt",)))
    if not tool:
        return tools(*beside)
    picked = chosen(project, tool)
    why = reason(picked.because) if picked.because else "nothing asks for a version, so nixpkgs' default"
    return (Commented(why, picked.node), *tools(*beside))

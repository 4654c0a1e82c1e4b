"""Ruby projects → bundlerEnv beside the sources, or buildRubyGem for a gem; no other ecosystem.

What Gemfile.lock names has its hashes in a gemset.nix that `bundix` makes. Until it is there an empty one stands in its
place, so that the flake evaluates.
"""

from typing import Final

from autonix.emit.recipe import Recipe, Tree, because, identity, meta, short_name, source, tools
from autonix.emit.toolchain import Chosen, chosen
from autonix.emit.words import below, reasons, store_name
from autonix.explain import reason
from autonix.findings import Group, Project
from autonix.nixast import (
    AttrSet,
    Binding,
    Commented,
    If,
    Let,
    Lines,
    ListOf,
    Node,
    Path,
    Var,
    bind,
    call,
    literal,
    text,
)

GEMSET: Final = "gemset.nix"
GROUPS: Final = ("default", "production")
"""Of Bundler: what an application needs where it runs."""


def ruby_recipe(project: Project, tree: Tree) -> Recipe:
    """The recipe of an application with a lock, or of a gem."""
    ruby = chosen(project, "ruby")
    why = reason(ruby.because) if ruby.because else "nothing asks for a version, so nixpkgs' default"
    shell: tuple[Node | Commented, ...] = (Commented(why, ruby.node), *tools("bundler", "bundix"))
    if project.name is not None:
        return Recipe(_gem(project, ruby, why), because(project, "buildRubyGem"), shell)
    if project.lock is None:
        return Recipe(None, "", shell, refusal="it has no Gemfile.lock, so nothing says what to download")
    name = store_name(short_name(project, root_name=tree.analysis.root_name))
    place = Path(below(project.path, GEMSET))
    gems = AttrSet(
        (
            bind("name", text(f"{name}-gems")),
            bind("ruby", ruby.node, comment=why),
            bind("gemdir", source(project.path), comment=reason(project.lock)),
            bind(
                "gemset",
                If(call("builtins.pathExists", place), place, AttrSet(())),
                comment=f"The gems' hashes: `bundix` makes {GEMSET} from Gemfile.lock.",
            ),
            bind("groups", literal(list(GROUPS))),
        )
    )
    before, after = "runHook preInstall\nmkdir -p $out/bin\ncp -r . $out/src\n", "runHook postInstall\n"
    arguments = (
        *identity(project, root_name=tree.analysis.root_name),
        bind("src", source(project.path)),
        bind("nativeBuildInputs", ListOf((Var("gems"),))),
        bind("dontBuild", Var("true")),
        bind("installPhase", Lines((f"{before}ln -s ", Var("gems"), f"/bin/* $out/bin/\n{after}"))),
    )
    package = Let((bind("gems", call("pkgs.bundlerEnv", gems)),), call("pkgs.stdenv.mkDerivation", AttrSet(arguments)))
    return Recipe(package, because(project, "bundlerEnv beside the sources"), shell, home="src")


def _gem(project: Project, ruby: Chosen, why: str) -> Node:
    assert project.name is not None  # noqa: S101 - the caller looked
    runtime = [each for each in project.dependencies if each.value.group is Group.RUNTIME]
    needed = f"{reasons(runtime)}: whoever uses the gem brings them" if runtime else ""
    version = project.version
    named: tuple[Binding, ...] = (
        bind("gemName", text(store_name(project.name.value)), comment=reason(project.name)),
        bind(
            "version",
            text(store_name(version.value, otherwise="0") if version else "0"),
            comment=reason(version) if version else f"{project.name.file}: no literal says it",
        ),
    )
    arguments = (
        *named,
        bind("ruby", ruby.node, comment=why),
        bind("src", source(project.path), comment=needed),
        bind("dontBuild", Var("false"), comment="It is made from its gemspec."),
        *meta(project, program=None),
    )
    return call("pkgs.buildRubyGem", AttrSet(arguments))

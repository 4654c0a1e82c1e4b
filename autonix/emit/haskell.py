"""Haskell packages → haskellPackages.mkDerivation, as cabal2nix would write it; no other ecosystem.

callCabal2nix does the same while nix evaluates, for which it has to build; this does not.
"""

from collections.abc import Sequence

from autonix.emit.recipe import Recipe, Tree, because, identity, source, tools
from autonix.emit.words import dns_label, reasons
from autonix.explain import reason
from autonix.findings import Dependency, Ecosystem, Finding, Group, Project
from autonix.nixast import AttrSet, Binding, Commented, ListOf, Node, Op, Select, Var, bind, call, literal, names, text

HPACK = "package.yaml"


def haskell_recipe(project: Project, tree: Tree) -> Recipe:
    """The recipe of one package; other packages of the tree are taken from it."""
    if project.name is None:
        return Recipe(None, "", tools("ghc", "cabal-install"), refusal="it only holds other packages")
    siblings = {
        each.name.value
        for each in tree.analysis.projects
        if each.ecosystem is Ecosystem.HASKELL and each.name is not None and each.path != project.path
    }
    runtime = [each for each in project.dependencies if each.value.group is Group.RUNTIME]
    testing = [each for each in project.dependencies if each.value.group is Group.DEVELOPMENT]
    programs = tuple(each.value.name for each in project.entry_points)
    is_hpack = project.manifest.rpartition("/")[2] == HPACK
    hpack = (
        bind("libraryToolDepends", ListOf(tools("hpack")), comment=f"{project.manifest}: hpack makes the .cabal file"),
        bind("prePatch", text("hpack")),
    )
    arguments = (
        *identity(project, root_name=tree.analysis.root_name),
        bind("src", source(project.path)),
        bind("isExecutable", Var("true" if programs else "false")),
        bind("isLibrary", Var("true"), comment="a package without a library is none the worse for it"),
        *((_depends("libraryHaskellDepends", runtime, siblings),) if runtime else ()),
        *((_depends("testHaskellDepends", testing, siblings),) if testing else ()),
        bind("doHaddock", Var("false")),
        bind("license", Var("null"), comment=reason(project.license) if project.license else "nothing names one"),
        *(hpack if is_hpack else ()),
        *((bind("description", text(project.description.value)),) if project.description else ()),
        *((bind("mainProgram", text(programs[0])),) if len(programs) == 1 else ()),
    )
    manager = project.manager.value if project.manager else ""
    shell: tuple[Node | Commented, ...] = (*tools("ghc", "cabal-install"), *tools(*(["stack"] * (manager == "stack"))))
    return Recipe(
        package=call("pkgs.haskellPackages.mkDerivation", AttrSet(arguments)),
        because=because(project, "haskellPackages.mkDerivation; its tests run where it is built"),
        tools=shell,
        programs=programs,
    )


def _depends(argument: str, wanted: Sequence[Finding[Dependency]], siblings: set[str]) -> Binding:
    plain = [each.value.name for each in wanted if each.value.name not in siblings]
    ours = sorted({each.value.name for each in wanted} & siblings)
    value: Node = call("present", names("pkgs.haskellPackages"), literal(plain))
    if ours:
        own = tuple(Select(Var("packages"), (dns_label(name),), Var("null")) for name in ours)
        value = Op("++", value, ListOf(own))
    return bind(argument, value, comment=reasons(wanted))

"""Python projects → buildPythonApplication, or an environment where there is nothing to build; no other ecosystem."""

from autonix.emit.recipe import Recipe, Tree, because, identity, meta, source
from autonix.emit.toolchain import chosen
from autonix.emit.words import python_name, reasons, requirement_name
from autonix.explain import reason
from autonix.findings import Dependency, Finding, Group, Project
from autonix.nixast import (
    Apply,
    AttrSet,
    Binding,
    Commented,
    Lambda,
    Let,
    Lines,
    ListOf,
    Node,
    Select,
    Var,
    bind,
    call,
    literal,
    names,
)

BUILDABLE = ("pyproject.toml", "setup.py", "setup.cfg")
SHELL_TOOLS = {name: name for name in ("uv", "poetry", "pdm", "pipenv", "hatch", "pixi", "conda")}
"""Package managers by their names in nixpkgs."""


def python_recipe(project: Project, tree: Tree) -> Recipe:
    """The recipe of a project in Python."""
    python = chosen(project, "python")
    why = reason(python.because) if python.because else "nothing asks for a version, so nixpkgs' default"
    interpreter = bind("python", python.node, comment=why)
    runtime = [each for each in project.dependencies if each.value.group is Group.RUNTIME]
    checking = [each for each in project.dependencies if each.value.group is not Group.RUNTIME]
    shell: tuple[Node | Commented, ...] = (
        Commented(why, python.node),
        *((_manager(project),) if project.manager and project.manager.value in SHELL_TOOLS else ()),
    )
    wanted = [python_name(each.value.name) for each in checking]
    if project.manifest.rpartition("/")[2] not in BUILDABLE:
        return _environment(project, interpreter, runtime, shell, root_name=tree.analysis.root_name)
    if project.members and not project.build_system:
        return Recipe(None, "", shell, refusal="it is a workspace's root, and nothing tells how to build it itself")
    programs = tuple(each.value.name for each in project.entry_points)
    arguments: tuple[Binding, ...] = (
        *identity(project, root_name=tree.analysis.root_name),
        bind("pyproject", Var("true")),
        bind("src", source(project.path)),
        _build_system(project),
        *((_dependencies(runtime),) if runtime else ()),
        bind("pythonRelaxDeps", Var("true"), comment="nixpkgs has one version of each package, so bounds are not held"),
        *meta(project, program=programs[0] if len(programs) == 1 else None),
    )
    package = Let((interpreter,), call("python.pkgs.buildPythonApplication", AttrSet(arguments)))
    return Recipe(
        package=package,
        because=because(project, "buildPythonApplication"),
        tools=shell,
        programs=programs,
        check_tools=_present(python.node, sorted({*wanted, "pytest"})),
        run_tools=(_with_package(python.node, tree.name),),
    )


def _environment(
    project: Project,
    interpreter: Binding,
    runtime: list[Finding[Dependency]],
    shell: tuple[Node | Commented, ...],
    *,
    root_name: str,
) -> Recipe:
    """No build: the dependencies beside the sources, as pip would have it."""
    environment = bind("environment", _environment_node(Var("python"), runtime), comment=reasons(runtime))
    before, after = "runHook preInstall\nmkdir -p $out/bin\ncp -r . $out/src\n", "runHook postInstall\n"
    install = Lines((f"{before}ln -s ", Var("environment"), f"/bin/* $out/bin/\n{after}"))
    arguments = (
        *identity(project, root_name=root_name),
        bind("src", source(project.path)),
        bind("nativeBuildInputs", ListOf((Var("environment"),))),
        bind("dontBuild", Var("true")),
        bind("installPhase", install),
    )
    package = Let((interpreter, environment), call("pkgs.stdenv.mkDerivation", AttrSet(arguments)))
    return Recipe(
        package=package,
        because=because(project, "python.withPackages beside the sources, as nothing tells how to build it"),
        tools=shell,
        home="src",
    )


def _environment_node(python: Node, runtime: list[Finding[Dependency]]) -> Node:
    wanted = [python_name(each.value.name) for each in runtime]
    function = Lambda("ps", call("present", Var("ps"), literal(wanted)))
    return Apply(Select(python, ("withPackages",)), (function,))


def _with_package(python: Node, name: str) -> Node:
    """An interpreter that finds the package and what it depends on: servers such as gunicorn import it."""
    module = call("ps.toPythonModule", Select(Var("packages"), (name,)))
    return Apply(Select(python, ("withPackages",)), (Lambda("ps", ListOf((module,))),))


def _present(python: Node, wanted: list[str]) -> Node:
    return call("present", Select(python, ("pkgs",)), literal(wanted))


def _manager(project: Project) -> Commented:
    assert project.manager is not None  # noqa: S101 - the caller looked
    return Commented(reason(project.manager), names(f"pkgs.{SHELL_TOOLS[project.manager.value]}"))


def _build_system(project: Project) -> Binding:
    wanted = [name for name in (requirement_name(each.value) for each in project.build_system) if name]
    why = reasons(project.build_system) or "nothing names one, and pip's default is setuptools"
    return bind("build-system", call("present", names("python.pkgs"), literal(wanted or ["setuptools"])), comment=why)


def _dependencies(runtime: list[Finding[Dependency]]) -> Binding:
    wanted = [python_name(each.value.name) for each in runtime]
    return bind("dependencies", call("present", names("python.pkgs"), literal(wanted)), comment=reasons(runtime))

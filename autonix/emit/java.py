"""Maven and Gradle projects → nixpkgs' builders for them; sbt has none there. No other ecosystem."""

import shlex

from autonix.emit.recipe import Recipe, Tree, because, fake_hash, identity, meta, source, tools
from autonix.emit.toolchain import Chosen, chosen
from autonix.emit.words import below, store_name
from autonix.explain import reason
from autonix.findings import Project
from autonix.nixast import (
    Apply,
    AttrSet,
    Binding,
    Commented,
    If,
    Lambda,
    Lines,
    ListOf,
    Node,
    Path,
    Select,
    Var,
    bind,
    call,
    names,
    text,
)

SERVERS = ("spring-boot", "quarkus", "micronaut")
"""Frameworks whose build makes one jar that starts the server."""
DEPENDENCIES = "deps.json"
_JARS = "find . -path {place} ! -name '*-sources.jar' ! -name '*-javadoc.jar' ! -name '*-plain.jar'"


def java_recipe(project: Project, tree: Tree) -> Recipe:
    """The recipe of a build; a module is built with the whole that it belongs to."""
    java = chosen(project, "java")
    why = reason(java.because) if java.because else "nothing asks for a version, so nixpkgs' default"
    manager = project.manager.value if project.manager else "maven"
    shell: tuple[Node | Commented, ...] = (Commented(why, java.node), *tools(manager))
    if manager == "sbt":
        return Recipe(
            None, "", shell, refusal="nixpkgs has no builder for sbt, and sbt keeps no lock of what it downloads"
        )
    root = _outermost(project, tree)
    program = _program(project)
    if root != project.path and program is None:
        return Recipe(None, "", shell, refusal=f"the build in {root} makes it together with the rest")
    if project.members and project.name is None:
        return Recipe(None, "", shell, refusal="nothing tells what it is called")
    inside = project.path if root in ("", ".") else project.path.removeprefix(root).strip("/")
    inside = "" if root == project.path else inside
    common = (*identity(project, root_name=tree.analysis.root_name), bind("src", source(root)))
    described = meta(project, program=program)
    jdk = bind("nativeBuildInputs", ListOf((*tools("makeWrapper", *(["gradle"] * (manager == "gradle"))), java.node)))
    if manager == "gradle":
        package = _gradle(project, tree, (*common, jdk), described, java, root=root, inside=inside)
    else:
        arguments = (
            *common,
            jdk,
            bind("mvnJdk", java.node, comment=why),
            fake_hash("mvnHash", "what pom.xml names"),
            bind("mvnParameters", text(_maven_words(inside)), comment="Tests are checks of their own."),
            _installed(below(inside, "target"), program, java),
            *described,
        )
        package = call("pkgs.maven.buildMavenPackage", AttrSet(arguments))
    return Recipe(
        package=package,
        because=because(project, "nixpkgs' builder for it"),
        tools=shell,
        programs=(program,) if program else (),
        server=project.frameworks[0] if program else None,
    )


def _outermost(project: Project, tree: Tree) -> str:
    """The directory of the build that a module is built with: its parents' files are there."""
    owners = {each.path: each.workspace for each in tree.analysis.projects if each.ecosystem is project.ecosystem}
    root, seen = project.path, {project.path}
    while (outer := owners.get(root)) is not None and outer not in seen:
        root = outer
        seen.add(outer)
    return root


def _maven_words(inside: str) -> str:
    """Of a module: it and what it needs of the others."""
    return f"-DskipTests -pl {shlex.quote(inside)} -am" if inside else "-DskipTests"


def _program(project: Project) -> str | None:
    """The start script that we make, where its framework's build makes a jar that is the server."""
    if project.name is None or not any(each.value in SERVERS for each in project.frameworks):
        return None
    return store_name(project.name.value)


def _gradle(
    project: Project,
    tree: Tree,
    common: tuple[Binding, ...],
    described: tuple[Binding, ...],
    java: Chosen,
    *,
    root: str,
    inside: str,
) -> Node:
    place = Path(below(root, DEPENDENCIES))
    task = f":{inside.replace('/', ':')}:assemble" if inside else "assemble"
    empty = AttrSet(())
    fetched = AttrSet(
        (
            bind("pkg", Select(Var("final"), ("finalPackage",))),
            bind("data", If(call("builtins.pathExists", place), place, empty)),
        )
    )
    arguments = (
        *common,
        bind(
            "mitmCache",
            call("pkgs.gradle.fetchDeps", fetched),
            comment=f"What Gradle downloads: `nix build .#{tree.name}.mitmCache.updateScript`, once a {DEPENDENCIES} "
            "with `{}` is there.",
        ),
        bind("gradleBuildTask", text(task)),
        _installed(below(inside, "build/libs"), _program(project), java),
        *described,
    )
    return Apply(names("pkgs.stdenv.mkDerivation"), (Lambda("final", AttrSet(arguments)),))


def _installed(place: str, program: str | None, java: Chosen) -> Binding:
    """The jars, and for a server a script that starts it."""
    jars = f"{_JARS.format(place=shlex.quote('*/' + place + '/*.jar'))} -exec cp -t $out/share/java {{}} +"
    copied = f"runHook preInstall\nmkdir -p $out/share/java\n{jars}\n"
    if program is None:
        return bind("installPhase", Lines((f"{copied}runHook postInstall\n",)))
    start = f'/bin/java $out/bin/{program} --add-flags "-jar $(ls $out/share/java/*.jar | head -n 1)"\n'
    return bind("installPhase", Lines((f"{copied}makeWrapper ", java.node, f"{start}runHook postInstall\n")))

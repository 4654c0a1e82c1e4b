"""What one project becomes in a flake, before it is text: package, tools, programs; the ecosystems' modules make it."""

import re
from dataclasses import dataclass

from autonix.emit.words import below, store_name
from autonix.explain import reason
from autonix.findings import Analysis, Ecosystem, Finding, Lock, Project
from autonix.nixast import AttrSet, Binding, Commented, Node, Path, Str, bind, names, text


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a project is built and worked on.

    `package` is None where it cannot be built from what the tree holds, and `refusal` then says why. `because` is the
    comment above the package. `tools` are for its shell and its checks. `programs` are names below the package's
    `bin/`. `home` is where its start commands run, relative to the package, and
    `run_tools` what they find in PATH besides it. `check_tools` is a list of packages that only checks need, and
    `inside` where in the package's sources they run: a workspace's member is built from the whole workspace. `server`
    is the fact by which the package's only program starts a server, where no entry point says so; `arguments` are what
    its programs must be given to start. `served` is the framework by which nginx answers with what is in `home`.
    """

    package: Node | None
    because: str
    tools: tuple[Node | Commented, ...]
    refusal: str = ""
    programs: tuple[str, ...] = ()
    home: str = ""
    inside: str = ""
    check_tools: Node | None = None
    run_tools: tuple[Node, ...] = ()
    server: Finding[str] | None = None
    arguments: tuple[str, ...] = ()
    served: Finding[str] | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """An analysis, and the attribute in `packages` of the project that a recipe is asked for."""

    analysis: Analysis
    name: str

    def lock_of(self, project: Project) -> "Locked | None":
        """The lock file that covers a project: its own, or that of the workspace it is a member of."""
        lock = project.lock
        if lock is None and project.workspace is not None:
            roots = (
                each.lock
                for each in self.analysis.projects
                if each.ecosystem is project.ecosystem and each.path == project.workspace
            )
            lock = next(roots, None)
        if lock is None:
            return None
        directory = lock.file.rpartition("/")[0] or "."
        inside = project.path if directory == "." else project.path.removeprefix(directory).strip("/")
        return Locked(lock, directory, "" if inside in ("", ".") else inside)


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock file, its directory (what is built is all of it), and where in that the project is: "" is at its top."""

    lock: Finding[Lock]
    directory: str
    inside: str


def source(directory: str) -> Path:
    """The directory as a path of the flake."""
    return Path("" if directory in ("", ".") else directory)


def name_of(project: Project) -> str:
    """The project's own name, else its directory's."""
    if project.name is not None:
        return project.name.value
    return project.path.rpartition("/")[2]


def short_name(project: Project, *, root_name: str) -> str:
    """What people call the project: a Go module by its last word (`…/tracker/v2` is tracker), others as they say."""
    if project.name is None:
        return root_name if project.path in ("", ".") else project.path.rpartition("/")[2]
    if project.ecosystem is Ecosystem.GO:
        return re.sub(r"/v[0-9]+$", "", project.name.value).rpartition("/")[2]
    return project.name.value


def identity(project: Project, *, root_name: str) -> tuple[Binding, Binding]:
    """`pname` and `version`, with where they come from."""
    name = short_name(project, root_name=root_name)
    named = reason(project.name) if project.name else f"{project.manifest}: it names none, so its directory does"
    version = project.version.value if project.version else "0"
    versioned = reason(project.version) if project.version else f"{project.manifest}: it names none"
    return (
        bind("pname", text(store_name(name)), comment=named),
        bind("version", text(store_name(version, otherwise="0")), comment=versioned),
    )


def meta(project: Project, *, program: str | None) -> tuple[Binding, ...]:
    """`meta`, as far as the manifest tells."""
    entries: list[Binding] = []
    if project.description is not None:
        entries.append(bind("description", text(project.description.value), comment=reason(project.description)))
    if program is not None:
        entries.append(bind("mainProgram", text(program)))
    return (bind("meta", AttrSet(tuple(entries))),) if entries else ()


def tools(*wanted: str) -> tuple[Node, ...]:
    """Packages of nixpkgs by names that stand in our own source."""
    return tuple(names(f"pkgs.{name}") for name in wanted)


def fake_hash(argument: str, what: str) -> Binding:
    """A hash that only a download could tell: nix's first build prints the right one."""
    return bind(argument, names("lib.fakeHash"), comment=f"{what}: the first build prints the hash to write here")


def because(project: Project, builder: str) -> str:
    """Why a project is built as it is."""
    where = below(project.path, project.manifest.rpartition("/")[2])
    manager = f"\n{project.manager.value}: {reason(project.manager)}" if project.manager else ""
    return f"{where}: a project of {project.ecosystem.value}, so {builder}{manager}"


def interpolated(*parts: "str | Node") -> Str:
    """A string of pieces and expressions."""
    return Str(tuple(parts))

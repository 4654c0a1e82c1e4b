"""Paths and texts in, their analysis out: the order in which the rules work together; it reads and emits nothing."""

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase, translate

from autonix import environment, tasks
from autonix.ci import gitlab, systems
from autonix.containers import dockerfiles, layers
from autonix.containers.assembly import assemble
from autonix.ecosystems.c.projects import c_projects
from autonix.ecosystems.dotnet.projects import dotnet_projects
from autonix.ecosystems.elixir import elixir_projects
from autonix.ecosystems.go.projects import go_projects
from autonix.ecosystems.haskell import haskell_projects
from autonix.ecosystems.java.projects import java_projects
from autonix.ecosystems.javascript.projects import javascript_projects
from autonix.ecosystems.php import php_projects
from autonix.ecosystems.python.projects import python_projects
from autonix.ecosystems.ruby import ruby_projects
from autonix.ecosystems.rust.projects import rust_projects
from autonix.ecosystems.zig import zig_projects
from autonix.findings import Analysis, Project, Skipped
from autonix.flakes import flakes
from autonix.links import with_containers, with_frameworks
from autonix.reader import Reader
from autonix.schemas import driver_evidence, schema_evidence
from autonix.services import services
from autonix.spring import FILES as SPRING_FILES
from autonix.spring import spring_evidence, with_settings
from autonix.toolchains import MISE, with_pinned_tools

ECOSYSTEMS: tuple[Callable[[Reader], tuple[Project, ...]], ...] = (
    python_projects,
    javascript_projects,
    rust_projects,
    go_projects,
    java_projects,
    ruby_projects,
    php_projects,
    elixir_projects,
    dotnet_projects,
    haskell_projects,
    zig_projects,
)
"""Each finds all projects of one ecosystem; C's come after them, as a Makefile is often another one's."""

ASIDE = frozenset(
    (
        *("node_modules", "bower_components", "vendor", "third_party", "third-party", "site-packages", "Pods"),
        *(".venv", "venv", ".tox", ".nox", "__pycache__", ".direnv", ".git", ".terraform", "_build", "deps"),
        *("testdata", "test-data", "test_data", "fixtures", "__fixtures__", "__snapshots__", "snapshots", "goldens"),
        *("integration-test", "integration-tests", "integration_tests", "_integration-test"),
        *("examples", "example", "samples", "templates", "cookiecutter", "archive", "target", "dist", "_examples"),
    )
)
"""Directories that hold other people's code, output, or code about the application rather than of it."""
ASIDE_AT_ROOT = ("docs/", "doc/")
"""The same, where a deeper directory of the name may well be an application."""

WANTED = (
    *("pyproject.toml", "setup.py", "setup.cfg", "Pipfile", "Pipfile.lock", "requirements*.txt", "*requirements.txt"),
    *("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", ".python-version", "runtime.txt", "manage.py"),
    *(
        "__init__.py",
        "__main__.py",
        "__about__.py",
        "_version.py",
        "version.py",
        "__version__.py",
        "VERSION",
        "version.txt",
    ),
    *("package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock"),
    *("pnpm-workspace.yaml", ".nvmrc", ".node-version", "*.prisma", "database.yml"),
    *("Cargo.toml", "Cargo.lock", "rust-toolchain", "rust-toolchain.toml", "go.mod", "go.work", "main.go"),
    *("pom.xml", "*.gradle", "*.gradle.kts", "libs.versions.toml", "gradle-wrapper.properties", ".java-version"),
    *SPRING_FILES,
    *("build.sbt", "build.properties", "*.sln", "*.slnx", "*.csproj", "*.fsproj", "*.vbproj", "Directory.Build.props"),
    *(
        "Directory.Packages.props",
        "packages.lock.json",
        "global.json",
        "launchSettings.json",
        "*.cabal",
        "package.yaml",
    ),
    *("stack.yaml", "stack.yaml.lock", "cabal.project", "cabal.project.freeze", "build.zig", "build.zig.zon"),
    *("deno.json", "deno.jsonc", "deno.lock", "environment.yml", "environment.yaml", "conda-lock.yml", "pixi.toml"),
    *("pixi.lock", "configure.ac", "configure.in", "Makefile.am", "config.mk"),
    *("Gemfile", "gems.rb", "Gemfile.lock", "*.gemspec", ".ruby-version", "composer.json", "composer.lock"),
    *("CMakeLists.txt", "meson.build", "mix.exs", "mix.lock", "flake.nix", "flake.lock"),
    *(".tool-versions", *(name.rpartition("/")[2] for name in MISE), *systems.PATTERNS),
    *(*tasks.MAKEFILES, *tasks.JUSTFILES, *tasks.TASKFILES, "Procfile"),
    *(*environment.NAMES, *layers.PATTERNS, *dockerfiles.PATTERNS),
)
"""Names of the files that are read, with `*`."""
WANTED_BELOW: Mapping[str, str] = {"requirements": "*.txt", "workflows": "*.y*ml"}
"""Further names by the directory that they lie in."""

_EXACT = frozenset(name for name in WANTED if "*" not in name)
_FIRST = tuple({name.partition("*")[0] for name in WANTED if "*" in name} - {""})
_LAST = tuple({name.rpartition("*")[2] for name in WANTED if name.startswith("*")} - {""})
_PARENTS = tuple(WANTED_BELOW)
_GLOBS = re.compile("|".join(translate(name) for name in WANTED if "*" in name))


def counted(paths: Sequence[str]) -> tuple[str, ...]:
    """The paths that speak for the application, without those in directories that are set aside."""
    return sifted(paths)[0]


def sifted(paths: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The paths that speak for the application, and those of them whose texts are needed."""
    every: list[str] = []
    needed: list[str] = []
    directories: dict[str, bool] = {}
    names: dict[str, bool] = {}
    last: str | None = None
    counts = is_parent = False
    for path in paths:
        directory, _, name = path.rpartition("/")
        if directory != last:  # the files of a directory follow each other
            last = directory
            if directory not in directories:
                directories[directory] = not _is_aside(directory)
            counts = directories[directory]
            is_parent = directory.endswith(_PARENTS)
        if counts:
            every.append(path)
            if name not in names:
                names[name] = wanted(name)
            if names[name] or (is_parent and wanted(path)):
                needed.append(path)
    return tuple(every), needed


def _is_aside(directory: str) -> bool:
    return f"{directory}/".startswith(ASIDE_AT_ROOT) or not ASIDE.isdisjoint(directory.split("/"))


def wanted(path: str) -> bool:
    """Whether the text of `path` is needed; it asks only for the name."""
    parent, _, name = path.rpartition("/")
    if name in _EXACT or ((name.endswith(_LAST) or name.startswith(_FIRST)) and _GLOBS.match(name)):
        return True
    below = WANTED_BELOW.get(parent.rpartition("/")[2])
    return below is not None and fnmatchcase(name, below)


def further(reader: Reader) -> list[str]:
    """Files of the tree that those read so far name, and whose names alone do not tell it (`include`, `extends`)."""
    named = {*layers.further_files(reader), *gitlab.included(reader)}
    return sorted(path for path in named if reader.has(path) and path not in reader.texts)


def understand(
    root_name: str, paths: Sequence[str], texts: Mapping[str, str], skipped: Sequence[Skipped] = ()
) -> Analysis:
    """All that the rules find; `paths` are those that count, `texts` those of the wanted ones that could be read."""
    return understood(root_name, Reader(tuple(paths), texts), skipped)


def understood(root_name: str, reader: Reader, skipped: Sequence[Skipped]) -> Analysis:
    """The same of a reader that may have been asked before."""
    assembly = assemble(reader, root_name)
    found = [project for find in ECOSYSTEMS for project in find(reader)]
    found += c_projects(reader, {project.path for project in found})
    found.sort(key=lambda project: (project.path, project.ecosystem))
    pinned = [with_frameworks(project) for project in with_pinned_tools(reader, found)]
    projects = with_containers(with_settings(reader, pinned), assembly.containers)
    ci = systems.pipelines(reader)
    declared = (
        *schema_evidence(reader, projects),
        *driver_evidence(reader, projects),
        *spring_evidence(reader, projects),
        *ci.evidence(),
    )
    return Analysis(
        root_name=root_name,
        projects=projects,
        services=services(reader, projects, assembly, declared),
        containers=assembly.containers,
        tasks=tasks.tasks(reader),
        env=environment.environment(reader),
        ci=ci.steps,
        ci_tools=ci.tools,
        flakes=flakes(reader),
        skipped=tuple(sorted((*skipped, *reader.notes.values()), key=lambda item: item.file)),
    )

"""What autonix knows of a repository, every fact with its file, line, rule and confidence; it finds and emits nothing.

All values are frozen and in a stable order, so that the same tree gives an equal `Analysis`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Literal, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Confidence(StrEnum):
    """How much a finding rests on the file's own words."""

    CERTAIN = "certain"
    """The file says it in so many words, in a format that defines the meaning."""
    LIKELY = "likely"
    """A well-known convention: the image named `postgres` is PostgreSQL, the script `test` runs the tests."""
    POSSIBLE = "possible"
    """A hint; good for a question to a person, never for a service or a version."""


@dataclass(frozen=True, slots=True)
class Finding(Generic[T_co]):
    """One fact. `file` is relative to the root, with `/`; `line` counts from 1; `rule` is a dotted name.

    A rule's name says ecosystem, source and field: `python.pep621.name`.
    """

    value: T_co
    file: str
    line: int
    rule: str
    confidence: Confidence = Confidence.CERTAIN


class Ecosystem(StrEnum):
    """Whose tools build a project."""

    PYTHON = "python"
    JAVASCRIPT = "javascript"
    RUST = "rust"
    GO = "go"
    NIX = "nix"
    JAVA = "java"
    DOTNET = "dotnet"
    RUBY = "ruby"
    PHP = "php"
    ELIXIR = "elixir"
    HASKELL = "haskell"
    C = "c"
    ZIG = "zig"


class Purpose(StrEnum):
    """What a command is for, as far as its name or words tell."""

    START = "start"
    DEVELOP = "develop"
    BUILD = "build"
    TEST = "test"
    LINT = "lint"
    FORMAT = "format"
    OTHER = "other"


class Group(StrEnum):
    """When a dependency is needed."""

    RUNTIME = "runtime"
    OPTIONAL = "optional"
    DEVELOPMENT = "development"
    BUILD = "build"


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """Something that runs: a command `name` that leads to `target` (module:function, file, package path or class)."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class Command:
    """A named command line of the project: a package script, a make target, a Procfile process.

    `runner` is who runs it (`npm`, `make`, `just`, `procfile` …); `text` is its shell text, empty where it only has
    dependencies. It is data: nothing here was ever run.
    """

    name: str
    text: str
    runner: str
    purpose: Purpose = Purpose.OTHER


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A tool that the project asks for. `constraint` is in the ecosystem's own words (`>=3.11`, `^20`, `1.78.0`)."""

    tool: str
    constraint: str


@dataclass(frozen=True, slots=True)
class Dependency:
    """A direct dependency; `constraint` in the ecosystem's words, `locked` the exact version of the lock file.

    `features` are what is asked of it besides: Rust's features, Python's extras.
    """

    name: str
    constraint: str = ""
    group: Group = Group.RUNTIME
    locked: str | None = None
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file and the tool that reads it; `format` is its own version number, empty where it names none."""

    tool: str
    format: str = ""


@dataclass(frozen=True, slots=True)
class Port:
    """A port that is listened on; `published` is the host's, where the file names one."""

    number: int
    protocol: Literal["tcp", "udp"] = "tcp"
    published: int | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable. `default` is None where only its name is known; `secret`: its name says so."""

    name: str
    default: str | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """A health check: http has port and path, tcp a port, command an argv or, with `shell`, one shell text."""

    kind: Literal["http", "tcp", "command"]
    port: int | None = None
    path: str | None = None
    command: tuple[str, ...] = ()
    shell: bool = False


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume or directory mounted at `path`; `source` is a volume's name, a host path, or None (anonymous)."""

    path: str
    source: str | None = None
    named: bool = False


@dataclass(frozen=True, slots=True)
class Project:
    """One buildable thing: a manifest's directory (`path`, "." for the root) in one ecosystem.

    `manager` is the tool that installs and builds it (`uv`, `poetry`, `npm`, `cargo`, `go`, `maven` …); `build_system`
    what the build itself needs (`setuptools`, `hatchling`). `members` are directories of workspace members, `workspace`
    the directory of the workspace that this project is a member of.
    """

    path: str
    ecosystem: Ecosystem
    manifest: str
    name: Finding[str] | None = None
    version: Finding[str] | None = None
    description: Finding[str] | None = None
    license: Finding[str] | None = None
    manager: Finding[str] | None = None
    build_system: tuple[Finding[str], ...] = ()
    entry_points: tuple[Finding[EntryPoint], ...] = ()
    scripts: tuple[Finding[Command], ...] = ()
    toolchain: tuple[Finding[Toolchain], ...] = ()
    dependencies: tuple[Finding[Dependency], ...] = ()
    frameworks: tuple[Finding[str], ...] = ()
    ports: tuple[Finding[Port], ...] = ()
    env: tuple[Finding[Variable], ...] = ()
    health: tuple[Finding[Probe], ...] = ()
    members: tuple[Finding[str], ...] = ()
    workspace: str | None = None
    lock: Finding[Lock] | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """What a VM of this gets by default: cores, MiB of memory, MiB of volume (0: it keeps nothing)."""

    cpu: int
    memory_mb: int
    volume_mb: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """Something that the projects need running beside them: a database, a queue, a cache, a proxy.

    `name` is unique in the analysis and a DNS label; `kind` a key of `mapping.services` (`postgresql`, `redis` …),
    whose finding is the strongest evidence; `evidence` is all of it (what was seen, in words). `used_by`:
    paths of projects.
    """

    name: str
    kind: Finding[str]
    evidence: tuple[Finding[str], ...]
    size: Size
    version: Finding[str] | None = None
    image: Finding[str] | None = None
    ports: tuple[Finding[Port], ...] = ()
    env: tuple[Finding[Variable], ...] = ()
    mounts: tuple[Finding[Mount], ...] = ()
    health: tuple[Finding[Probe], ...] = ()
    depends_on: tuple[Finding[str], ...] = ()
    used_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM of a Dockerfile; `name` is its alias, or its number from 0."""

    name: str
    image: str


@dataclass(frozen=True, slots=True)
class Container:
    """An image that the repository builds (`build` is the context's directory), or one of an unknown kind that it runs.

    `dockerfile` is the path of what builds it, where it is there.
    From a Dockerfile, a Compose service, or both together; `name` is the Compose service's or the directory's.
    `command` is entry point and arguments as one argv, or one shell text (`sh -c`).
    """

    name: str
    file: str
    build: str | None = None
    dockerfile: str | None = None
    image: Finding[str] | None = None
    stages: tuple[Finding[Stage], ...] = ()
    command: Finding[tuple[str, ...]] | None = None
    ports: tuple[Finding[Port], ...] = ()
    env: tuple[Finding[Variable], ...] = ()
    mounts: tuple[Finding[Mount], ...] = ()
    health: tuple[Finding[Probe], ...] = ()
    depends_on: tuple[Finding[str], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A command that CI runs; `system` is `github`, `gitlab` …"""

    system: str
    job: str
    text: str
    purpose: Purpose = Purpose.OTHER


@dataclass(frozen=True, slots=True)
class Setup:
    """A tool that CI installs before it runs anything; `system` as in `Step`, the version in that system's words."""

    system: str
    tool: str
    constraint: str


@dataclass(frozen=True, slots=True)
class Flake:
    """A `flake.nix` that is already there and is respected. `outputs` are attribute names as far as the text shows."""

    path: str
    description: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Share:
    """How many bytes of the tracked files are in a language, as GitHub counts them (`autonix/languages`)."""

    language: str
    size: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that would have counted and could not be read or parsed, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that is known of one tree. `tasks` are commands of no single project; `env` variables of the whole tree.

    `languages`: most bytes first; only a git repository has any, as only what it tracks counts.
    """

    root_name: str
    projects: tuple[Project, ...] = ()
    services: tuple[Service, ...] = ()
    containers: tuple[Container, ...] = ()
    tasks: tuple[Finding[Command], ...] = ()
    env: tuple[Finding[Variable], ...] = ()
    ci: tuple[Finding[Step], ...] = ()
    ci_tools: tuple[Finding[Setup], ...] = ()
    flakes: tuple[Finding[Flake], ...] = ()
    languages: tuple[Share, ...] = ()
    skipped: tuple[Skipped, ...] = ()

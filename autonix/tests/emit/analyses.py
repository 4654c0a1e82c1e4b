"""Analyses as the scanner makes them, one for each ecosystem, and one whose every name is hostile."""

from collections.abc import Mapping
from typing import TypeVar

from autonix.findings import (
    Analysis,
    Command,
    Container,
    Dependency,
    Ecosystem,
    EntryPoint,
    Finding,
    Group,
    Lock,
    Mount,
    Port,
    Probe,
    Project,
    Purpose,
    Service,
    Size,
    Toolchain,
    Variable,
)
from autonix.tests.archive import repository
from autonix.understand import understand

T = TypeVar("T")


def a_finding(value: T, file: str = "manifest", line: int = 1, rule: str = "test.rule") -> Finding[T]:
    return Finding(value, file, line, rule)


def a_service(name: str, kind: str, *, version: str | None = None, used_by: tuple[str, ...] = (".",)) -> Service:
    image = "compose.yaml"
    return Service(
        name=name,
        kind=a_finding(kind, image, 10, "compose.image"),
        evidence=(a_finding(f"the image {kind}", image, 10, "compose.image"),),
        size=Size(1, 1024, 0 if kind in ("memcached", "nginx") else 1024),
        version=a_finding(version, image, 10, "compose.image.tag") if version else None,
        used_by=used_by,
    )


def a_python_application() -> Analysis:
    def found(value: T, line: int, rule: str) -> Finding[T]:
        return a_finding(value, "pyproject.toml", line, f"python.pep621.{rule}")

    api = Project(
        path=".",
        ecosystem=Ecosystem.PYTHON,
        manifest="pyproject.toml",
        name=found("todo-api", 2, "name"),
        version=found("1.4.0", 3, "version"),
        description=found('A "to do" list for ${everyone}', 4, "description"),
        manager=a_finding("uv", "uv.lock", 1, "python.uv.lock"),
        build_system=(found("hatchling>=1.20", 30, "build-system"),),
        entry_points=(found(EntryPoint("todo-api", "todo.main:main"), 20, "scripts"),),
        scripts=(a_finding(Command("test", "pytest -q", "make", Purpose.TEST), "Makefile", 4, "tasks.make.target"),),
        toolchain=(found(Toolchain("python", ">=3.11,<3.13"), 5, "requires-python"),),
        dependencies=(
            found(Dependency("FastAPI", ">=0.110"), 8, "dependencies"),
            found(Dependency("uvicorn", ">=0.29"), 9, "dependencies"),
            found(Dependency("ruamel.yaml"), 10, "dependencies"),
            found(Dependency("pytest-asyncio", group=Group.DEVELOPMENT), 14, "dependency-groups"),
        ),
        env=(a_finding(Variable("LOG_LEVEL", "info"), ".env.example", 3, "env.example"),),
    )
    web = Container(
        name="api",
        file="compose.yaml",
        build=".",
        command=a_finding(("uvicorn", "todo.main:app", "--host", "::"), "Dockerfile", 9, "docker.cmd"),
        ports=(a_finding(Port(8000, published=8080), "compose.yaml", 5, "compose.ports"),),
        env=(
            a_finding(
                Variable("DATABASE_URL", "postgresql+asyncpg://todo:s3cret@db:5432/todos"),
                "compose.yaml",
                6,
                "compose.env",
            ),
            a_finding(Variable("REDIS_URL"), "compose.yaml", 7, "compose.env"),
            a_finding(Variable("SECRET_KEY", "hunter2", secret=True), "compose.yaml", 8, "compose.env"),
        ),
        health=(a_finding(Probe("http", 8000, "/healthz"), "compose.yaml", 9, "compose.healthcheck"),),
        depends_on=(a_finding("db", "compose.yaml", 4, "compose.depends_on"),),
        mounts=(a_finding(Mount("/data", "uploads", named=True), "compose.yaml", 12, "compose.volumes"),),
    )
    services = (
        a_service("cache", "redis", version="7"),
        a_service("db", "postgresql", version="16-alpine"),
        a_service("files", "minio"),
    )
    return Analysis("todo", projects=(api,), services=services, containers=(web,))


def a_requirements_application() -> Analysis:
    project = Project(
        path=".",
        ecosystem=Ecosystem.PYTHON,
        manifest="requirements.txt",
        dependencies=(a_finding(Dependency("flask", "==3.0.0"), "requirements.txt", 1, "python.requirements"),),
        scripts=(),
        ports=(a_finding(Port(5000), "Procfile", 1, "procfile.port"),),
    )
    web = a_finding(Command("web", "gunicorn app:app", "procfile", Purpose.START), "Procfile", 1, "procfile.process")
    return Analysis("guestbook", projects=(project,), tasks=(web,))


def a_javascript_application(tool: str = "npm", lock: str = "package-lock.json", version: str = "") -> Analysis:
    def found(value: T, line: int, rule: str) -> Finding[T]:
        return a_finding(value, "package.json", line, f"javascript.package.{rule}")

    shop = Project(
        path=".",
        ecosystem=Ecosystem.JAVASCRIPT,
        manifest="package.json",
        name=found("@corner/shop", 2, "name"),
        version=found("0.3.1", 3, "version"),
        manager=found(tool, 4, "manager"),
        scripts=(
            found(Command("build", "tsc", "npm", Purpose.BUILD), 7, "scripts"),
            found(Command("start", "node dist/server.js", "npm", Purpose.START), 8, "scripts"),
            found(Command("test", "vitest run", "npm", Purpose.TEST), 9, "scripts"),
            found(Command("lint:types", "tsc --noEmit", "npm", Purpose.LINT), 10, "scripts"),
        ),
        toolchain=(found(Toolchain("node", "^20.1"), 12, "engines"),),
        ports=(a_finding(Port(3000), "Dockerfile", 8, "docker.expose"),),
        lock=a_finding(Lock(tool, version), lock, 1, f"javascript.{tool}.lock"),
    )
    return Analysis("shop", projects=(shop,), services=(a_service("mongo", "mongodb"), a_service("rabbit", "rabbitmq")))


def a_rust_workspace() -> Analysis:
    lock = a_finding(Lock("cargo", "3"), "Cargo.lock", 1, "rust.cargo.lock")
    pin = a_finding(Toolchain("rust", "1.78.0"), "rust-toolchain.toml", 2, "rust.toolchain.channel")
    root = Project(
        ".",
        Ecosystem.RUST,
        "Cargo.toml",
        members=(a_finding("crates/server", "Cargo.toml", 2, "rust.members"),),
        lock=lock,
    )
    server = Project(
        path="crates/server",
        ecosystem=Ecosystem.RUST,
        manifest="crates/server/Cargo.toml",
        name=a_finding("server", "crates/server/Cargo.toml", 2, "rust.package.name"),
        version=a_finding("0.9.0", "Cargo.toml", 5, "rust.workspace.version"),
        entry_points=(a_finding(EntryPoint("server", "src/main.rs"), "crates/server/Cargo.toml", 1, "rust.bin"),),
        frameworks=(a_finding("axum", "crates/server/Cargo.toml", 8, "rust.frameworks"),),
        toolchain=(pin,),
        workspace=".",
    )
    return Analysis("ferry", projects=(root, server))


def a_go_module() -> Analysis:
    module = Project(
        path="backend",
        ecosystem=Ecosystem.GO,
        manifest="backend/go.mod",
        name=a_finding("example.org/ledger", "backend/go.mod", 1, "go.mod.module"),
        toolchain=(a_finding(Toolchain("go", "1.22"), "backend/go.mod", 3, "go.mod.go"),),
        entry_points=(a_finding(EntryPoint("ledger", "."), "backend/main.go", 1, "go.main"),),
        dependencies=(a_finding(Dependency("github.com/lib/pq", "v1.10.9"), "backend/go.mod", 5, "go.mod.require"),),
        ports=(a_finding(Port(8081), "backend/Dockerfile", 7, "docker.expose"),),
        env=(a_finding(Variable("DB_HOST", "localhost"), ".env.example", 1, "env.example"),),
    )
    return Analysis(
        "ledger", projects=(module,), services=(a_service("mysql", "mysql", version="8", used_by=("backend",)),)
    )


def labelled(name: str) -> Analysis:
    """What the rules find in a labelled repository."""
    files = repository(name).files
    return understand(name, sorted(files), files)


GOLDEN: Mapping[str, Analysis] = {
    "python": a_python_application(),
    "python-requirements": a_requirements_application(),
    "javascript": a_javascript_application(),
    "javascript-yarn": a_javascript_application("yarn", "yarn.lock"),
    "javascript-yarn-berry": a_javascript_application("yarn", "yarn.lock", "8"),
    "javascript-pnpm": a_javascript_application("pnpm", "pnpm-lock.yaml"),
    "rust": a_rust_workspace(),
    "go": a_go_module(),
    "c": labelled("c-cmake"),
    "c-autotools": labelled("c-autotools"),
    "c-make": labelled("c-make"),
    "java": labelled("java-maven"),
    "java-gradle": labelled("java-gradle-kotlin"),
    "java-spring": labelled("java-spring-settings"),
    "scala": labelled("scala-sbt"),
    "dotnet": labelled("dotnet-web"),
    "ruby": labelled("ruby-rails"),
    "ruby-gem": labelled("ruby-gem"),
    "php": labelled("php-laravel"),
    "elixir": labelled("elixir-phoenix"),
    "elixir-umbrella": labelled("elixir-umbrella"),
    "haskell": labelled("haskell-cabal"),
    "haskell-hpack": labelled("haskell-stack"),
    "zig": labelled("zig-exe"),
    "deno": labelled("javascript-deno"),
    "bun": labelled("javascript-bun-server"),
    "conda": labelled("python-conda"),
    "compose": labelled("compose-layers"),
    "empty": Analysis("empty"),
}
"""What has a recorded output in `golden/<name>/`."""

VARIANTS: Mapping[str, str] = {"javascript-yarn": "javascript", "javascript-pnpm": "javascript-yarn-berry"}
"""Analyses whose cluster is that of another one, as only the build differs: it is not recorded again."""

"""Whatever a repository calls its things, the flake that comes out parses, evaluates, and holds them as data."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest

from autonix.emit.files import generated, is_ours
from autonix.findings import (
    Analysis,
    Command,
    Container,
    Dependency,
    Ecosystem,
    EntryPoint,
    Finding,
    Lock,
    Mount,
    Port,
    Probe,
    Project,
    Purpose,
    Toolchain,
    Variable,
)
from autonix.tests.emit.analyses import a_service
from autonix.tests.emit.flakes import evaluated
from autonix.tests.emit.values import HOSTILE
from schema.blueprint import Blueprint

T = TypeVar("T")
KINDS = (
    "postgresql",
    "redis",
    "mysql",
    "mariadb",
    "mongodb",
    "rabbitmq",
    "memcached",
    "nginx",
    "elasticsearch",
    "kafka",
)
MANIFESTS = {
    Ecosystem.PYTHON: ("pyproject.toml", "uv.lock"),
    Ecosystem.JAVASCRIPT: ("package.json", "package-lock.json"),
    Ecosystem.RUST: ("Cargo.toml", "Cargo.lock"),
    Ecosystem.GO: ("go.mod", "go.sum"),
    Ecosystem.C: ("CMakeLists.txt", None),
    Ecosystem.ELIXIR: ("mix.exs", None),
    Ecosystem.DOTNET: ("x.csproj", None),
    Ecosystem.HASKELL: ("package.yaml", None),
    Ecosystem.ZIG: ("build.zig.zon", None),
    Ecosystem.JAVA: ("build.gradle", None),
}
TOOLS = {Ecosystem.JAVASCRIPT: "npm", Ecosystem.RUST: "cargo"}


def a_hostile_analysis(random: Random) -> Analysis:
    def draw(words: Sequence[str]) -> str:
        return "".join(random.choices(words, k=random.choice((1, 1, 2, 3))))

    def found(text: str) -> Finding[str]:
        return Finding(text, draw(HOSTILE), 1, draw(HOSTILE))

    def about(value: T) -> Finding[T]:
        return Finding(value, draw(HOSTILE), 1, draw(HOSTILE))

    projects, containers = [], []
    services = tuple(a_service(f"svc{i}", kind, version=draw(HOSTILE)) for i, kind in enumerate(KINDS))
    for number, (ecosystem, (manifest, lock)) in enumerate(MANIFESTS.items()):
        path = f"dir{number}"
        projects.append(
            Project(
                path=path,
                ecosystem=ecosystem,
                manifest=f"{path}/{manifest}",
                name=found(draw(HOSTILE)),
                version=found(draw(HOSTILE)),
                description=found(draw(HOSTILE)),
                build_system=(found(draw(HOSTILE)),),
                entry_points=(about(EntryPoint(draw(HOSTILE), draw(HOSTILE))),),
                scripts=(
                    about(Command(draw(HOSTILE), draw(HOSTILE), "npm", Purpose.START)),
                    about(Command(draw(HOSTILE), draw(HOSTILE), "make", Purpose.TEST)),
                ),
                toolchain=(about(Toolchain("python", draw(HOSTILE))), about(Toolchain("node", draw(HOSTILE)))),
                dependencies=(about(Dependency(draw(HOSTILE))),),
                ports=(about(Port(random.randrange(70000), published=80)),),
                env=(
                    about(Variable(draw(HOSTILE), draw(HOSTILE))),
                    about(Variable("A_URL", f"postgres://{draw(HOSTILE)}@svc0/{draw(HOSTILE)}")),
                ),
                lock=Finding(Lock(TOOLS.get(ecosystem, "")), f"{path}/{lock}", 1, "lock") if lock else None,
            )
        )
        containers.append(
            Container(
                name=draw(HOSTILE),
                file=draw(HOSTILE),
                build=path,
                command=about(tuple(draw(HOSTILE) for _ in range(random.randrange(4)))),
                health=(about(Probe("http", None, draw(HOSTILE))),),
                depends_on=tuple(about(service.name) for service in services),
                mounts=(about(Mount(draw(HOSTILE), named=True)),),
            )
        )
    return Analysis(draw(HOSTILE), tuple(projects), services, tuple(containers))


@pytest.mark.parametrize("seed", range(4))
async def test_a_repository_of_hostile_names_still_becomes_a_flake(seed: int, tmp_path: Path) -> None:
    random = Random(seed)  # noqa: S311 - the same analyses in every run
    many = [a_hostile_analysis(random) for _ in range(4)]
    found = await evaluated(tmp_path, {f"f{i}": each for i, each in enumerate(many)})
    for each in found.values():
        Blueprint.model_validate(each.blueprint)
        assert len(each.blueprint["vms"]) >= len(KINDS) - 1
    for analysis in many:
        assert all(is_ours(text) for _, text in generated(analysis).files())

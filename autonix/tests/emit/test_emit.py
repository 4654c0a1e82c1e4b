"""Generated flakes: each is as recorded, evaluates with the real nix, and says what its analysis says."""

from pathlib import Path

import pytest

from autonix.emit.files import CLUSTER, generated, is_ours
from autonix.tests.emit.analyses import GOLDEN, VARIANTS
from autonix.tests.emit.flakes import Evaluated, evaluated
from autonix.tests.emit.record import DIRECTORY
from schema.blueprint import Blueprint, CheckType


@pytest.mark.parametrize("name", GOLDEN)
def test_the_output_is_as_recorded(name: str) -> None:
    for file, text in generated(GOLDEN[name]).files():
        recorded = DIRECTORY / (VARIANTS.get(name, name) if file == CLUSTER else name) / file
        assert text == recorded.read_text(), f"python -m {record_module()} writes it again"
        assert is_ours(text)


def record_module() -> str:
    return "autonix.tests.emit.record"


def test_nothing_is_recorded_that_no_test_makes() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} == set(GOLDEN)


async def test_every_flake_evaluates_and_its_blueprint_is_valid(tmp_path: Path) -> None:
    found = await evaluated(tmp_path, GOLDEN)
    assert set(found) == set(GOLDEN)
    for each in found.values():
        blueprint = Blueprint.model_validate(each.blueprint)
        assert set(blueprint.vms) == set(each.systems)
    the_python_application_is_whole(found["python"])
    assert set(found["rust"].checks) == {"server", "server-test", "server-lint"}
    assert found["javascript-yarn-berry"].packages["default"]
    assert set(found["javascript-pnpm"].checks) == {"corner-shop", "corner-shop-test", "corner-shop-lint-types"}
    assert found["ruby"].packages["default"] and set(found["ruby"].systems) == {"ruby-rails", "postgresql", "redis"}
    assert set(found["ruby-gem"].packages) == {"default", "tidy"}
    assert set(found["bun"].systems) == {"javascript-bun-server"} and set(found["bun"].checks) == {"gull", "gull-test"}
    assert set(found["elixir-umbrella"].packages) == {"default", "ledger-web"}
    assert set(found["elixir-umbrella"].systems) == {"ledger-web"}
    assert set(found["java"].systems) == {"clinic", "postgresql"}
    the_spring_application_finds_its_servers(found["java-spring"])
    assert found["deno"].apps and not found["deno"].packages
    assert set(found["dotnet"].packages) == {"default", "orders-api"}
    assert set(found["haskell"].packages) == {"default", "harbour"}
    assert set(found["zig"].checks) == {"zither", "zither-test"}
    assert set(found["dotnet"].shells) == {"orders-api", "default"}
    assert found["empty"].blueprint["vms"] == {}


def the_spring_application_finds_its_servers(found: Evaluated) -> None:
    berth = Blueprint.model_validate(found.blueprint).vms["berth"]
    assert berth.env == {
        "SPRING_DATASOURCE_URL": "jdbc:postgresql://postgresql:5432/berth",
        "SPRING_DATASOURCE_USERNAME": "berth",
        "SPRING_DATA_REDIS_HOST": "redis",
    }
    assert set(berth.network.connect) == {"postgresql:5432", "redis:6379"}
    assert [port.port for port in berth.network.ports] == [9090]


def the_python_application_is_whole(found: Evaluated) -> None:
    assert set(found.packages) == {"todo-api", "default"}
    assert found.packages["default"] == found.packages["todo-api"]
    assert set(found.checks) == {"todo-api", "todo-api-test"}
    assert set(found.apps) == {"todo-api"}
    vms = Blueprint.model_validate(found.blueprint).vms
    assert set(vms) == {"api", "cache", "db"}
    assert vms["api"].network.connect == ("cache:6379", "db:5432")
    assert vms["api"].depends_on == ("cache", "db")
    assert vms["api"].env == {
        "DATABASE_URL": "postgresql+asyncpg://todo@db:5432/todos",
        "LOG_LEVEL": "info",
        "REDIS_URL": "redis://cache:6379/0",
    }
    assert [(port.port, port.publish) for port in vms["api"].network.ports] == [(8000, 8080)]
    assert [(check.type, check.path) for check in vms["api"].health.checks] == [(CheckType.HTTP, "/healthz")]
    assert vms["db"].volumes["data"].mount == "/var/lib/postgresql"


def test_no_secret_is_written_and_each_is_named() -> None:
    text = generated(GOLDEN["python"]).cluster
    assert "hunter2" not in text
    assert "s3cret" not in text
    assert "# - api: SECRET_KEY must be set by hand" in text


def test_what_is_not_in_the_cluster_is_told() -> None:
    text = generated(GOLDEN["python"]).cluster
    assert "# - files (compose.yaml:10 (compose.image, certain)): autonix knows no NixOS module for minio" in text
    assert "nixpkgs has no builder for Deno" in generated(GOLDEN["deno"]).flake


def test_the_same_analysis_gives_the_same_bytes() -> None:
    assert generated(GOLDEN["python"]) == generated(GOLDEN["python"])


def test_a_changed_byte_makes_a_file_a_persons() -> None:
    text = generated(GOLDEN["go"]).flake
    assert is_ours(text)
    assert not is_ours(text + "\n")
    assert not is_ours(text.replace("ledger", "ledge", 1))
    assert not is_ours("")
    assert not is_ours("{ outputs = _: { }; }\n")

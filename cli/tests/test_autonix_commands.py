"""`pcr scan`, `init` and `graph` on repositories on disk: what they print, what they write, and what they refuse."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from cli.main import pcr
from nix.run import run
from schema.errors import Conflict, InvalidInput, NotFound, ProcuratorError

PACKAGE = {
    "name": "@corner/shop",
    "version": "1.2.3",
    "scripts": {"start": "node server.js", "test": "node --test"},
    "engines": {"node": "20"},
}
COMPOSE = """\
services:
  web:
    build: .
    ports: ["8080:3000"]
    environment:
      DATABASE_URL: postgres://shop:s3cret@db:5432/shop
      SESSION_SECRET: hunter2
    depends_on: [db]
  db:
    image: postgres:16
"""


def a_shop(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "package.json").write_text(json.dumps(PACKAGE, indent=2))
    (directory / "package-lock.json").write_text('{"lockfileVersion": 3, "packages": {}}')
    (directory / "compose.yaml").write_text(COMPOSE)
    return directory


def pcr_says(*arguments: object) -> Result:
    beside = Path(str(arguments[1])).parent / ".cache"
    words = [str(argument) for argument in arguments]
    return CliRunner(env={"XDG_CACHE_HOME": str(beside)}).invoke(pcr, words, catch_exceptions=True)


def said(*arguments: object) -> str:
    result = pcr_says(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_scan_shows_each_finding_with_its_place_rule_and_confidence(tmp_path: Path) -> None:
    shown = said("scan", a_shop(tmp_path / "shop"))
    [name] = [line for line in shown.splitlines() if "@corner/shop" in line]
    assert "package.json:2" in name
    assert name.endswith("certain")
    as_json = json.loads(said("scan", tmp_path / "shop", "-o", "json"))
    found = as_json["projects"][0]["name"]
    assert found["value"] == "@corner/shop"
    assert (found["file"], found["line"], found["confidence"]) == ("package.json", 2, "certain")
    assert found["rule"]


def test_scan_never_shows_a_secret(tmp_path: Path) -> None:
    a_shop(tmp_path / "shop")
    for options in ([], ["-o", "json"], ["--explain"]):
        shown = said("scan", tmp_path / "shop", *options)
        assert "hunter2" not in shown
        assert "s3cret" not in shown
        assert "SESSION_SECRET" in shown


def test_explain_says_what_becomes_of_it(tmp_path: Path) -> None:
    shown = said("scan", a_shop(tmp_path / "shop"), "--explain")
    assert "from package.json:2 by " in shown
    assert "package corner-shop: " in shown
    assert "not in the cluster: web: SESSION_SECRET must be set by hand" in shown


def test_init_shows_the_difference_and_writes_both_files_once(tmp_path: Path) -> None:
    shop = a_shop(tmp_path / "shop")
    shown = said("init", shop)
    assert "+++ b/flake.nix" in shown
    assert "+++ b/cluster.nix" in shown
    assert "buildNpmPackage" in (shop / "flake.nix").read_text()
    assert "postgresql://shop@db:5432/shop" in (shop / "cluster.nix").read_text()
    assert sorted(path.name for path in shop.iterdir()) == [
        *("cluster.nix", "compose.yaml", "flake.nix", "package-lock.json", "package.json")
    ]
    assert said("init", shop) == ""


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    shop = a_shop(tmp_path / "shop")
    assert "+++ b/flake.nix" in said("init", shop, "--dry-run")
    assert not (shop / "flake.nix").exists()
    assert not (shop / "cluster.nix").exists()


def test_our_own_files_are_written_again_when_the_repository_changes(tmp_path: Path) -> None:
    shop = a_shop(tmp_path / "shop")
    said("init", shop)
    (shop / "package.json").write_text(json.dumps({**PACKAGE, "version": "2.0.0"}, indent=2))
    shown = said("init", shop)
    assert '-          version = "1.2.3";' in shown
    assert '+          version = "2.0.0";' in shown
    assert 'version = "2.0.0";' in (shop / "flake.nix").read_text()


@pytest.mark.parametrize("edited", ["flake.nix", "cluster.nix"])
def test_hand_edits_are_kept_and_so_is_the_other_file(tmp_path: Path, edited: str) -> None:
    shop = a_shop(tmp_path / "shop")
    said("init", shop)
    mine = (shop / edited).read_text() + "# mine\n"
    (shop / edited).write_text(mine)
    (shop / "package.json").write_text(json.dumps({**PACKAGE, "version": "2.0.0"}, indent=2))
    before = {path.name: path.read_text() for path in shop.glob("*.nix")}
    refused = pcr_says("init", shop)
    assert isinstance(refused.exception, Conflict)
    assert edited in refused.exception.message
    assert "--force" in refused.exception.message
    assert "-# mine" in refused.stdout
    assert {path.name: path.read_text() for path in shop.glob("*.nix")} == before
    said("init", shop, "--force")
    assert "# mine" not in (shop / edited).read_text()


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    shop = a_shop(tmp_path / "shop")
    (tmp_path / "elsewhere.nix").write_text("{ }\n")
    (shop / "flake.nix").symlink_to(tmp_path / "elsewhere.nix")
    assert isinstance(pcr_says("init", shop).exception, Conflict)
    said("init", shop, "--force")
    assert (tmp_path / "elsewhere.nix").read_text() == "{ }\n"
    assert not (shop / "flake.nix").is_symlink()


@pytest.mark.parametrize("blocked", ["flake.nix", "cluster.nix"])
def test_where_one_file_cannot_be_written_neither_is(tmp_path: Path, blocked: str) -> None:
    shop = a_shop(tmp_path / "shop")
    (shop / blocked).mkdir()
    before = sorted(shop.iterdir())
    assert isinstance(pcr_says("init", shop, "--force").exception, InvalidInput)
    assert sorted(shop.iterdir()) == before


def test_inputs_can_be_named(tmp_path: Path) -> None:
    shop = a_shop(tmp_path / "shop")
    said("init", shop, "--nixpkgs", "path:/some/nixpkgs", "--procurator", "path:/some/${place}")
    text = (shop / "flake.nix").read_text()
    assert 'nixpkgs.url = "path:/some/nixpkgs";' in text
    assert 'url = "path:/some/\\${place}";' in text


def two_repositories(tmp_path: Path) -> Path:
    a_shop(tmp_path / "all" / "shop")
    library = tmp_path / "all" / "prices"
    library.mkdir()
    (library / "package.json").write_text('{"name": "@corner/prices", "version": "0.1.0"}')
    shop = {**PACKAGE, "dependencies": {"@corner/prices": "^0.1.0"}}
    (tmp_path / "all" / "shop" / "package.json").write_text(json.dumps(shop, indent=2))
    (tmp_path / "all" / ".hidden").mkdir()
    return tmp_path / "all"


def test_graph_joins_repositories_and_services(tmp_path: Path) -> None:
    found = json.loads(said("graph", two_repositories(tmp_path), "-o", "json"))
    assert [node["label"] for node in found["nodes"]] == ["@corner/prices", "@corner/shop", "db"]
    edges = {(edge["source"], edge["target"]) for edge in found["edges"]}
    assert ("shop/.:javascript", "prices/.:javascript") in edges
    assert ("shop/.:javascript", "shop/service:db") in edges


def test_graph_as_dot_and_as_mermaid(tmp_path: Path) -> None:
    repositories = two_repositories(tmp_path)
    dot = said("graph", repositories)
    assert dot.startswith("digraph repositories {\n")
    assert 'n1 [label="@corner/shop (javascript)"];' in dot
    assert "n1 -> n0 [tooltip=" in dot
    assert 'n2 [label="db (postgresql)", shape=cylinder];' in dot
    mermaid = said("graph", repositories, "-o", "mermaid")
    assert mermaid.startswith("flowchart LR\n")
    assert 'n2[("db (postgresql)")]' in mermaid
    assert "n1 --> n0" in mermaid


def test_graph_as_svg(tmp_path: Path) -> None:
    shown = said("graph", two_repositories(tmp_path), "-o", "svg")
    assert shown.startswith("<svg ")
    assert "shop: @corner/shop (javascript)" in shown
    assert 'data-from="shop/.:javascript" data-to="prices/.:javascript"' in shown


def test_several_repositories_get_one_flake(tmp_path: Path) -> None:
    every = two_repositories(tmp_path)
    assert "+++ b/flake.nix" in said("init", every, "--master", "--dry-run")
    assert not (every / "flake.nix").exists()
    said("init", every, "--master")
    flake = (every / "flake.nix").read_text()
    assert f'url = "path:{every}/shop";' in flake
    assert 'shop = [ "prices" ];' in flake
    assert "postgresql://shop@db:5432/shop" in (every / "cluster.nix").read_text()
    assert said("init", every, "--master") == ""
    (every / "flake.nix").write_text(flake + "# mine\n")
    assert isinstance(pcr_says("init", every, "--master").exception, Conflict)


def test_a_directory_of_repositories_is_no_repository(tmp_path: Path) -> None:
    every = two_repositories(tmp_path)
    for name in ("shop", "prices"):
        (every / name / ".git").mkdir()
    refused = pcr_says("init", every)
    assert isinstance(refused.exception, InvalidInput)
    assert "holds 2" in refused.exception.message
    assert "--master" in refused.exception.message
    (tmp_path / "empty").mkdir()
    assert isinstance(pcr_says("init", tmp_path / "empty", "--master").exception, InvalidInput)


def test_a_flake_that_a_person_wrote_stays_the_repositorys(tmp_path: Path) -> None:
    every = two_repositories(tmp_path)
    (every / "prices" / "flake.nix").write_text("{ outputs = { self }: { }; }\n")
    said("init", every / "shop")
    said("init", every, "--master")
    flake = (every / "flake.nix").read_text()
    assert "packages = inputs.prices.packages.${system} or { };" in flake
    assert "inputs.shop.outPath" in flake


def in_git(directory: Path, *words: str) -> None:
    trio.run(partial(run, ["git", *words], deadline=60, env={"HOME": "/nonexistent"}, cwd=directory))


def test_a_commit_is_scanned_like_its_files(tmp_path: Path) -> None:
    shop = a_shop(tmp_path / "shop")
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        in_git(shop, *words)
    files = said("scan", shop, "-o", "json")
    assert said("scan", shop, "--rev", "HEAD", "-o", "json") == files
    assert said("scan", shop, "--rev", "HEAD", "--no-cache", "-o", "json") == files
    assert isinstance(pcr_says("scan", shop, "--rev", "nowhere").exception, NotFound)
    (shop / "serve.py").write_text("x = 1\n")
    in_git(shop, "add", "-A")
    in_git(shop, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "y")
    assert "languages: Python 100.0 %" in said("scan", shop)


@pytest.mark.parametrize("verb", ["scan", "init", "graph"])
def test_a_directory_that_is_not_there_is_named(tmp_path: Path, verb: str) -> None:
    error = pcr_says(verb, tmp_path / "nowhere").exception
    assert isinstance(error, NotFound)
    assert "nowhere" in error.message


async def test_a_hostile_repository_reaches_no_terminal(tmp_path: Path) -> None:
    shop = a_shop(tmp_path / "shop")
    hostile = {**PACKAGE, "name": "a\x1b[2J\u202eb", "description": "\x1b]0;title\x07${x} '' \n"}
    (shop / "package.json").write_text(json.dumps(hostile))
    for verb in (["scan"], ["scan", "--explain"], ["scan", "-o", "json"], ["init", "--dry-run"], ["init"]):
        shown = await run([sys.executable, "-m", "cli.main", verb[0], str(shop), *verb[1:]], deadline=60, env={})
        assert b"\x1b" not in shown.stdout + shown.stderr
        assert "\u202e".encode() not in shown.stdout + shown.stderr


def test_failures_are_expected_ones(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert isinstance(pcr_says("scan", tmp_path / "file").exception, ProcuratorError)

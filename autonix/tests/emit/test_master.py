"""A directory of repositories becomes one flake and one cluster, which the real nix evaluates, offline."""

import json
import shutil
from pathlib import Path
from typing import Any

from autonix import nixast as n
from autonix.emit.cluster import vms_of
from autonix.emit.files import Generated
from autonix.emit.flake import Inputs
from autonix.emit.joint import Member, joined
from autonix.emit.master import Repository, generated_master
from autonix.findings import Analysis
from autonix.printer import show
from autonix.scan import analyse
from autonix.tests.emit.flakes import EVERYTHING, STAND_IN
from autonix.tests.test_tree import git, write
from nix.environment import NixEnvironment
from nix.example import LIBRARY
from nix.run import run
from schema.blueprint import Blueprint

SHOP = {
    "package.json": json.dumps(
        {
            "name": "@corner/shop",
            "version": "1.0.0",
            "scripts": {"start": "node server.js"},
            "dependencies": {"express": "^4", "@corner/prices": "^1"},
        }
    ),
    "package-lock.json": json.dumps({"name": "@corner/shop", "lockfileVersion": 3, "packages": {}}),
    "Dockerfile": 'FROM node:20\nEXPOSE 3000\nCMD ["node", "server.js"]\n',
    "compose.yaml": """
services:
  web:
    build: .
    ports: ["3000:3000"]
    environment:
      DATABASE_URL: postgres://shop:pw@db:5432/shop
      USERS_URL: http://users:8000/v1
      SESSIONS_URL: redis://sessions:6379/1
    depends_on: [db]
  db:
    image: postgres:16
""",
}
USERS = {
    "pyproject.toml": """
[project]
name = "users"
version = "2.0.0"
dependencies = ["fastapi", "uvicorn"]
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
""",
    "Dockerfile": 'FROM python:3.12\nEXPOSE 8000\nCMD ["uvicorn", "users:app"]\n',
    "compose.yaml": """
services:
  users:
    build: .
    ports: ["8000:8000"]
    environment:
      DATABASE_URL: postgres://users:pw@db:5432/users
      REDIS_HOST: sessions
    depends_on: [db, sessions]
  db:
    image: postgres:15
  sessions:
    image: redis:7
""",
}
PRICES = {"package.json": json.dumps({"name": "@corner/prices", "version": "1.0.0"})}
THEIRS = """
{
  inputs = { };
  outputs = { self }: {
    packages.x86_64-linux.default = derivation { name = "tool"; builder = "x"; system = "x86_64-linux"; };
  };
}
"""


async def placed(directory: Path, files: dict[str, str]) -> Analysis:
    for path, text in files.items():
        write(directory, path, text)
    return await analyse(directory)


async def of_all(directory: Path) -> list[Repository]:
    shop, users, prices = directory / "shop", directory / "users", directory / "prices"
    found = [Repository("prices", await placed(prices, PRICES), f"path:{prices}")]
    found.append(Repository("shop", await placed(shop, SHOP), f"git+file://{shop}"))
    await git(shop, "init", "-q")
    await git(shop, "add", "-A")
    await git(shop, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "all")
    tools = directory / "tools"
    found.append(Repository("tools", await placed(tools, {"flake.nix": THEIRS}), f"path:{tools}", has_flake=True))
    found.append(Repository("users", await placed(users, USERS), f"path:{users}"))
    return found


async def evaluated(directory: Path, made: Generated, inputs: Inputs) -> dict[str, Any]:
    place = directory / "master"
    place.mkdir()
    for name, text in made.files():
        (place / name).write_text(text)
    environment = NixEnvironment(directory / "nix-state").write()
    await run(("nix", "flake", "lock", "--offline", f"path:{place}"), deadline=180, env=environment.env)
    flake = show(n.call("builtins.getFlake", n.text(f"path:{place}")))
    expression = (
        f"let everything = {EVERYTHING}; flake = {flake}; in everything flake // {{ needs = flake.lib.dependencies; }}"
    )
    argv = ("nix", "eval", "--offline", "--impure", "--json", "--expr", expression)
    found: dict[str, Any] = json.loads((await run(argv, deadline=120, env=environment.env)).stdout)
    return found


def inputs_in(directory: Path) -> Inputs:
    procurator = directory / "procurator"
    shutil.copytree(LIBRARY, procurator / "lib")
    (procurator / "modules").mkdir()
    (procurator / "modules" / "guest.nix").write_text("{ }\n")
    nixpkgs = shutil.copytree(STAND_IN, directory / "nixpkgs")
    return Inputs(nixpkgs=f"path:{nixpkgs}", procurator=f"path:{procurator}")


async def test_repositories_become_one_flake_that_evaluates(tmp_path: Path) -> None:
    inputs = inputs_in(tmp_path)
    made = generated_master("all", await of_all(tmp_path / "all"), inputs)
    found = await evaluated(tmp_path, made, inputs)
    assert set(found["packages"]) == {"shop", "shop_corner-shop", "tools", "users", "users_users"}
    assert {"shop", "users"} <= {name.partition("_")[0] for name in found["checks"]}
    assert "users_users" in found["shells"]
    vms = Blueprint.model_validate(found["blueprint"]).vms
    assert set(vms) == set(found["systems"]) == {"web", "users", "sessions", "shop-db", "users-db"}
    web, users = vms["web"], vms["users"]
    assert sorted(web.network.connect) == ["sessions:6379", "shop-db:5432", "users:8000"]
    assert sorted(users.network.connect) == ["sessions:6379", "users-db:5432"]
    assert web.env["DATABASE_URL"] == "postgresql://shop@shop-db:5432/shop"
    assert web.env["USERS_URL"] == "http://users:8000/v1"
    assert users.env["REDIS_HOST"] == "sessions"
    assert found["needs"] == {"prices": [], "shop": ["prices", "users"], "tools": [], "users": []}


async def test_what_is_shared_says_why(tmp_path: Path) -> None:
    repositories = await of_all(tmp_path / "all")
    made = generated_master("all", repositories, Inputs())
    assert made == generated_master("all", repositories, Inputs())
    assert "# prices: @corner/prices: package.json:1 (javascript." in made.flake
    assert "users: the VM users: USERS_URL: compose.yaml:" in made.flake
    assert "tools: it has a flake of its own" in made.cluster


async def test_a_name_that_two_others_use_is_joined_to_neither(tmp_path: Path) -> None:
    asking = {**SHOP, "compose.yaml": SHOP["compose.yaml"].replace("@db:", "@store:").replace("  db:", "  own:")}
    members = [Member("shop", await placed(tmp_path / "shop", asking))]
    for name in ("a", "b"):
        files = {**USERS, "compose.yaml": USERS["compose.yaml"].replace("  db:", "  store:")}
        members.append(Member(name, await placed(tmp_path / name, files)))
    parts, shared = joined(members)
    assert shared == ()
    names = [vm.path[0] for vms, _ in vms_of(parts) for vm in vms]
    assert len(names) == len(set(names))


async def test_names_of_repositories_are_only_names(tmp_path: Path) -> None:
    found = []
    for name in ("${x}", "a b", "A-B", "self"):
        place = tmp_path / "all" / name
        found.append(Repository(name, await placed(place, PRICES), f"path:{tmp_path}/one"))
    write(tmp_path / "one", "package.json", PRICES["package.json"])
    inputs = inputs_in(tmp_path)
    made = generated_master("${all} ''", found, inputs)
    assert (await evaluated(tmp_path, made, inputs))["needs"].keys() == {"x", "a-b", "a-b-b", "self-b"}

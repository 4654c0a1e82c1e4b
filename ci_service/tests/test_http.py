"""CI's HTTP face on a real socket."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from ci_service.http import CiHttp
from ci_service.logs import BuildLog, log_path
from ci_service.store import BuildStore
from ci_service.tests.builders import SHA, a_notice
from ci_service.updates import Updates
from schema.builds import BuildState
from schema.builds_client import BuildsClient
from schema.errors import NotFound, Unavailable
from schema.http import serve_http

TOKEN = "hook-secret"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


@asynccontextmanager
async def a_ci(directory: Path) -> AsyncIterator[tuple[httpx.AsyncClient, BuildStore, Updates]]:
    store = BuildStore(f"sqlite:///{directory / 'ci.db'}")
    await store.open()
    updates = Updates()
    http = CiHttp(
        store=store, logs=directory, updates=updates, hook_token=TOKEN, now_ms=lambda: 1000, accepted=lambda: None
    )
    async with trio.open_nursery() as nursery:
        serve = nursery.start
        address = await serve(
            lambda task_status: serve_http(http.app(), host="127.0.0.1", port=0, task_status=task_status)
        )
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as client:
            yield client, store, updates
        nursery.cancel_scope.cancel()
    await store.close()


def body(**changes: str) -> str:
    return a_notice(**changes).model_dump_json(by_alias=True)


async def test_a_push_is_on_disk_before_it_is_acknowledged(tmp_path: Path) -> None:
    async with a_ci(tmp_path) as (client, store, _):
        answer = await client.post("/v1/pushes", content=body(), headers=AUTH)
        assert answer.status_code == 202
        assert answer.json()["state"] == "queued"
        assert (await store.build(answer.json()["id"])).commit == SHA
        again = await client.post("/v1/pushes", content=body(), headers=AUTH)
        assert (again.status_code, again.json()["id"]) == (200, answer.json()["id"])


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
async def test_a_push_without_the_hooks_token_is_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    async with a_ci(tmp_path) as (client, store, _):
        answer = await client.post("/v1/pushes", content=body(), headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated")
        assert await store.waiting() == ()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"repository": "../../etc"}, "repository"),
        ({"new": "--upload-pack=x"}, "new"),
        ({"delivery": "x"}, "delivery"),
        ({"surprise": "1"}, "surprise"),
    ],
)
async def test_a_wrong_notice_names_its_field(tmp_path: Path, change: dict[str, str], field: str) -> None:
    document = json.loads(body()) | change
    async with a_ci(tmp_path) as (client, _, _):
        answer = await client.post("/v1/pushes", json=document, headers=AUTH)
        assert answer.status_code == 400
        assert field in answer.json()["message"]


async def test_a_tag_is_acknowledged_and_not_built(tmp_path: Path) -> None:
    async with a_ci(tmp_path) as (client, store, _):
        answer = await client.post("/v1/pushes", content=body(ref="refs/tags/v1"), headers=AUTH)
        assert answer.status_code == 200
        assert await store.waiting() == ()


async def test_the_client_reads_what_the_server_says(tmp_path: Path) -> None:
    async with a_ci(tmp_path) as (client, store, _):
        build, _ = await store.accept(a_notice(), now_ms=1)
        BuildLog(log_path(tmp_path, build.id)).line("hello")
        reader = BuildsClient(client)
        assert (await reader.recent(repository="demo/example")).builds == (build,)
        assert (await reader.recent(commit="b" * 40)).builds == ()
        assert await reader.build(build.id) == build
        page = await reader.log(build.id)
        assert (page.text, page.complete) == ("hello\n", False)
        with pytest.raises(NotFound):
            await reader.build(77)


async def test_a_client_of_a_ci_that_is_away_says_so(tmp_path: Path) -> None:
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9") as client:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await BuildsClient(client).build(1)


@pytest.mark.parametrize("query", ["limit=0x1", "before=-1", "limit=1e3", "limit=101", "before=" + "9" * 400])
async def test_wrong_numbers_are_refused(tmp_path: Path, query: str) -> None:
    async with a_ci(tmp_path) as (client, _, _):
        answer = await client.get(f"/v1/builds?{query}")
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid-input")


async def test_changes_are_told_as_they_happen(tmp_path: Path) -> None:
    async with a_ci(tmp_path) as (client, store, updates):
        build, _ = await store.accept(a_notice(), now_ms=1)
        with trio.fail_after(30):
            async with BuildsClient(client).watching() as builds:
                assert await anext(builds) == build
                updates.publish(build.model_copy(update={"state": BuildState.RUNNING}))
                assert (await anext(builds)).state is BuildState.RUNNING

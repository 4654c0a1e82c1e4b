"""Pages over real HTTP: what they say, what they survive, and what they never let through."""

from pathlib import Path

import httpx
import pytest
import trio

from repohub.reading import REMEMBERED_SECONDS
from repohub.tests.running import NOW_MS, FakeCi, FakeMaster, a_build, a_ci, a_repohub, a_status, until
from schema.builds import BuildState, CheckResult, Stage, StageName, StageState
from schema.origin import Origin
from schema.status import (
    Convergence,
    GenerationStatus,
    RolloutState,
    View,
    VmPhase,
    VmStatus,
    WorkerFacts,
    WorkerState,
    WorkerStatus,
)

HOSTILE = "<script>alert(1)</script>\x1b[31m\x1b]0;title\x07\u202e'\"&\x00"


def stages(*states: StageState) -> tuple[Stage, ...]:
    return tuple(
        Stage(
            name=name, state=state, started_at_ms=NOW_MS - 4000, duration_ms=1200 if state.value != "running" else None
        )
        for name, state in zip(StageName, states, strict=False)
    )


async def test_the_index_shows_each_repository_with_its_newest_build(tmp_path: Path) -> None:
    ci = FakeCi()
    ci.show(a_build(1, state=BuildState.FAILED, subject="The old one", created_at_ms=NOW_MS - 99_000))
    ci.show(a_build(2, state=BuildState.SUCCEEDED, subject="The new one"))
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        assert "No repositories yet" in (await hub.http.get("/")).text
        await hub.create()
        await hub.create("demo/another")
        page = (await hub.http.get("/")).text
        assert "The new one" in page
        assert "The old one" not in page
        assert "demo/another" in page
        assert "no builds yet" in page


async def test_a_repository_shows_its_builds_page_by_page_and_how_to_push(tmp_path: Path) -> None:
    ci = FakeCi()
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        await hub.create()
        assert f"git push {hub.url}/demo/example.git HEAD:main" in (await hub.http.get("/demo/example")).text
        for number in range(1, 31):
            ci.show(a_build(number, subject=f"Change number {number}.", state=BuildState.SUCCEEDED))
        first = await hub.page_with("/demo/example", "Change number 30.")
        assert "Change number 10." not in first
        assert "/demo/example?before=11" in first
        assert "Change number 10." in (await hub.http.get("/demo/example?before=11")).text
        for odd in ("before=-1", "before=x", "before=" + "9" * 99, "before="):
            assert (await hub.http.get(f"/demo/example?{odd}")).status_code == 200


async def test_a_build_shows_stages_with_times_checks_the_failure_and_the_log(tmp_path: Path) -> None:
    ci = FakeCi()
    failed = a_build(
        7,
        state=BuildState.FAILED,
        stages=stages(StageState.SUCCEEDED, StageState.SUCCEEDED, StageState.FAILED),
        checks=(CheckResult(name="topology", passed=True), CheckResult(name="lint", passed=False, detail="line 3")),
        error="build: web does not build",
        log_tail=("error: boom", "last line"),
        finished_at_ms=NOW_MS,
    )
    ci.show(failed, log="first line\nerror: boom\nlast line\n")
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        await hub.create()
        await hub.create("demo/another")
        page = (await hub.http.get("/demo/example/builds/7")).text
        for said in ("1.2 s", "topology", "lint", "line 3", "web does not build", "first line", "took 5.0 s"):
            assert said in page
        text = await hub.http.get("/demo/example/builds/7/log.txt")
        assert text.text == "first line\nerror: boom\nlast line\n"
        assert text.headers["content-type"].startswith("text/plain")
        for missing in ("/demo/another/builds/7", "/demo/example/builds/8", f"/demo/example/builds/{10**30}"):
            assert (await hub.http.get(missing)).status_code == 404


async def test_the_cluster_shows_word_reason_generation_vms_and_workers(tmp_path: Path) -> None:
    origin = Origin(repository="demo/example", branch="main")
    status = a_status(
        convergence=Convergence.FAILED,
        reason="generation 2 was rolled back: web-0 did not get healthy",
        origin=origin,
        generations=(
            GenerationStatus(
                number=2,
                commit="cd" * 20,
                origin=origin,
                intent_hash="0" * 64,
                published_at_ms=NOW_MS - 60_000,
                state=RolloutState.ROLLED_BACK,
                reason="web-0 did not get healthy",
            ),
        ),
        workers=(
            WorkerStatus(
                worker_id="worker-1", state=WorkerState.READY, facts=WorkerFacts(cpu=8, memory_mb=16384), cpu_used=3
            ),
        ),
        vms=(
            VmStatus(
                instance="web-0",
                vm="web",
                generation=2,
                content_hash="0" * 64,
                worker_id="worker-1",
                address="10.77.0.2",
                phase=VmPhase.UNHEALTHY,
                host_view=View.FAILING,
                reason="tcp 80: refused",
                phase_ms={"booting": 3200},
                drift=True,
            ),
            VmStatus(
                instance="db-0", vm="db", generation=2, content_hash="0" * 64, placement_reason="volume on worker-9"
            ),
        ),
    )
    master = FakeMaster(status)
    async with a_repohub(tmp_path, connect=master.connect) as hub:
        page = await hub.page_with("/cluster", "generation 2 was rolled back")
        for said in (
            "generation 2 was rolled back: web-0 did not get healthy",
            "rolled back",
            "10.77.0.2",
            "tcp 80: refused",
            "worker failing",
            "drift",
            "not placed",
            "volume on worker-9",
            "3 of 8",
            "booting 3.2 s",
            "0 of 2 VMs healthy",
        ):
            assert said in page, said


async def test_pages_go_on_while_ci_and_control_plane_are_away_and_say_so(tmp_path: Path) -> None:
    master = FakeMaster()
    async with a_repohub(tmp_path, connect=master.connect) as hub:
        await hub.create()
        await hub.page_with("/cluster", "every instance is healthy")
        assert "Builds cannot be shown now" in (await hub.http.get("/")).text
        assert "Builds cannot be shown now" in (await hub.http.get("/demo/example")).text
        assert (await hub.http.get("/demo/example/builds/1")).status_code == 503
        master.away = True
        master.pulse.beat()
        page = await hub.page_with("/cluster", "the control plane is away")
        assert "the control plane is away: connection lost" in page or "nobody listens" in page
        assert "every instance is healthy" in page
        assert "control plane away" in (await hub.http.get("/")).text
        master.away = False
        with trio.fail_after(60):
            while "control plane away" in (await hub.http.get("/")).text:  # noqa: ASYNC110 - a page is asked
                await trio.sleep(0.05)


async def test_what_strangers_wrote_is_shown_as_text_everywhere(tmp_path: Path) -> None:
    ci = FakeCi()
    build = a_build(
        3,
        ref=f"refs/heads/{HOSTILE}",
        commit=HOSTILE,
        subject=HOSTILE,
        author=HOSTILE,
        state=BuildState.FAILED,
        stages=(Stage(name=StageName.BUILD, state=StageState.FAILED, detail=HOSTILE),),
        checks=(CheckResult(name=HOSTILE, passed=False, detail=HOSTILE),),
        warnings=(HOSTILE,),
        error=HOSTILE,
        log_tail=(HOSTILE,),
    )
    ci.show(build, log=HOSTILE)
    origin = Origin(repository="demo/example", branch="main")
    vm = VmStatus(
        instance=HOSTILE,
        vm=HOSTILE,
        generation=1,
        content_hash="",
        worker_id=HOSTILE,
        address=HOSTILE,
        reason=HOSTILE,
        placement_reason=HOSTILE,
        ports=(HOSTILE,),
        phase_ms={HOSTILE: 5},
    )
    worker = WorkerStatus(
        worker_id=HOSTILE,
        state=WorkerState.LOST,
        subnet=HOSTILE,
        facts=WorkerFacts(cpu=0, memory_mb=0, hypervisor=HOSTILE),
    )
    generation = GenerationStatus(
        number=1,
        commit=HOSTILE,
        origin=origin,
        intent_hash="",
        published_at_ms=10**18,
        state=RolloutState.FAILED,
        reason=HOSTILE,
    )
    status = a_status(cluster=HOSTILE, reason=HOSTILE, vms=(vm,), workers=(worker,), generations=(generation,))
    master = FakeMaster(status)
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url, connect=master.connect) as hub:
        await hub.create()
        for path in ("/", "/demo/example", "/demo/example/builds/3", "/cluster"):
            page = await hub.page_with(path, "&lt;script&gt;alert(1)")
            assert "<script>alert" not in page, path
            assert not {"\x1b", "\x07", "\x00", "\u202e"} & set(page), path
        log = (await hub.http.get("/demo/example/builds/3/log.txt")).text
        assert not {"\x1b", "\x07", "\x00", "\u202e"} & set(log)


async def test_every_answer_forbids_foreign_scripts_frames_and_sniffing(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        for path in ("/", "/demo/example", "/cluster", "/nothing", "/static/style.css", "/api/repositories"):
            answer = await hub.http.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
        for path in ("/", "/demo/example", "/cluster"):
            page = (await hub.http.get(path)).text
            assert " style=" not in page
            assert " onclick=" not in page


async def test_odd_addresses_get_a_page_and_never_a_crash(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        await hub.create()
        for path in (
            "/nothing",
            "/a/b/c/d",
            "/demo/%00",
            "/demo/%ff%fe",
            "/demo/..%2f..",
            "/%2e%2e/%2e%2e",
            "/static/../app.py",
            "/static/%2e%2e/render.py",
            "/DEMO/example",
            "/demo/" + "a" * 3000,
            "/live/demo/none",
            "/live/nothing",
        ):
            assert (await hub.http.get(path)).status_code in {204, 404}, path
        moved = await hub.http.get("/demo/example.git")
        assert moved.headers["location"] == "/demo/example"
        assert (await hub.http.post("/demo/example", content=b"x")).status_code in {404, 405}
        assert (await hub.http.request("HEAD", "/")).status_code == 200


async def test_repositories_are_made_once_and_listed(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        made = await hub.create()
        assert made.status_code == 201
        assert made.json() == {
            "name": "demo/example",
            "defaultBranch": "main",
            "cloneUrl": f"{hub.url}/demo/example.git",
            "pageUrl": f"{hub.url}/demo/example",
        }
        again = await hub.create()
        assert (again.status_code, again.json()) == (200, made.json())
        assert (await hub.create(defaultBranch="trunk")).status_code == 409
        answers: list[httpx.Response] = []

        async def create_other() -> None:
            answers.append(await hub.create("demo/other"))

        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(create_other)
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
        listed = (await hub.http.get("/api/repositories")).json()["repositories"]
        assert [repository["name"] for repository in listed] == ["demo/example", "demo/other"]
        assert not list((hub.state / "repositories").glob(".new-*"))


@pytest.mark.parametrize(
    "name",
    [
        *("", "x", "a/b/c", "../x", "a/..", "-a/b", "a/-b", "a/.b", "a/b.git", "a/b.lock", "A/b", "a/b\n", "a b/c"),
        *("a/b\0", "api/x", "static/x", "a/" + "b" * 64, "a/b;c", "a/$x", "ü/x", "a/%2e%2e", "a..b/c", "a/b."),
    ],
)
async def test_a_hostile_name_makes_no_repository(tmp_path: Path, name: str) -> None:
    async with a_repohub(tmp_path) as hub:
        answer = await hub.create(name)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "invalid-input"
        assert list((hub.state / "repositories").iterdir()) == []


@pytest.mark.parametrize("branch", ["", "-x", "a..b", "a/.b", "a.lock", "/a", "a/", "x y", "a//b", "ü"])
async def test_a_hostile_default_branch_makes_no_repository(tmp_path: Path, branch: str) -> None:
    async with a_repohub(tmp_path) as hub:
        assert (await hub.create(defaultBranch=branch)).status_code == 400


async def test_a_body_that_is_no_request_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with a_repohub(tmp_path) as hub:
        for body in (b"", b"[]", b"{", b'{"name": 5}', b'{"name": "a/b", "extra": 1}', b"\xff"):
            answer = await hub.http.post(
                "/api/repositories", content=body, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 400, body
        big = await hub.http.post(
            "/api/repositories", content=b" " * 70_000, headers={"content-type": "application/json"}
        )
        assert big.status_code == 413


async def test_a_live_log_comes_piece_by_piece_and_goes_on_from_where_it_was(tmp_path: Path) -> None:
    ci = FakeCi()
    ci.show(a_build(5, stages=stages(StageState.RUNNING)), log="one\n")
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        await hub.create()
        page = (await hub.http.get("/demo/example/builds/5")).text
        assert 'data-live="/live/demo/example/builds/5?log=4"' in page
        log, build = "", ""
        async with hub.live("/live/demo/example/builds/5?log=4") as events:
            ci.show(ci.builds[5], log="one\ntwo \x1b[1mbold\x1b[0m\n")
            with trio.fail_after(60):
                async for event in events:
                    log += event.get("text", "")
                    build = event["html"] if event.get("id") == "part-build" else build
                    if log == "two bold\n" and ci.builds[5].state is BuildState.RUNNING:
                        ci.show(a_build(5, state=BuildState.SUCCEEDED), log=ci.logs[5] + "three\n")
                    if "three" in log and "succeeded" in build:
                        break
        assert log == "two bold\nthree\n"
        async with hub.live("/live/demo/example/builds/5?log=999", last_event_id="4") as events:
            with trio.fail_after(60):
                async for event in events:
                    if event["event"] == "log":
                        assert event["text"] == "two bold\nthree\n"
                        break


async def test_live_pages_are_limited_in_number_and_free_their_place(tmp_path: Path) -> None:
    async with a_repohub(tmp_path, max_streams=2) as hub:
        async with hub.http.stream("GET", "/live/index") as first, hub.http.stream("GET", "/live/cluster") as second:
            assert (first.status_code, second.status_code) == (200, 200)
            assert (await hub.http.get("/live/index")).status_code == 503
        with trio.fail_after(60):
            while True:
                async with hub.http.stream("GET", "/live/index") as again:
                    if again.status_code == 200:
                        break
                await trio.sleep(0.1)


async def test_one_answer_of_ci_serves_many_viewers(tmp_path: Path) -> None:
    ci = FakeCi()
    ci.show(a_build(1, state=BuildState.SUCCEEDED))
    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        await hub.create()
        await until(lambda: ci.watched)
        await trio.sleep(0.3)
        before, began = ci.reads, trio.current_time()
        for _ in range(20):
            assert (await hub.http.get("/demo/example")).status_code == 200
        assert ci.reads - before <= 2 + (trio.current_time() - began) // REMEMBERED_SECONDS

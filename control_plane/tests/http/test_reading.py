"""What is read over HTTP from the real program: pages, one of each, differences, tags, problems, figures."""

from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from control_plane.tests.http.reading import a_cluster, an_empty_cluster, by
from schema.generation_diff import Effect, GenerationDiff
from schema.operations import AuditVerdict, Explanation, GenerationContent, RolloutStatus
from schema.status import ClusterStatus, RolloutState, VmStatus, WorkerStatus


async def everything(client: httpx.AsyncClient, path: str, **query: str | int) -> list[dict[str, object]]:
    """All items of a list, by its pages."""
    found: list[dict[str, object]] = []
    page = None
    while True:
        if page is not None:
            query["page"] = page
        answer = await client.get(path, params=query, headers=by("admin"))
        assert answer.status_code == 200, answer.text
        found.extend(answer.json()["items"])
        page = answer.json()["next"]
        if page is None:
            return found


async def test_the_cluster_is_read_whole_in_pages_and_one_by_one(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as client:
        status = ClusterStatus.model_validate((await client.get("/v1/status")).json())
        for limit in (1, 2, 100):
            vms = await everything(client, "/v1/vms", limit=limit)
            assert [vm["instance"] for vm in vms] == ["db-0", "web-0", "web-1", "web-2", "web-3"]
            assert [one["number"] for one in await everything(client, "/v1/generations", limit=limit)] == [2, 1]
            assert [one["generation"] for one in await everything(client, "/v1/rollouts", limit=limit)] == [2, 1]
        assert [
            vm["instance"] for vm in await everything(client, "/v1/vms", vm="web", healthy="true", worker="w0")
        ] == [
            *("web-0", "web-1", "web-2", "web-3"),
        ]
        assert await everything(client, "/v1/vms", drift="true") == []
        assert [one["workerId"] for one in await everything(client, "/v1/workers", state="ready")] == ["w0"]
        assert await everything(client, "/v1/workers", state="lost") == []
        assert await everything(client, "/v1/holds") == []
        vm = VmStatus.model_validate((await client.get("/v1/vms/web-3")).json())
        assert vm.content_hash == {one.instance: one for one in status.vms}["web-3"].content_hash
        assert WorkerStatus.model_validate((await client.get("/v1/workers/w0")).json()).vms == 5
        explained = Explanation.model_validate((await client.get("/v1/vms/web-3/explain")).json())
        assert explained.worker_id == "w0"
        assert explained.reasons
        await the_generations(client)
        await tags(client)
        await figures(client)
        await the_audit(client)


async def the_generations(client: httpx.AsyncClient) -> None:
    one = GenerationContent.model_validate((await client.get("/v1/generations/1")).json())
    assert (one.status.number, set(one.specs)) == (1, {"web", "db"})
    diff = GenerationDiff.model_validate((await client.get("/v1/generations/1/diff/2")).json())
    assert [(change.vm, change.effect) for change in diff.changed] == [("web", Effect.CONTENT)]
    assert (diff.added, diff.removed, diff.unchanged) == ((), (), 1)
    rollout = RolloutStatus.model_validate((await client.get("/v1/rollouts/1")).json())
    assert (rollout.generation, rollout.state) == (1, RolloutState.SUCCEEDED)
    for path in ("/v1/generations/7", "/v1/generations/1/diff/7", "/v1/rollouts/7", "/v1/vms/no-7", "/v1/workers/no"):
        assert (await client.get(path)).status_code == 404


async def tags(client: httpx.AsyncClient) -> None:
    first = await client.get("/v1/generations/1")
    again = await client.get("/v1/generations/1", headers={"if-none-match": f'"x", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert (await client.get("/v1/generations/2", headers={"if-none-match": first.headers["etag"]})).status_code == 200
    head = await client.head("/v1/generations/1")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", first.headers["etag"])
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["vary"] == "authorization, accept"


async def figures(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert found["procurator_generation",] == 2
    assert found["procurator_rollout_state", ("state", "succeeded")] == 1
    assert found["procurator_rollout_state", ("state", "running")] == 0
    assert found["procurator_convergence", ("state", "converged")] == 1
    assert found["procurator_workers", ("state", "ready")] == 1
    assert found["procurator_workers_connected",] == 1
    assert found["procurator_vms", ("phase", "healthy")] == 5
    assert found["procurator_vms_healthy",] == 5
    assert found["procurator_vms_unplaced",] == 0
    assert found["procurator_commit_duration_seconds_count",] >= 4
    assert found["procurator_commit_requests_total",] >= found["procurator_commit_duration_seconds_count",]
    assert found["procurator_rpc_calls_total", ("role", "worker")] > 0
    assert found["procurator_http_requests_total", ("code", "404"), ("route", "vm")] == 1
    assert found["procurator_generation_published_timestamp_seconds",] > 1_600_000_000
    assert "process_resident_memory_bytes" in answer.text
    openmetrics = await client.get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert openmetrics.text.endswith("# EOF\n")


async def the_audit(client: httpx.AsyncClient) -> None:
    head = (await client.get("/v1/audit", headers=by("admin"))).json()["head"]
    cases = {
        f"{head['rows']}:{head['hash']}": True,
        f"{head['rows']}:{'0' * 64}": head["rows"] == 0,
        f"1000000:{head['hash']}": False,
    }
    for witness, holds in cases.items():
        answer = await client.get("/v1/audit/verdict", params={"witness": witness}, headers=by("admin"))
        assert AuditVerdict.model_validate(answer.json()).holds is holds, answer.text


async def test_problems_name_the_input_the_reason_and_the_way_out(tmp_path: Path) -> None:
    cases = {
        "/v1/vms?limit=0": (400, "query.limit", "greater than or equal to 1"),
        "/v1/vms?limit=1.0": (400, "query.limit", "digits"),
        "/v1/vms?limit=1&limit=2": (400, "query.limit", "more than once"),
        "/v1/vms?phase=dancing": (400, "query.phase", "'waiting', 'pulling'"),
        "/v1/vms?healthy=1": (400, "query.healthy", "true or false"),
        "/v1/vms?colour=red": (400, "query.colour", "no such parameter"),
        "/v1/vms?page=xx": (400, "query.page", "not a token"),
        "/v1/vms/..%2f..": (404, "", "there is no"),
        "/v1/vms/Not_A_Name": (400, "path.instance", "match pattern"),
        "/v1/generations/0": (400, "path.number", "greater than or equal to 1"),
        "/v1/events?cursor=x": (400, "query.cursor", "match pattern"),
        "/v1/nothing": (404, "", "/v1/nothing"),
        "/v1/vms/": (404, "", "there is no"),
        "/healthz?x=1": (400, "query.x", "no such parameter"),
    }
    async with an_empty_cluster(tmp_path) as client:
        for path, (status, about, said) in cases.items():
            answer = await client.get(path)
            assert answer.status_code == status, (path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert problem["status"] == status
            assert problem["input"] == about, path
            assert said in problem["detail"], (path, problem)
            assert problem["wayOut"]
        for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
            answer = await client.request(method, "/v1/vms")
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_an_empty_cluster_is_read_too(tmp_path: Path) -> None:
    async with an_empty_cluster(tmp_path) as client:
        assert (await client.get("/healthz")).text == "ok\n"
        assert (await client.get("/readyz")).text == "ready\n"
        for path in ("/v1/vms", "/v1/workers", "/v1/generations", "/v1/rollouts", "/v1/holds", "/v1/admissions"):
            assert await everything(client, path) == []
        assert "procurator_generation 0.0" in (await client.get("/metrics")).text

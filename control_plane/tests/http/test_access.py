"""Who may read what: every route for every role, deny by default, and browsers that were tricked."""

from pathlib import Path

import httpx
import pytest

from control_plane.http.access import Policy, anonymous_role, bearer, check_host
from control_plane.http.problems import Refused
from control_plane.http.routes import ROUTES, Route
from control_plane.tests.http.reading import ROLES, an_empty_cluster, by
from schema.interfaces import Role

VIEWER, PUBLISHER, OPERATOR, ADMIN = ROLES
READERS = frozenset({VIEWER, OPERATOR, ADMIN})
FOLLOWERS = READERS | {PUBLISHER}
ANYBODY = None

MATRIX: dict[str, frozenset[Role] | None] = {
    "/healthz": ANYBODY,
    "/readyz": ANYBODY,
    "/v1/openapi.json": ANYBODY,
    "/metrics": FOLLOWERS,
    "/v1/status": FOLLOWERS,
    "/v1/vms": FOLLOWERS,
    "/v1/vms/{instance}": FOLLOWERS,
    "/v1/vms/{instance}/explain": READERS,
    "/v1/workers": FOLLOWERS,
    "/v1/workers/{worker}": FOLLOWERS,
    "/v1/admissions": READERS,
    "/v1/generations": FOLLOWERS,
    "/v1/generations/{number}": FOLLOWERS,
    "/v1/generations/{old}/diff/{new}": FOLLOWERS,
    "/v1/rollouts": FOLLOWERS,
    "/v1/rollouts/{number}": FOLLOWERS,
    "/v1/holds": READERS,
    "/v1/events": FOLLOWERS,
    "/v1/audit": frozenset({ADMIN}),
    "/v1/audit/verdict": frozenset({ADMIN}),
}
"""Written down a second time on purpose: a route that is added or widened must be added or widened here too."""


def a_path(route: Route) -> str:
    return route.path.format(instance="web-0", worker="w0", number=1, old=1, new=2)


def is_allowed(response: httpx.Response) -> bool:
    assert response.status_code not in (401, 403) or response.headers["content-type"] == "application/problem+json"
    return response.status_code not in (401, 403)


def test_every_route_is_in_the_matrix() -> None:
    assert {route.path: route.roles for route in ROUTES} == MATRIX


async def test_every_route_is_for_its_roles_and_for_nobody_else(tmp_path: Path) -> None:
    async with an_empty_cluster(tmp_path, http={"anonymous": "none"}) as client:
        for route in ROUTES:
            for role in ROLES:
                answer = await client.get(a_path(route), headers=by(role))
                expected = MATRIX[route.path] is None or role in (MATRIX[route.path] or ())
                assert is_allowed(answer) is expected, (route.path, role, answer.text)
                assert expected or answer.status_code == 403
            for credential in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic YTpi"}):
                answer = await client.get(a_path(route), headers=credential)
                assert is_allowed(answer) is (MATRIX[route.path] is None), (route.path, credential)
                if answer.status_code == 401:
                    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_programs_on_this_machine_read_as_viewers_without_a_token(tmp_path: Path) -> None:
    async with an_empty_cluster(tmp_path) as client:
        for route in ROUTES:
            answer = await client.get(a_path(route))
            roles = MATRIX[route.path]
            assert is_allowed(answer) is (roles is None or VIEWER in roles), route.path
            if roles is not None:
                proxied = await client.get(a_path(route), headers={"x-forwarded-for": "203.0.113.9"})
                assert proxied.status_code == 401, route.path


async def test_what_was_refused_is_in_the_audit_and_no_token_is(tmp_path: Path) -> None:
    async with an_empty_cluster(tmp_path) as client:
        await client.get("/v1/audit", headers=by("viewer"))
        await client.get("/v1/status", headers={"authorization": "Bearer swordfish"})
        page = (await client.get("/v1/audit", headers=by("admin"))).json()
        told = {(row["actor"], row["action"], row["result"].partition(":")[0]) for row in page["items"]}
        assert told >= {
            ("token:viewer", "GET /v1/audit", "permission-denied"),
            ("anonymous", "GET /v1/status", "unauthenticated"),
        }
        assert "swordfish" not in str(page)
        assert page["head"]["rows"] == page["items"][0]["sequence"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7401", "localhost", "LOCALHOST:7401", "[::1]:7401", "10.0.0.5", "cp.example"]
)
def test_hosts_that_no_stranger_can_own_are_served(host: str) -> None:
    check_host({"host": host}, Policy(hosts=frozenset({"cp.example"})))


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example", "localhost:x", "cp.example:", "[::1", "127.0.0.1:7401@evil"]
)
def test_other_hosts_are_not_served(host: str) -> None:
    with pytest.raises(Refused) as refused:
        check_host({"host": host}, Policy(hosts=frozenset({"other.example"})))
    assert refused.value.problem.status == 421


async def test_a_rebound_name_and_a_page_of_another_site_get_nothing(tmp_path: Path) -> None:
    async with an_empty_cluster(tmp_path) as client:
        for route in ROUTES:
            answer = await client.get(a_path(route), headers={"host": "evil.example", **by("admin")})
            assert answer.status_code == 421
            crossing = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "origin": "https://evil.example"}
            answer = await client.get(a_path(route), headers=crossing)
            assert answer.status_code == 403
        answer = await client.get("/v1/status", headers={"origin": "https://evil.example"})
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert (await client.options("/v1/status")).status_code == 405


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer ", "token x", ""])
def test_only_bearer_tokens_are_taken(header: str) -> None:
    with pytest.raises(Refused):
        bearer({"authorization": header})


def test_a_token_is_taken_as_it_is() -> None:
    assert bearer({"authorization": "bearer a.b:c"}) == "a.b:c"
    assert bearer({}) is None


def test_nobody_is_anonymous_from_elsewhere_or_through_a_proxy() -> None:
    assert anonymous_role("127.0.0.1", {}, Policy()) is Role.VIEWER
    assert anonymous_role("::1", {}, Policy()) is Role.VIEWER
    assert anonymous_role("192.0.2.1", {}, Policy()) is None
    assert anonymous_role("", {}, Policy()) is None
    assert anonymous_role("127.0.0.1", {"via": "1.1 proxy"}, Policy()) is None
    assert anonymous_role("127.0.0.1", {}, Policy(anonymous=None)) is None

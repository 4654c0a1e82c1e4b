"""The OpenAPI document is what is served: schemathesis asks for all of it, with right and wrong parameters."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import trio
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from control_plane.http.openapi import document
from control_plane.http.routes import ROUTES
from control_plane.tests.http.reading import a_cluster, by

EXAMPLES = 12
"""For each operation, once with right and once with wrong parameters: some 15 s in all."""


def fuzz(base: str, schema: Any) -> int:
    """Ask every operation; how many requests that were. Raises what does not conform."""
    count = 0

    def ask(case: Any) -> None:
        nonlocal count
        count += 1
        if case.meta and case.meta.generation.mode is GenerationMode.POSITIVE:
            case.query.pop("page", None)  # only tokens that were handed out are right
        case.call_and_validate(base_url=base, headers=by("admin"), timeout=60)

    for result in schema.get_all_operations():
        operation = result.ok()
        can_be_wrong = any(operation.definition.raw["parameters"])
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)[: 1 + can_be_wrong]:
            test = given(case=operation.as_strategy(generation_mode=mode))(ask)
            settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(test)()
    return count


async def test_what_is_served_is_what_the_document_says(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as client:
        found = (await client.get("/v1/openapi.json")).json()
        assert found["paths"].keys() == {route.path for route in ROUTES}
        schema = schemathesis.openapi.from_dict(found)
        asked = await trio.to_thread.run_sync(partial(fuzz, str(client.base_url).rstrip("/"), schema))
        assert asked > len(ROUTES)
        assert (await client.get("/v1/status")).status_code == 200


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_is_described_with_its_parameters_and_problems(route: Any) -> None:
    operation = document("1")["paths"][route.path]["get"]
    named = {(one["in"], one["name"]) for one in operation["parameters"]}
    assert {name for where, name in named if where == "path"} == set(route.of.model_fields)
    assert {name for where, name in named if where == "query"} == set(route.query.model_fields)
    assert {"200", "400", "405", "421"} <= set(operation["responses"])
    assert ("security" in operation) is (route.rights is not None)


def test_the_document_is_json_and_refers_to_nothing_that_is_missing() -> None:
    text = json.dumps(document("1"))
    known = {f"#/components/schemas/{name}" for name in document("1")["components"]["schemas"]}
    used = {part.partition('"')[0] for part in text.split('"$ref": "')[1:]}
    assert used <= known
    assert document("1")["openapi"] == "3.1.0"

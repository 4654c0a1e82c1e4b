"""The difference of two generations, field by field."""

import pytest

from schema.errors import InvalidInput
from schema.generation_diff import Effect, FieldChange, generation_diff
from schema.operations import GenerationContent
from schema.origin import Origin
from schema.status import GenerationStatus, RolloutState


def content(
    number: int, specs: dict[str, str], *, hashes: dict[str, str] | None = None, rollout: str = "{}"
) -> GenerationContent:
    status = GenerationStatus(
        number=number,
        commit="0" * 40,
        origin=Origin(repository="demo/example", branch="main"),
        intent_hash="0" * 64,
        published_at_ms=0,
        state=RolloutState.SUCCEEDED,
    )
    return GenerationContent(status=status, specs=specs, content=hashes or {}, rollout=rollout)


def test_what_came_and_what_went_is_told_by_name() -> None:
    found = generation_diff(content(4, {"web": "{}", "old": "{}"}), content(6, {"web": "{}", "b": "{}", "a": "{}"}))
    assert (found.old, found.new) == (4, 6)
    assert (found.added, found.removed, found.changed, found.unchanged) == (("a", "b"), ("old",), (), 1)


def test_a_change_of_live_fields_is_told_apart_from_one_that_boots_anew() -> None:
    old = content(1, {"web": '{"cpu":1}', "db": '{"labels":{}}'}, hashes={"web": "1", "db": "1"})
    new = content(2, {"web": '{"cpu":2}', "db": '{"labels":{"tier":"data"}}'}, hashes={"web": "2", "db": "1"})
    db, web = generation_diff(old, new).changed
    assert (db.vm, db.effect, db.fields) == ("db", Effect.LIVE, (FieldChange(field="labels.tier", new='"data"'),))
    assert (web.vm, web.effect, web.fields) == ("web", Effect.CONTENT, (FieldChange(field="cpu", old="1", new="2"),))


def test_nested_fields_are_named_by_their_path_and_lists_compared_whole() -> None:
    old = content(1, {"web": '{"health":{"failures":3,"checks":[{"port":80}]},"same":{"x":1}}'})
    new = content(2, {"web": '{"health":{"failures":4,"checks":[{"port":81}]},"same":{"x":1}}'})
    fields = generation_diff(old, new).changed[0].fields
    assert fields == (
        FieldChange(field="health.checks", old='[{"port":80}]', new='[{"port":81}]'),
        FieldChange(field="health.failures", old="3", new="4"),
    )


def test_the_rollout_policy_is_compared_too() -> None:
    found = generation_diff(content(1, {}, rollout='{"maxParallel":1}'), content(2, {}, rollout='{"maxParallel":4}'))
    assert found.rollout == (FieldChange(field="maxParallel", old="1", new="4"),)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(InvalidInput, match="web: not JSON"):
        generation_diff(content(1, {"web": "{"}), content(2, {"web": "{}"}))

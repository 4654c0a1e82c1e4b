"""mkCluster, the pydantic models and the JSON Schema agree about every option of a blueprint, one by one."""

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from nix import reference
from nix.tests import forms
from nix.tests.test_library import RIGHT, problems
from schema.blueprint import Blueprint
from schema.json_schema import blueprint_schema

SCHEMA = blueprint_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


async def cluster_form() -> dict[str, Any]:
    form: dict[str, Any] = (await reference.declared())["cluster"]
    return form


def document(cluster: Mapping[str, Any]) -> dict[str, Any]:
    return {**cluster, "schemaVersion": 1}


def is_blueprint(cluster: Mapping[str, Any]) -> bool:
    try:
        Blueprint.model_validate(document(cluster))
    except ValidationError:
        return False
    return True


async def test_every_option_written_wrongly_is_named_with_its_value_and_refused_by_all_sides(tmp_path: Path) -> None:
    wrong = list(forms.mistakes(await cluster_form()))
    assert len(wrong) > 350
    found = await problems(tmp_path, *(mistake.cluster for mistake in wrong))
    for mistake, messages in zip(wrong, found, strict=True):
        named = [message for message in messages if message.startswith(f"{mistake.path}: ")]
        assert named, (mistake, messages)
        if not isinstance(mistake.value, dict | list):
            assert json.dumps(mistake.value) in named[0] or "no such option" in named[0], (mistake, named)
        assert not VALIDATOR.is_valid(document(mistake.cluster)), mistake
        # pydantic reads "1" as a number where one is wanted; nothing that nix checked contains such a thing.
        assert mistake.is_type or not is_blueprint(mistake.cluster), mistake


async def test_what_mkcluster_takes_the_models_and_the_schema_take_too(tmp_path: Path) -> None:
    form, choice = await cluster_form(), random.Random(5)  # noqa: S311 - the same clusters each time
    clusters = [*RIGHT, *(forms.some_cluster(form, choice) for _ in range(300))]
    found = await problems(tmp_path, *clusters)
    right = [cluster for cluster, messages in zip(clusters, found, strict=True) if not messages]
    assert len(right) > len(RIGHT) + 30
    for cluster in right:
        VALIDATOR.validate(document(cluster))
        Blueprint.model_validate(document(cluster))
    refused = [cluster for cluster in clusters if not is_blueprint(cluster)]
    assert len(refused) > 30
    assert not [cluster for cluster in refused if cluster in right]


async def test_the_declarations_and_the_schema_say_the_same_of_every_option() -> None:
    assert list(differences(await cluster_form(), SCHEMA, "")) == []


@pytest.mark.parametrize("key", ["vms", "machines"])
def test_names_that_are_no_labels_are_refused_by_the_schema(key: str) -> None:
    assert not VALIDATOR.is_valid({"schemaVersion": 1, "cluster": "c", "vms": {}, key: {"A B": {}}})


def test_the_golden_blueprint_is_as_the_schema_says() -> None:
    VALIDATOR.validate(json.loads((Path(__file__).parents[2] / "example/blueprint.json").read_text()))


def differences(form: forms.Form, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """What the two say differently, below `path`."""
    schema = resolved(schema)
    match form["kind"]:
        case "record":
            known = set(form["options"]) - forms.OF_NIX_ALONE
            if known | ({"schemaVersion"} if not path else set()) != set(schema["properties"]):
                yield f"{path}: {sorted(known ^ set(schema['properties']))}"
            for name in known:
                yield from option_differences(form["options"][name], schema, f"{path}.{name}")
        case "map":
            of = schema.get("additionalProperties") or next(iter(schema["patternProperties"].values()))
            yield from differences(form["of"], of, f"{path}.<name>")
            if ("pattern" in form["name"]) != ("patternProperties" in schema):
                yield f"{path}: names have a form on one side only"
        case "list":
            yield from differences(form["of"], schema["items"], f"{path}.*")
        case _ if not is_same(form, schema):
            yield f"{path}: {form} is not {schema}"


def is_same(form: forms.Form, schema: Mapping[str, Any]) -> bool:
    match form["kind"]:
        case "int":
            limits = (schema.get("minimum"), schema.get("maximum"))
            return schema["type"] == "integer" and limits == (form["low"], form["high"])
        case "choice":
            return sorted(form["values"]) == sorted(schema["enum"])
        case "text":
            return schema["type"] == "string" and ("pattern" in form) == ("pattern" in schema)
        case kind:
            return (kind, schema["type"]) == ("bool", "boolean")


def option_differences(option: forms.Form, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    name = path.rpartition(".")[2]
    there = schema["properties"][name]
    # `system` is needed in a blueprint, and mkCluster knows it from the VM's name.
    if name != "system":
        if option["required"] != (name in schema.get("required", ())):
            yield f"{path}: needed on one side only"
        if not option["required"] and option["default"] != without_defaults(there):
            yield f"{path}: {option['default']!r} is the default here, {there.get('default')!r} there"
    yield from differences(option["form"], there, path)


def without_defaults(schema: Mapping[str, Any]) -> Any:
    """A default as one writes it: an option inside of it that has its own default is left out."""
    inside = resolved(schema).get("properties")
    default = schema["default"]
    return {} if inside and default == {name: one["default"] for name, one in inside.items()} else default


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where a reference leads, and of an option that may be null what it is otherwise."""
    if "$ref" in schema:
        return resolved(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return resolved(next(one for one in schema["anyOf"] if one.get("type") != "null"))
    return schema

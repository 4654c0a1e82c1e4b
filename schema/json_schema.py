"""Blueprint v1 as a JSON Schema, made from the pydantic models; rules between options are not part of it."""

from collections.abc import Mapping
from typing import Any

from schema.blueprint import Blueprint

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DESCRIPTION = (
    "The desired cluster as `nix eval --json .#blueprintJSON` yields it. What is left out has its default."
    " What must hold between options (names that exist, one replica with volumes, …) is checked beside this."
)


def blueprint_schema(descriptions: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The schema of the document. `descriptions` are texts by option (`vms.<name>.cpu`), for editors to show."""
    schema: dict[str, Any] = _tidy(Blueprint.model_json_schema(by_alias=True))
    if descriptions:
        _describe(schema, schema, "", descriptions)
    return {"$schema": DIALECT, "title": "Procurator blueprint, version 1", "description": DESCRIPTION} | schema


def _tidy(part: Any) -> Any:
    """Without pydantic's titles and docstrings, and with names that do not match their pattern refused."""
    if isinstance(part, list):
        return [_tidy(one) for one in part]
    if not isinstance(part, dict):
        return part
    # Below these keys stand names of options and definitions, which may be called `title` themselves.
    kept = {
        key: {name: _tidy(inner) for name, inner in value.items()} if key in {"properties", "$defs"} else _tidy(value)
        for key, value in part.items()
        if key not in {"title", "description"}
    }
    if "patternProperties" in kept:
        kept.setdefault("additionalProperties", False)
    return kept


def _describe(root: dict[str, Any], part: dict[str, Any], path: str, texts: Mapping[str, str]) -> None:
    """Put each option's text beside its type. A definition that several options share gets the first one's texts."""
    if "$ref" in part:
        _describe(root, root["$defs"][part["$ref"].rpartition("/")[2]], path, texts)
    for name, inner in part.get("properties", {}).items():
        option = f"{path}.{name}" if path else name
        if option in texts:
            inner.setdefault("description", texts[option])
        _describe(root, inner, option, texts)
    for inner in part.get("patternProperties", {}).values():
        _describe(root, inner, f"{path}.<name>", texts)
    for inner in [part["items"]] if isinstance(part.get("items"), dict) else []:
        _describe(root, inner, f"{path}.*", texts)

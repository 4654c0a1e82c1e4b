"""The OpenAPI 3.1 document of the routes, made from their models; it serves nothing."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from control_plane.http.problems import KINDS, MEDIA_TYPE, Problem
from control_plane.http.routes import JSON, ROUTES, STREAM, TEXT, Route

REF = "#/components/schemas/{model}"
ALWAYS = (400, 405, 413, 421, 500, 504)
GUARDED = (401, 403, 503)


def document(version: str) -> dict[str, Any]:
    """The whole document; `version` is the program's."""
    models: list[type[BaseModel]] = [Problem, *(one.answer for one in ROUTES if one.answer and one.name != "openapi")]
    _, definitions = models_json_schema([(model, "serialization") for model in models], ref_template=REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Procurator control plane",
            "version": version,
            "description": "Everything here is read only. Lists are paged: pass `next` of a page as `page`.",
        },
        "paths": {route.path: {"get": _operation(route)} for route in ROUTES},
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*_parameters(route.of, "path"), *_parameters(route.query, "query")],
        "responses": {"200": _answer(route), **_problems(route)},
    }
    if route.streams:
        about = "The id of the last event that was received: the stream goes on behind it."
        operation["parameters"].append(
            {"name": "Last-Event-ID", "in": "header", "description": about, "schema": {"type": "string"}}
        )
    if route.roles is not None:
        roles = ", ".join(sorted(route.roles))
        operation["security"] = [{"token": []}, {}]
        operation["description"] = f"For the roles {roles}. From this machine without a token: see `[http] anonymous`."
    return operation


def _parameters(model: type[BaseModel], where: str) -> list[dict[str, Any]]:
    schema = model.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
    definitions = schema.get("$defs", {})
    return [
        {
            "name": name,
            "in": where,
            "required": where == "path",
            **({"description": field["description"]} if "description" in field else {}),
            "schema": _plain(field, definitions),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _plain(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema: absent is how it says null, and what it refers to stands in its place."""
    choices = [one for one in field.get("anyOf", [field]) if one.get("type") != "null"]
    found = {name: value for name, value in choices[0].items() if name not in ("title", "description")}
    if reference := found.pop("$ref", None):
        found |= {name: value for name, value in definitions[reference.rpartition("/")[2]].items() if name != "title"}
    return found


def _answer(route: Route) -> dict[str, Any]:
    if route.answer is None:
        return {"description": "Text.", "content": {TEXT: {"schema": {"type": "string"}}}}
    if route.name == "openapi":
        return {"description": "This document.", "content": {JSON: {"schema": {"type": "object"}}}}
    schema = {"$ref": REF.format(model=route.answer.__name__)}
    content: dict[str, Any] = {JSON: {"schema": schema}}
    if route.streams:
        content[STREAM] = {"schema": {"type": "string"}}
    return {"description": (route.answer.__doc__ or "").strip().partition("\n")[0], "content": content}


def _problems(route: Route) -> dict[str, Any]:
    titles: dict[int, str] = {}
    for status, title, _ in KINDS.values():
        titles.setdefault(status, title)
    expected = {*ALWAYS, *(GUARDED if route.roles is not None else (503,))}
    if route.of.model_fields:
        expected.add(404)
    if route.answer is not None:
        expected.add(501)
    content = {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}}
    return {str(status): {"description": titles[status], "content": content} for status in sorted(expected)}

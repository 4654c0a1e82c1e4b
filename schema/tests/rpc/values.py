"""Hypothesis strategies and filled examples for the models of the wire, made from models and wire schema."""

import types
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Union, get_args, get_origin

import annotated_types
from hypothesis import strategies as st
from pydantic import BaseModel, StringConstraints, ValidationError

from schema.blueprint import Egress, EgressMode, HealthCheck, LabelExpression, Wave
from schema.codec.fields import Struct, wire_name
from schema.vmspec import VmSpec

WIRE_MAX = {"uint8": 2**8 - 1, "uint16": 2**16 - 1, "uint32": 2**32 - 1, "uint64": 2**64 - 1}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def values(struct: Struct[Any]) -> st.SearchStrategy[Any]:
    """Values of a table's model that the wire can carry."""
    return model_values(struct.model, struct.wire.schema)


def model_values(model: type[BaseModel], wire: Any) -> st.SearchStrategy[Any]:
    fields = {}
    for name, info in model.model_fields.items():
        annotated = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        fields[name] = of_type(annotated, wire.fields[wire_name(name)].proto.slot.type, wire, wire_name(name))
    return st.fixed_dictionaries(fields).map(lambda plain: fitted(model, plain)).filter(lambda value: value is not None)


def fitted(model: type[BaseModel], plain: dict[str, Any]) -> BaseModel | None:
    """A value of the model that keeps as much of `plain` as the model's rules between fields allow."""
    if model is Egress and plain["mode"] is not EgressMode.ALLOW:
        plain["domains"] = ()
    if model is LabelExpression:
        plain["values"] = () if plain["operator"] == "exists" else plain["values"] or ("x",)
    if model is HealthCheck:
        kind = plain["type"]
        plain["port"] = plain["port"] or 1 if kind in ("tcp", "http") else plain["port"]
        plain["path"] = plain["path"] if kind == "http" else None
        plain["command"] = (plain["command"] or ()) if kind == "command" else None
    if model is Wave:
        plain["percent"] = None if plain["selector"] is not None else plain["percent"] or 1
    if model is VmSpec and (plain["singleton"] or plain["volumes"]):
        plain["replicas"] = min(plain["replicas"], 1)
    try:
        return model.model_validate(plain)
    except ValidationError:
        return None


def of_type(annotation: Any, wire: Any, parent: Any, name: str) -> st.SearchStrategy[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        return constrained(inner, metadata, wire, parent, name)
    if origin in (Union, types.UnionType):
        (inner,) = (arg for arg in get_args(annotation) if arg is not type(None))
        return st.none() | of_type(inner, wire, parent, name)
    if origin is tuple:
        element = wire.list.elementType
        return st.lists(of_type(get_args(annotation)[0], element, parent, name), max_size=3).map(tuple)
    if origin is dict:
        key, value = get_args(annotation)
        entry = parent.fields[name].schema.elementType
        fields = entry.fields
        return st.dictionaries(
            of_type(key, fields["key"].proto.slot.type, entry, "key"),
            of_type(value, fields["value"].proto.slot.type, entry, "value"),
            max_size=3,
        )
    return of_class(annotation, wire, parent, name)


def of_class(annotation: Any, wire: Any, parent: Any, name: str) -> st.SearchStrategy[Any]:
    if issubclass(annotation, StrEnum):
        return st.sampled_from(annotation)
    if issubclass(annotation, BaseModel):
        schema = parent.fields[name].schema
        return model_values(annotation, getattr(schema, "elementType", schema))
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return st.integers(0, WIRE_MAX[str(wire.which())])
    if annotation is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    return TEXT


def constrained(inner: Any, metadata: list[Any], wire: Any, parent: Any, name: str) -> st.SearchStrategy[Any]:
    if inner is int:
        low, high = 0, WIRE_MAX[str(wire.which())]
        for each in flat(metadata):
            low = int(str(each.ge)) if isinstance(each, annotated_types.Ge) else low
            high = min(high, int(str(each.le))) if isinstance(each, annotated_types.Le) else high
        return st.integers(low, high)
    for each in metadata:
        if isinstance(each, StringConstraints) and isinstance(each.pattern, str):
            return st.from_regex(each.pattern.replace("$", r"\Z"), fullmatch=True)
    return of_type(inner, wire, parent, name)


def flat(metadata: list[Any]) -> list[Any]:
    return [item for each in metadata for item in getattr(each, "metadata", [each])]


def same(left: Any, right: Any) -> bool:
    """Equality with the types of leaves, so that an enum that came back as text is noticed."""
    if isinstance(left, BaseModel):
        return type(left) is type(right) and all(
            same(getattr(left, n), getattr(right, n)) for n in type(left).model_fields
        )
    if isinstance(left, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)

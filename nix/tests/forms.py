"""Clusters made from the declarations of their options: right ones, and ones with a single mistake."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Form = Mapping[str, Any]
SAMPLES: Mapping[str, Any] = {
    "address": "10.0.0.1",
    "cluster": "c",
    "command": ["true"],
    "connect": ["a:80"],
    "affinity": ["a"],
    "antiAffinity": ["a"],
    "dependsOn": [],
    "domains": ["x.org"],
    "env": {"A": "b"},
    "extras": {"gpu": 1},
    "key": "zone",
    "labels": {"tier": "front"},
    "mount": "/data",
    "name": "p",
    "over": "zone",
    "path": "/x",
    "selector": {"tier": "front"},
    "system": "packages.x86_64-linux.a",
    "values": ["a"],
}
"""What stands at an option whose form alone does not say what is right."""
OF_NIX_ALONE = {"guest", "configuration"}
NO_NAME = " !"


@dataclass(frozen=True, slots=True)
class Mistake:
    """A cluster with one wrong value, the path that must be named, and whether only the value's type is wrong."""

    cluster: dict[str, Any]
    path: str
    value: Any
    is_type: bool


def mistakes(form: Form) -> Iterator[Mistake]:
    """Each way to write an option wrongly, one at a time."""
    for steps, option in _options(form, ()):
        may_be_null = not option["required"] and option["default"] is None
        for value, is_type in _wrong(option["form"]):
            yield _mistake(form, steps, value, is_type=is_type)
        if not may_be_null and option["form"]["kind"] != "any":
            yield _mistake(form, steps, None, is_type=True)
    yield Mistake({**sample(form), "nonsense": 1}, "nonsense", 1, is_type=False)


def _mistake(form: Form, steps: tuple[str, ...], value: Any, *, is_type: bool) -> Mistake:
    where = "".join(f"[{0}]" if step == "*" else f".{'a' if step == '<name>' else step}" for step in steps)
    path = where.removeprefix(".")
    if isinstance(value, dict) and "nonsense" in value:
        path += ".nonsense"
    if isinstance(value, dict) and NO_NAME in value:
        path += ": the name"
    return Mistake(_with(form, sample(form), steps, value), path, value, is_type)


def _options(form: Form, steps: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Form]]:
    for name, option in form["options"].items():
        if name in OF_NIX_ALONE:
            continue
        here = (*steps, name)
        yield here, option
        inner, kind = option["form"], option["form"]["kind"]
        while kind in {"map", "list"}:
            here = (*here, "<name>" if kind == "map" else "*")
            inner, kind = inner["of"], inner["of"]["kind"]
            yield here, {"form": inner, "required": True}
        if kind == "record":
            yield from _options(inner, here)


def _wrong(form: Form) -> Iterator[tuple[Any, bool]]:
    match form["kind"]:
        case "int":
            yield from (("1", True), (1.5, True), (True, True), (form["low"] - 1, False), (form["high"] + 1, False))
        case "bool":
            yield from ((1, True), ("true", True))
        case "choice":
            yield from (("nonsense", False), (1, True))
        case "text":
            yield from ((1, True), ([], True), *([(NO_NAME, False)] if "pattern" in form else []))
        case "list":
            yield from (({}, True), ("x", True))
        case "map":
            yield from (([], True), ("x", True))
            if "pattern" in form["name"]:
                yield {NO_NAME: sample(form["of"])}, False
        case "record":
            yield from (([], True), ({**sample(form), "nonsense": 1}, False))


def sample(form: Form, name: str = "") -> Any:
    """The smallest right value: of a record, what is needed."""
    match form["kind"]:
        case "int":
            return form["low"]
        case "bool":
            return True
        case "choice":
            return form["values"][-1]
        case "list":
            return SAMPLES.get(name, [])
        case "map":
            return {"a": _vm(form["of"])} if name == "vms" else SAMPLES.get(name, {})
        case "record":
            return {key: sample(option["form"], key) for key, option in form["options"].items() if option["required"]}
        case _:
            return SAMPLES.get(name, "a")


def _vm(form: Form) -> dict[str, Any]:
    return {**sample(form), "system": SAMPLES["system"]}


def _with(form: Form, value: Any, steps: tuple[str, ...], wrong: Any) -> Any:
    if not steps:
        return wrong
    step, *rest = steps
    if step == "*":
        return [_with(form["of"], sample(form["of"]), tuple(rest), wrong)]
    if step == "<name>":
        inner = value.get("a") if value else None
        return {"a": _with(form["of"], inner if inner is not None else sample(form["of"]), tuple(rest), wrong)}
    option = form["options"][step]
    inner = value.get(step) or sample(option["form"], step)
    return {**value, step: _with(option["form"], inner, tuple(rest), wrong)}


def some_cluster(form: Form, choice: random.Random) -> dict[str, Any]:
    """A cluster whose forms are right; what holds between its options is left to chance."""
    found = _some(form, choice, "")
    found["vms"] = {name: _some(form["options"]["vms"]["form"]["of"], choice, "") for name in ("a", "b")}
    for vm in found["vms"].values():
        vm["system"] = SAMPLES["system"]
    return dict(found)


def _some(form: Form, choice: random.Random, name: str) -> Any:
    match form["kind"]:
        case "int":
            return choice.choice([form["low"], form["high"], min(form["low"] + 1, form["high"])])
        case "bool":
            return choice.choice([True, False])
        case "choice":
            return choice.choice(form["values"])
        case "list" if form["of"]["kind"] == "record":
            return [_some(form["of"], choice, "") for _ in range(choice.randrange(2))]
        case "map" if form["of"]["kind"] == "record":
            return {"a": _some(form["of"], choice, "")} if choice.random() < 0.3 else {}
        case "record":
            return {
                key: _some(option["form"], choice, key)
                for key, option in form["options"].items()
                if key not in OF_NIX_ALONE and (option["required"] or choice.random() < 0.25)
            }
        case _:
            return sample(form, name)

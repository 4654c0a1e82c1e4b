"""A generation, and what differs between two, as text; pure functions of what the control plane answered."""

import json
from collections.abc import Iterable, Iterator, Sequence

from cli.render.operations import moment
from cli.render.text import cell, short, table
from schema.generation_diff import Effect, FieldChange, GenerationDiff
from schema.operations import GenerationContent

_EFFECTS = {Effect.CONTENT: "boots anew", Effect.LIVE: "applies live"}


def generation_text(found: GenerationContent) -> str:
    """Its commit and outcome, then a line for each VM."""
    status = found.status
    reason = f": {cell(status.reason)}" if status.reason else ""
    head = [
        f"generation {status.number}  {status.state.value}{reason}",
        f"commit {cell(status.commit)} of {cell(str(status.origin))}, published {moment(status.published_at_ms)}",
    ]
    rows = [_vm_row(name, text, found.content.get(name, "")) for name, text in sorted(found.specs.items())]
    return "\n\n".join(("\n".join(head), table(("VM", "REPLICAS", "CPU", "MEMORY", "CONTENT", "SYSTEM"), rows)))


def _vm_row(name: str, text: str, content: str) -> tuple[str, ...]:
    spec = json.loads(text)
    memory = f"{spec.get('memoryMb', '?')} MiB"
    toplevel = str(spec.get("toplevel", "")).rpartition("/")[2]
    return name, str(spec.get("replicas", 1)), str(spec.get("cpu", "?")), memory, short(content), toplevel


def diff_text(diff: GenerationDiff) -> str:
    """What is added, removed and changed; fields with their old and new values."""
    lines = [f"generation {diff.old} -> {diff.new}"]
    lines += [f"+ {cell(name)}" for name in diff.added]
    lines += [f"- {cell(name)}" for name in diff.removed]
    for change in diff.changed:
        lines.append(f"~ {cell(change.vm)} ({_EFFECTS[change.effect]})")
        lines += list(_field_lines(_each_once(change.fields)))
    if diff.rollout:
        lines += ["~ rollout policy", *_field_lines(diff.rollout)]
    if diff.unchanged:
        lines.append(f"  {diff.unchanged} unchanged")
    if len(lines) == 1:
        lines.append("  no VM in either")
    return "\n".join(lines)


def _each_once(fields: Sequence[FieldChange]) -> Iterator[FieldChange]:
    """The fields without what another of them says: the cmdline names the toplevel, whose own line is before it."""
    toplevel = next((one for one in fields if one.field == "toplevel" and one.old and one.new), None)
    for one in fields:
        if toplevel is None or one.field != "cmdline":
            yield one
            continue
        old, new = (
            text.replace(json.loads(path), "<toplevel>")
            for text, path in ((one.old, toplevel.old), (one.new, toplevel.new))
        )
        if old != new:
            yield one.model_copy(update={"old": old, "new": new})


def _field_lines(fields: Iterable[FieldChange]) -> Iterable[str]:
    for one in fields:
        yield f"    {cell(one.field)}: {cell(one.old) or '(not set)'} -> {cell(one.new) or '(not set)'}"

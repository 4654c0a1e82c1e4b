"""What a scan found, as a table and in sentences; secrets are masked in every form; it finds nothing itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final, TypeVar

from autonix.findings import (
    Analysis,
    Command,
    Confidence,
    Dependency,
    EntryPoint,
    Finding,
    Flake,
    Lock,
    Mount,
    Port,
    Probe,
    Project,
    Setup,
    Stage,
    Step,
    Toolchain,
    Variable,
)
from cli.render.text import cell, table

MASK: Final = "********"
MEANING: Final = {
    Confidence.CERTAIN: "the file says it in so many words",
    Confidence.LIKELY: "a well-known convention",
    Confidence.POSSIBLE: "a hint; nothing is decided by it",
}
_PASSWORD = re.compile(r"(://[^:/@\s]*):[^@/\s]+@")
_MANY: Final = 6
"""So many values of one kind are listed in the table; the rest is counted."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """One finding: of what (`project api`, `service db`), which fact, its value in words, and where it is from."""

    subject: str
    fact: str
    value: str
    file: str
    line: int
    rule: str
    confidence: Confidence


def masked(value: T) -> T:
    """The same value without secrets: those of secret variables, and passwords in addresses."""
    return _masked(value)  # type: ignore[no-any-return] # the same type: only strings within change


def _masked(value: Any) -> Any:
    match value:
        case str():
            return value if type(value) is not str else _PASSWORD.sub(rf"\1:{MASK}@", value)
        case tuple():
            return tuple(_masked(each) for each in value)
        case Variable(secret=True, default=str()):
            return replace(value, default=MASK)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _masked(getattr(value, field.name)) for field in fields(value)})
    return value


def rows(analysis: Analysis) -> tuple[Row, ...]:
    """Every finding of an analysis, in its order."""
    found: list[Row] = []
    for project in analysis.projects:
        found += _rows_of(f"project {_place(project)}", project)
    for service in analysis.services:
        found += _rows_of(f"service {service.name}", service)
    for container in analysis.containers:
        found += _rows_of(f"container {container.name}", container)
    return (*found, *_rows_of("repository", analysis))


def findings_table(analysis: Analysis) -> str:
    """The table of `pcr scan`; long lists of one kind are cut, which the last of them says."""
    shown: list[tuple[str, ...]] = []
    counts: dict[tuple[str, str], int] = {}
    every = rows(analysis)
    for row in every:
        key = (row.subject, row.fact)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= _MANY:
            where = f"{row.file}:{row.line}"
            shown.append((row.subject, row.fact, row.value, where, row.rule, row.confidence.value))
    text = table(("OF", "FACT", "VALUE", "WHERE", "RULE", "CONFIDENCE"), shown)
    more = [f"{subject}: {count - _MANY} more of {fact}" for (subject, fact), count in counts.items() if count > _MANY]
    skipped = [f"not read: {each.file}: {each.reason}" for each in analysis.skipped]
    notes = table(("",), [(note,) for note in (*more, *skipped)])
    languages = f"\n{cell(_languages(analysis))}" if analysis.languages else ""
    return text + languages + (notes if more or skipped else "") + ("" if every else "\nnothing that autonix knows")


def _languages(analysis: Analysis) -> str:
    """`languages: Python 81.2 %, Shell 18.8 %`."""
    whole = sum(each.size for each in analysis.languages)
    shares = [f"{each.language} {100 * each.size / whole:.1f} %" for each in analysis.languages[:_MANY]]
    more = f", {len(analysis.languages) - _MANY} more" if len(analysis.languages) > _MANY else ""
    return f"languages: {', '.join(shares)}{more}"


def explanation(analysis: Analysis) -> str:
    """A sentence for every finding."""
    return table(
        ("",),
        [
            (
                f"{row.subject}: {row.fact} is {row.value}, from {row.file}:{row.line} by {row.rule}"
                f" ({row.confidence.value}: {MEANING[row.confidence]})",
            )
            for row in rows(analysis)
        ],
    ).lstrip("\n")


def _place(project: Project) -> str:
    return f"{project.path} ({project.ecosystem.value})"


def _rows_of(subject: str, holder: object) -> Iterator[Row]:
    assert is_dataclass(holder)  # noqa: S101 - the analysis' own classes
    for field in fields(holder):
        value = getattr(holder, field.name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Finding):
                fact = field.name.replace("_", " ")
                yield Row(subject, fact, in_words(each.value), each.file, each.line, each.rule, each.confidence)


def in_words(value: object) -> str:
    """A finding's value as a person would write it."""
    match value:
        case EntryPoint():
            return f"{value.name} → {value.target}"
        case Command():
            return f"{value.name} ({value.runner}, {value.purpose.value}): {value.text}"
        case Toolchain():
            return f"{value.tool} {value.constraint}"
        case Dependency():
            locked = f" (locked {value.locked})" if value.locked else ""
            return f"{value.name} {value.constraint}".rstrip() + locked
        case Lock():
            return f"{value.tool} {value.format}".rstrip()
        case Stage():
            return f"{value.name} from {value.image}"
        case Step():
            return f"{value.system} {value.job} ({value.purpose.value}): {value.text}"
        case Setup():
            return f"{value.system}: {value.tool} {value.constraint}"
        case Flake():
            return f"{value.path}: {', '.join(value.outputs)}"
        case tuple():
            return " ".join(map(str, value))
        case _:
            return _of_a_process(value)


def _of_a_process(value: object) -> str:
    match value:
        case Port():
            return f"{value.number}/{value.protocol}" + (f" as {value.published}" if value.published else "")
        case Variable():
            return value.name if value.default is None else f"{value.name}={value.default}"
        case Probe():
            return " ".join(filter(None, (value.kind, str(value.port or ""), value.path or "", *value.command)))
        case Mount():
            return f"{value.source or 'anonymous'} at {value.path}"
        case _:
            return str(value)

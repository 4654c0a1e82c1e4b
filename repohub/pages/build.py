"""The page of one build: stages, checks, what failed, the log; it fetches nothing."""

from dataclasses import dataclass

from repohub.pages import words
from repohub.pages.build_row import BuildRow, build_row
from repohub.pages.tone import Tone
from schema.builds import Build, LogPage


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One flake check."""

    name: str
    tone: Tone
    word: str
    time: str
    detail: str


@dataclass(frozen=True, slots=True)
class BuildDetails:
    """What the page shows. `log_offset` is where the log that follows `log` begins, in CI's bytes."""

    row: BuildRow
    checks: tuple[CheckRow, ...]
    warnings: tuple[str, ...]
    log_tail: tuple[str, ...]
    log: str
    log_offset: int
    log_complete: bool
    is_live: bool


def build_details(build: Build, log: LogPage, *, now_ms: int) -> BuildDetails:
    """The page of `build`, with as much of its log as `log` holds."""
    return BuildDetails(
        row=build_row(build, now_ms=now_ms),
        checks=tuple(
            CheckRow(
                name=words.one_line(check.name),
                tone=Tone.GOOD if check.passed else Tone.BAD,
                word="passed" if check.passed else "failed",
                time=words.duration(check.duration_ms),
                detail=words.plain(check.detail),
            )
            for check in build.checks
        ),
        warnings=tuple(words.one_line(warning, limit=400) for warning in build.warnings),
        log_tail=tuple(words.plain(line) for line in build.log_tail),
        log=words.plain(log.text),
        log_offset=log.next_offset,
        log_complete=log.complete,
        is_live=not build.state.is_over or not log.complete,
    )

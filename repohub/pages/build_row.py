"""A build as one row or heading: its state, stages and times in words; it fetches nothing."""

from dataclasses import dataclass

from repohub.pages import tone, words
from repohub.pages.tone import Tone
from schema.builds import Build, Stage, StageName, StageState


@dataclass(frozen=True, slots=True)
class StageChip:
    """One stage: its name, how it stands, how long it took or has been running."""

    name: str
    state: str
    tone: Tone
    time: str
    detail: str


@dataclass(frozen=True, slots=True)
class BuildRow:
    """What every list and the build's own page show of it."""

    build_id: int
    href: str
    repository: str
    state: str
    tone: Tone
    is_over: bool
    ref: str
    commit: str
    commit_full: str
    subject: str
    author: str
    when: str
    when_exact: str
    took: str
    stages: tuple[StageChip, ...]
    generation: int | None
    error: str

    @property
    def running_stage(self) -> str:
        """The stage that is at work, for a line like `build · 3.1 s`."""
        return next((f"{chip.name} · {chip.time}" for chip in self.stages if chip.tone is Tone.BUSY), "")


def build_row(build: Build, *, now_ms: int) -> BuildRow:
    """`build` in words; `now_ms` is Unix milliseconds."""
    ended = build.finished_at_ms if build.finished_at_ms is not None else now_ms
    return BuildRow(
        build_id=build.id,
        href=f"/{build.repository}/builds/{build.id}",
        repository=build.repository,
        state=build.state.value.replace("-", " "),
        tone=tone.BUILD[build.state],
        is_over=build.state.is_over,
        ref=words.short_ref(build.ref),
        commit=words.plain(build.commit)[:10],
        commit_full=words.plain(build.commit),
        subject=words.one_line(build.subject) or "(no message)",
        author=words.one_line(build.author, limit=60),
        when=words.ago(now_ms - build.created_at_ms),
        when_exact=words.moment(build.created_at_ms),
        took=words.duration(ended - build.created_at_ms),
        stages=tuple(_chip(build.stage(name), now_ms) for name in StageName),
        generation=build.generation,
        error=words.plain(build.error),
    )


def _chip(stage: Stage, now_ms: int) -> StageChip:
    if stage.duration_ms is not None:
        time = words.duration(stage.duration_ms)
    elif stage.state is StageState.RUNNING and stage.started_at_ms is not None:
        time = words.duration((now_ms - stage.started_at_ms) // 1000 * 1000) if now_ms > stage.started_at_ms else ""
    else:
        time = ""
    return StageChip(
        name=stage.name.value,
        state=stage.state.value,
        tone=tone.STAGE[stage.state],
        time=time,
        detail=words.one_line(stage.detail, limit=200),
    )

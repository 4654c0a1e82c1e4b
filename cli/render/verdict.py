"""How a rollout ended, for people and for programs: the view of `pcr rollout wait`."""

from dataclasses import dataclass

from cli.render.text import short
from cli.waiting import Verdict


@dataclass(frozen=True, slots=True)
class VerdictView:
    """What `-o json` prints."""

    outcome: str
    exit_code: int
    generation: int | None
    commit: str
    reason: str
    log_tail: tuple[str, ...]


def verdict_view(verdict: Verdict) -> VerdictView:
    """All of the verdict."""
    return VerdictView(
        outcome=verdict.outcome.word,
        exit_code=verdict.outcome.exit_code,
        generation=verdict.generation,
        commit=verdict.commit,
        reason=verdict.reason,
        log_tail=verdict.log_tail,
    )


def verdict_text(verdict: Verdict) -> str:
    """One line, and below it the last log lines of what failed."""
    named = f"generation {verdict.generation}" if verdict.generation is not None else "nothing published"
    commit = f" ({short(verdict.commit)})" if verdict.commit else ""
    reason = f": {verdict.reason}" if verdict.reason else ""
    tail = "".join(f"\n  | {line}" for line in verdict.log_tail)
    return f"{verdict.outcome.word}: {named}{commit}{reason}{tail}"

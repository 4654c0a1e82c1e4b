"""The line at the top of every page: how the cluster stands, in one word; it fetches nothing."""

from dataclasses import dataclass

from repohub.pages import tone, words
from repohub.pages.tone import Tone
from schema.status import ClusterStatus


@dataclass(frozen=True, slots=True)
class Header:
    """The word, its tone, and the reason as the word's title."""

    word: str
    tone: Tone
    reason: str


def header_of(status: ClusterStatus | None, *, problem: str) -> Header:
    """The cluster's word, or that it cannot be had."""
    if status is None or problem:
        return Header(word="control plane away", tone=Tone.QUIET, reason=words.one_line(problem, limit=300))
    return Header(
        word=status.convergence.value,
        tone=tone.CONVERGENCE[status.convergence],
        reason=words.one_line(status.reason, limit=300),
    )

"""Which repositories are being pushed to, so that nobody mistakes a push half done for one that was missed."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Quiet:
    """A moment at which a repository was not being pushed to."""

    repository: str
    pushes_before: int


@dataclass(frozen=True, slots=True)
class Activity:
    """Counts of pushes by repository: running now, and begun ever."""

    running: Counter[str] = field(default_factory=Counter)
    begun: Counter[str] = field(default_factory=Counter)

    def begin(self, repository: str) -> None:
        """A push has begun; call `end` in a finally."""
        self.running[repository] += 1
        self.begun[repository] += 1

    def end(self, repository: str) -> None:
        """A push is over, however."""
        self.running[repository] -= 1

    def quiet(self, repository: str) -> Quiet | None:
        """Now, if nobody pushes."""
        if self.running[repository]:
            return None
        return Quiet(repository=repository, pushes_before=self.begun[repository])

    def still(self, moment: Quiet) -> bool:
        """Whether no push has begun since `moment`."""
        return self.begun[moment.repository] == moment.pushes_before

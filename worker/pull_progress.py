"""How far a pull is, from the events of nix's log; pure, and it pulls nothing."""

from dataclasses import dataclass, field

from nix.log import CopiesPlanned, CopyEnded, CopyStarted, Event, Transferred
from schema.status import PullProgress


@dataclass(slots=True)
class Progress:
    """Adds up the events of one copy. Bytes are as they cross the network; their total grows as downloads begin."""

    _planned: int = 0
    _begun: set[str] = field(default_factory=set)
    _ended: set[str] = field(default_factory=set)
    _bytes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, event: Event) -> PullProgress | None:
        """How far it is after `event`, None where that changes nothing."""
        match event:
            case CopiesPlanned(paths):
                self._planned = paths
            case CopyStarted(path):
                self._begun.add(path)
            case CopyEnded(path):
                self._ended.add(path)
            case Transferred(url, done, expected):
                if self._bytes.get(url) == (done, expected):
                    return None
                self._bytes[url] = (done, max(done, expected))
            case _:
                return None
        return PullProgress(
            paths_done=len(self._ended),
            paths_total=max(self._planned, len(self._begun)),
            bytes_done=sum(done for done, _ in self._bytes.values()),
            bytes_total=sum(total for _, total in self._bytes.values()),
        )

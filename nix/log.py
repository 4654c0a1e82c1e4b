"""Decodes nix's `internal-json` log, line by line, into typed events; it neither reads nor writes a stream."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from schema.names import printable

_PREFIX = "@nix "
_BUILD = 105
_COPY_PATH = 100
_COPY_PATHS = 103
_TRANSFER = 101
_PROGRESS = 105
"""Of results; activities are numbered apart from them."""
_PLANNED = re.compile(r"copying (\d{1,9}) paths")
_NO_NAR = (".narinfo", "/nix-cache-info")
_LOG_LINE = 101
_PHASE = 104
_ERROR = 0
_LEVEL_NOTICE = 2
"""Messages above it (info, talkative, chatty…) are nix's own chatter."""

_NOISE = "you don't have Internet access"
"""Said by every nix in a network namespace, where we put it."""


@dataclass(frozen=True, slots=True)
class BuildStarted:
    """A derivation's builder started."""

    drv: str


@dataclass(frozen=True, slots=True)
class BuildStopped:
    """A derivation's builder ended; nix does not say here whether it failed."""

    drv: str


@dataclass(frozen=True, slots=True)
class BuildLine:
    """A line that a builder printed."""

    drv: str
    text: str


@dataclass(frozen=True, slots=True)
class BuildPhase:
    """A builder entered one of its phases."""

    drv: str
    phase: str


@dataclass(frozen=True, slots=True)
class CopyStarted:
    """A path is on its way from or to another store."""

    path: str


@dataclass(frozen=True, slots=True)
class CopyEnded:
    """That path has come, or its copy has failed."""

    path: str


@dataclass(frozen=True, slots=True)
class CopiesPlanned:
    """So many paths are missing and will be copied."""

    paths: int


@dataclass(frozen=True, slots=True)
class Transferred:
    """How far a download is, in bytes as they cross the network; `expected` is 0 while it is not known."""

    url: str
    done: int
    expected: int


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as nix says it, of several lines perhaps."""

    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """A warning or notice, or a line that is not nix's (git's, the jail's)."""

    text: str


Event = (
    BuildStarted
    | BuildStopped
    | BuildLine
    | BuildPhase
    | CopyStarted
    | CopyEnded
    | CopiesPlanned
    | Transferred
    | Problem
    | Message
)


@dataclass(slots=True)
class LogDecoder:
    """Knows which activity is which derivation's build, path's copy or file's download while it runs."""

    _builds: dict[int, str] = field(default_factory=dict)
    _copies: dict[int, str] = field(default_factory=dict)
    _transfers: dict[int, str] = field(default_factory=dict)

    def feed(self, line: str) -> Event | None:
        """The event of one line, or None for what nobody wants to see. Any text is taken: it is the builder's too."""
        if not line.startswith(_PREFIX):
            return Message(printable(line)) if line.strip() and _NOISE not in line else None
        try:
            entry = json.loads(line[len(_PREFIX) :])
        except (ValueError, RecursionError):
            return Message(printable(line))
        return self._event(entry) if isinstance(entry, dict) else Message(printable(line))

    def _event(self, entry: dict[str, Any]) -> Event | None:
        match entry:
            case {"action": "start", "type": kind, "id": int(number), "fields": [str(first), *_]}:
                return self._started(kind, number, printable(first))
            case {"action": "start", "type": kind, "text": str(text)} if kind == _COPY_PATHS:
                planned = _PLANNED.match(text)
                return CopiesPlanned(int(planned[1])) if planned else None
            case {"action": "stop", "id": int(number)}:
                return self._stopped(number)
            case {"action": "result", "type": kind, "id": int(number), "fields": [int(done), int(expected), *_]}:
                url = self._transfers.get(number) if kind == _PROGRESS else None
                return Transferred(url, max(done, 0), max(expected, 0)) if url is not None else None
            case {"action": "result", "type": kind, "id": int(number), "fields": [str(first), *_]}:
                return self._result(kind, self._builds.get(number), printable(first))
            case {"action": "msg", "level": int(level), "msg": str(text)}:
                if level == _ERROR:
                    return Problem(printable(text))
                return Message(printable(text)) if level <= _LEVEL_NOTICE and _NOISE not in text else None
        return None

    def _started(self, kind: object, number: int, first: str) -> Event | None:
        if kind == _BUILD:
            self._builds[number] = first
            return BuildStarted(first)
        if kind == _COPY_PATH:
            self._copies[number] = first
            return CopyStarted(first)
        if kind == _TRANSFER and not first.endswith(_NO_NAR):
            self._transfers[number] = first
        return None

    def _stopped(self, number: int) -> Event | None:
        self._transfers.pop(number, None)
        if number in self._copies:
            return CopyEnded(self._copies.pop(number))
        drv = self._builds.pop(number, None)
        return None if drv is None else BuildStopped(drv)

    @staticmethod
    def _result(kind: object, drv: str | None, text: str) -> Event | None:
        if drv is None:
            return None
        match kind:
            case int(number) if number == _LOG_LINE:
                return BuildLine(drv, text)
            case int(number) if number == _PHASE:
                return BuildPhase(drv, text)
        return None


def readable(event: Event) -> str | None:
    """The line, or lines, that a person reads for `event`; None where there is nothing to say."""
    match event:
        case BuildStarted(drv):
            return f"building {drv}"
        case BuildLine(drv, text):
            return f"{name_of(drv)}> {text}"
        case CopyStarted(path):
            return f"copying {path}"
        case Problem(text) | Message(text):
            return text
        case BuildStopped() | BuildPhase() | CopyEnded() | CopiesPlanned() | Transferred():
            return None


def name_of(drv: str) -> str:
    """`web` of `/nix/store/<hash>-web.drv`."""
    return drv.rpartition("/")[2][33:].removesuffix(".drv")

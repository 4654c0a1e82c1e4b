"""Decodes nix's `internal-json` log, line by line, into typed events; it neither reads nor writes a stream."""

import json
from dataclasses import dataclass, field
from typing import Any

from schema.names import printable

_PREFIX = "@nix "
_BUILD = 105
_COPY_PATH = 100
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
class Problem:
    """An error as nix says it, of several lines perhaps."""

    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """A warning or notice, or a line that is not nix's (git's, the jail's)."""

    text: str


Event = BuildStarted | BuildStopped | BuildLine | BuildPhase | CopyStarted | Problem | Message


@dataclass(slots=True)
class LogDecoder:
    """Knows which activity is which derivation's build while it runs."""

    _builds: dict[int, str] = field(default_factory=dict)

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
                if kind == _BUILD:
                    self._builds[number] = printable(first)
                    return BuildStarted(printable(first))
                return CopyStarted(printable(first)) if kind == _COPY_PATH else None
            case {"action": "stop", "id": int(number)}:
                drv = self._builds.pop(number, None)
                return None if drv is None else BuildStopped(drv)
            case {"action": "result", "type": kind, "id": int(number), "fields": [str(first), *_]}:
                return self._result(kind, self._builds.get(number), printable(first))
            case {"action": "msg", "level": int(level), "msg": str(text)}:
                if level == _ERROR:
                    return Problem(printable(text))
                return Message(printable(text)) if level <= _LEVEL_NOTICE and _NOISE not in text else None
        return None

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
        case BuildStopped() | BuildPhase():
            return None


def name_of(drv: str) -> str:
    """`web` of `/nix/store/<hash>-web.drv`."""
    return drv.rpartition("/")[2][33:].removesuffix(".drv")

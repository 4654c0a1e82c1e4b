"""Set up logging: readable lines or one JSON object a line; it decides nothing about what is logged."""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

LogFormat = Literal["text", "json"]

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def escape_controls(text: str, *, keep_newlines: bool = False) -> str:
    r"""`text` that a terminal cannot be led by: control, C1 and bidirectional characters become `\xNN` or `\uNNNN`.

    Newlines and tabs are escaped too, unless `keep_newlines`.
    """
    escaped = _CONTROLS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)
    return escaped if keep_newlines else escaped.replace("\n", "\\n").replace("\t", "\\t")


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller passed as `extra`."""
    return {key: value for key, value in vars(record).items() if key not in _OWN_FIELDS}


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, tz=UTC)


def _trace(record: logging.LogRecord) -> str:
    return "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""


class TextFormatter(logging.Formatter):
    """`2026-01-02T03:04:05.678Z INFO worker.agent: message key=value`, a traceback indented below."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line (UTC), with no control characters in it."""
        moment = _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        facts = "".join(f" {key}={value}" for key, value in _facts(record).items())
        line = escape_controls(f"{moment} {record.levelname} {record.name}: {record.getMessage()}{facts}")
        trace = escape_controls(_trace(record).rstrip(), keep_newlines=True)
        return line + "".join(f"\n    {row}" for row in trace.splitlines())


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "message", …extra, "trace"?}` on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one JSON object; JSON escapes what a terminal would act on."""
        entry: dict[str, Any] = {
            "time": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_facts(record),
        }
        if trace := _trace(record):
            entry["trace"] = trace
        return json.dumps(entry, default=str)


def set_up_logging(*, log_format: LogFormat = "text", level: str = "info", stream: TextIO | None = None) -> None:
    """Send every logger's records at `level` and above to `stream` (stderr), replacing what was set up before."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "hypercorn.error", "hypercorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

"""A conversation with one `git cat-file`: what objects are and what is in them; it understands nothing of them.

Nothing is fetched: transports are off, so that an object which a partial clone lacks counts as one that is not there.
It takes git 2.36 or newer.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from autonix.listings import GIT, GIT_DEADLINE, GIT_ENV, MAX_LISTING
from autonix.tree import MAX_TOTAL
from nix.child import Child
from nix.run import open_process
from schema.errors import DeadlineExceeded, NotFound, TooLarge

_MOST: Final = max(MAX_LISTING, 2 * MAX_TOTAL)
"""Bytes that one question may be answered with."""
_AT_ONCE: Final = 16 * 1024
"""Bytes of questions that are sent before the answers are read: git takes them all, however full its output is."""


@dataclass(frozen=True, slots=True)
class Info:
    """An object's id, type (`blob`, `tree` …) and bytes."""

    id: str
    kind: str
    size: int


@dataclass(slots=True)
class Objects:
    """The objects of one repository. One question at a time; the answers come in the order of what was asked for.

    A name is an id or a revision without a newline (`HEAD^{tree}`). Raises `NotFound` where git has ended (there is no
    repository), `DeadlineExceeded` and `TooLarge` beyond what `GIT_DEADLINE` and `_MOST` allow.
    """

    repository: Path
    process: Child
    _read: bytearray = field(default_factory=bytearray)
    _at: int = 0

    async def infos(self, names: Sequence[str]) -> list[Info | None]:
        """What they are; None: there is no such object."""
        found: list[Info | None] = []
        with self._in_time():
            for part in _parts("info", names):
                await self._send(part)
                for _ in range(part.count(b"\n")):
                    found.append(_info(await self._line()))
        return found

    async def contents(self, names: Sequence[str]) -> list[bytes | None]:
        """What is in them; None: there is no such object. Their sizes are the caller's to bound."""
        found: list[bytes | None] = []
        left = _MOST
        with self._in_time():
            for part in _parts("contents", names):
                await self._send(part)
                for _ in range(part.count(b"\n")):
                    info = _info(await self._line())
                    left -= info.size if info is not None else 0
                    if left < 0:
                        raise TooLarge(f"{self.repository}: objects of more than {_MOST} bytes")
                    found.append(None if info is None else (await self._bytes(info.size + 1))[:-1])
        return found

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        with trio.move_on_after(GIT_DEADLINE) as scope:
            yield
        if scope.cancelled_caught:
            raise DeadlineExceeded(f"{self.repository}: git did not answer within {GIT_DEADLINE:g} s")

    async def _send(self, questions: bytes) -> None:
        assert self.process.stdin is not None  # noqa: S101 - `conversation` asks for it
        try:
            await self.process.stdin.send_all(questions)
        except trio.BrokenResourceError as error:
            raise self._ended() from error

    async def _line(self) -> bytes:
        while (end := self._read.find(b"\n", self._at)) < 0:
            await self._more()
        line = bytes(self._read[self._at : end])
        self._at = end + 1
        return line

    async def _bytes(self, count: int) -> bytes:
        while len(self._read) - self._at < count:
            await self._more()
        found = bytes(self._read[self._at : self._at + count])
        self._at += count
        return found

    async def _more(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - `conversation` asks for it
        if self._at:
            del self._read[: self._at]
            self._at = 0
        if not (chunk := await self.process.stdout.receive_some()):
            raise self._ended()
        self._read += chunk

    def _ended(self) -> NotFound:
        return NotFound(f"{self.repository} is no repository that git (2.36 or newer) can read")


@asynccontextmanager
async def conversation(repository: Path) -> AsyncIterator[Objects]:
    """The objects of a repository, as long as the block lasts; git ends by itself where nothing went wrong."""
    argv = (*GIT, "cat-file", "--batch-command")
    async with open_process(argv, env=GIT_ENV, cwd=repository, stderr=None) as process:
        yield Objects(repository, process)
        assert process.stdin is not None  # noqa: S101 - a pipe unless something else is asked for
        await process.stdin.aclose()
        with trio.move_on_after(GIT_DEADLINE):
            await process.wait()


def _parts(verb: str, names: Sequence[str]) -> Iterator[bytes]:
    part = bytearray()
    for name in names:
        part += f"{verb} {name}\n".encode()
        if len(part) >= _AT_ONCE:
            yield bytes(part)
            part.clear()
    if part:
        yield bytes(part)


def _info(line: bytes) -> Info | None:
    """`<id> <type> <size>`, or the name and `missing` or `ambiguous`."""
    words = line.decode(errors="replace").split(" ")
    if len(words) != 3 or not words[2].isdigit():
        return None
    return Info(words[0], words[1], int(words[2]))

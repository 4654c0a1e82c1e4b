"""Tells at once when somebody takes an nftables table away; it looks at no rules and puts none back."""

import errno
import socket
import struct
from contextlib import ExitStack, suppress
from typing import Self

import trio

_NETLINK_NETFILTER = 12
_NFNLGRP_NFTABLES = 7
_DELTABLE = 10 << 8 | 2
"""NFNL_SUBSYS_NFTABLES, NFT_MSG_DELTABLE: a flush of all rules takes the tables, too."""
_HEAD = struct.Struct("=IHHII")
_MOST_BYTES = 65_536


class RuleWatch:
    """The kernel's word about every table of this network namespace. Use as a context manager.

    Where the kernel does not tell, nothing is ever heard: whoever waits looks for himself from time to time.
    """

    def __enter__(self) -> Self:
        self._events: trio.socket.SocketType | None = None
        with suppress(OSError), ExitStack() as opened:
            events = opened.enter_context(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER))
            events.bind((0, 1 << _NFNLGRP_NFTABLES - 1))
            self._events = trio.socket.from_stdlib_socket(events)
            opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        if self._events is not None:
            self._events.close()

    async def until_a_table_goes(self) -> None:
        """Wait until a table has been removed, ours or another, or until so much happened that some was not told."""
        if self._events is None:
            await trio.sleep_forever()
        while True:
            try:
                data = await self._events.recv(_MOST_BYTES)
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return
                raise
            if _DELTABLE in _kinds(data):
                return


def _kinds(data: bytes) -> set[int]:
    """The types of the netlink messages in a packet."""
    found, at = set(), 0
    while at + _HEAD.size <= len(data):
        size, kind, _flags, _sequence, _port = _HEAD.unpack_from(data, at)
        found.add(kind)
        at += max(size + 3 & ~3, _HEAD.size)
    return found

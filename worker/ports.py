"""Keeps the machine's ports that VMs publish: bound, so that no service of it takes them, nor we a service's."""

import socket
from collections.abc import Iterable


class PublishedPorts:
    """Sockets that are bound and never listen: packets are led elsewhere before they would get to them."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[socket.socket, ...]] = {}

    def keep(self, ports: Iterable[int]) -> dict[int, str]:
        """Hold exactly these ports (TCP and UDP); those that cannot be had, with the reason."""
        wanted, refused = set(ports), {}
        for port in set(self._kept) - wanted:
            for each in self._kept.pop(port):
                each.close()
        for port in sorted(wanted - set(self._kept)):
            try:
                self._kept[port] = _bound(port)
            except OSError as error:
                refused[port] = error.strerror or str(error)
        return refused

    def close(self) -> None:
        """Let all of them go."""
        self.keep(())


def _bound(port: int) -> tuple[socket.socket, ...]:
    made: list[socket.socket] = []
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            made.append(socket.socket(socket.AF_INET, kind))
            made[-1].bind(("0.0.0.0", port))  # noqa: S104 - it takes nothing: it keeps others from it
    except OSError:
        for each in made:
            each.close()
        raise
    return tuple(made)

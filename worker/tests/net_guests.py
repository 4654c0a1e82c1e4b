"""Stand-ins for guests: network namespaces whose `eth0` hangs on the tap's name, driven by busybox."""

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.netplan import Tap

IP, BUSYBOX = shutil.which("ip") or "/sbin/ip", shutil.which("busybox") or "/bin/busybox"
NFT = shutil.which("nft") or "/usr/sbin/nft"
PATIENCE = 60.0
"""Seconds for what comes at once on a quiet machine: this one may be busy with others."""
_ON_LEASE = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr replace $ip/$mask dev $interface
ip route replace default via $router
echo "$ip/$mask $router $hostname ${dns:-no-dns}"
"""


def tool(*words: str, seconds: float = PATIENCE, check: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def connects(namespace: str, address: str, port: int, *, seconds: int) -> bool:
    """Whether a TCP connection from there comes about within that time."""
    words = (BUSYBOX, "nc", "-w", str(seconds), address, str(port), "-e", BUSYBOX, "true")
    done = subprocess.run((IP, "netns", "exec", namespace, *words), capture_output=True, check=False, timeout=PATIENCE)
    return done.returncode == 0


@dataclass(frozen=True)
class Guest:
    """A machine of its own, as far as the network is concerned; root inside, as in a real guest."""

    namespace: str
    tap: Tap
    script: Path

    def run(self, *words: str, check: bool = True, seconds: float = PATIENCE) -> str:
        return tool(IP, "netns", "exec", self.namespace, *words, check=check, seconds=seconds)

    def lease(self, *, tries: int = 30) -> str:
        """What DHCP gave: address/mask, router, hostname, DNS. It is asked for once a second."""
        asked = ("-t", str(tries), "-T", "1", "-s", str(self.script))
        said = self.run(BUSYBOX, "udhcpc", "-i", "eth0", "-n", "-q", *asked, check=False)
        return next((line for line in said.splitlines() if line.startswith("10.")), said)

    def reaches(self, address: str, port: int) -> bool:
        """Whether a TCP connection comes about, be it after a while."""
        return connects(self.namespace, address, port, seconds=20)

    def is_kept_from(self, address: str, port: int) -> bool:
        """Whether no TCP connection comes about within a second."""
        return not connects(self.namespace, address, port, seconds=1)

    @contextmanager
    def serving(self, *ports: int) -> Iterator[None]:
        """Something that takes and holds connections on `ports`."""
        script = " & ".join(f"{BUSYBOX} nc -ll -p {port} -e {BUSYBOX} sleep 5" for port in ports)
        server = subprocess.Popen(
            (IP, "netns", "exec", self.namespace, BUSYBOX, "sh", "-c", f"{script} & wait"), start_new_session=True
        )
        try:
            wait_until_listening(self, ports)
            yield
        finally:
            os.killpg(server.pid, 9)
            server.wait()


def wait_until_listening(guest: Guest, ports: tuple[int, ...]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        listening = guest.run(BUSYBOX, "netstat", "-ltn")
        if all(f":{port} " in listening for port in ports):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on {ports}: {listening}")


@contextmanager
def guests_on(taps: list[Tap], folder: Path) -> Iterator[list[Guest]]:
    """One guest on each tap. The tap is a veth here, which the worker takes for the tap that it finds."""
    script = folder / "on-lease"
    script.write_text(_ON_LEASE)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    guests = [Guest(f"g{tap.name}", tap, script) for tap in taps]
    try:
        for guest in guests:
            tap = guest.tap
            tool(IP, "netns", "add", guest.namespace)
            peer = ("peer", "name", "eth0", "netns", guest.namespace, "address", tap.attachment.mac)
            tool(IP, "link", "add", tap.name, "type", "veth", *peer)
            guest.run(IP, "link", "set", "lo", "up")
            guest.run(IP, "link", "set", "eth0", "up")
        yield guests
    finally:
        for guest in guests:
            tool(IP, "netns", "del", guest.namespace, check=False)
            tool(IP, "link", "del", guest.tap.name, check=False)

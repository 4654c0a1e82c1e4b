"""A small internet: a namespace behind an uplink of this machine, with a name server and a service on its addresses."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.tests.net_guests import BUSYBOX, IP, PATIENCE, connects, tool

DNSMASQ = shutil.which("dnsmasq") or "/usr/sbin/dnsmasq"
NAMESPACE, UPLINK = "procurator-net", "procup0"
MACHINE, ROUTER = "198.51.100.1", "198.51.100.2"
LISTED, OTHER = "198.51.100.10", "198.51.100.11"
RECORDS = {
    "x.org": LISTED,
    "api.x.org": LISTED,
    "other.org": OTHER,
    "home.x.org": "127.0.0.1",
    "metadata.x.org": "169.254.169.254",
    "inside.x.org": "10.199.90.3",
}


@dataclass(frozen=True)
class Internet:
    """What was asked of the name server is in `log`."""

    log: Path

    def run(self, *words: str, check: bool = True) -> str:
        return tool(IP, "netns", "exec", NAMESPACE, *words, check=check)

    def reaches(self, address: str, port: int) -> bool:
        return connects(NAMESPACE, address, port, seconds=20)

    def is_kept_from(self, address: str, port: int) -> bool:
        return not connects(NAMESPACE, address, port, seconds=1)

    @property
    def asked(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


@contextmanager
def an_internet(folder: Path) -> Iterator[Internet]:
    """Up with its name server on ROUTER:53 and listeners on port 80 of all of its addresses."""
    log = folder / "dns.log"
    processes: list[subprocess.Popen[bytes]] = []
    tool(IP, "link", "del", UPLINK, check=False)
    tool(IP, "netns", "del", NAMESPACE, check=False)
    tool(IP, "netns", "add", NAMESPACE)
    internet = Internet(log)
    try:
        tool(IP, "link", "add", UPLINK, "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE)
        tool(IP, "addr", "add", f"{MACHINE}/24", "dev", UPLINK)
        tool(IP, "link", "set", UPLINK, "up")
        internet.run(IP, "link", "set", "lo", "up")
        internet.run(IP, "link", "set", "eth0", "up")
        for address in (ROUTER, LISTED, OTHER):
            internet.run(IP, "addr", "add", f"{address}/24", "dev", "eth0")
        addresses = [f"--host-record={name},{address}" for name, address in RECORDS.items()]
        dns = (DNSMASQ, "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--log-queries")
        options = (
            f"--log-facility={log}",
            f"--listen-address={ROUTER}",
            "--bind-interfaces",
            "--user=root",
            "--pid-file=",
        )
        for words in (
            (*dns, *options, "--local-ttl=5", "--cname=alias.x.org,other.org", *addresses),
            (BUSYBOX, "nc", "-ll", "-p", "80", "-e", BUSYBOX, "cat"),
        ):
            processes.append(subprocess.Popen((IP, "netns", "exec", NAMESPACE, *words), start_new_session=True))
        _until_up(internet)
        yield internet
    finally:
        for process in processes:
            os.killpg(process.pid, 9)
            process.wait()
        tool(IP, "link", "del", UPLINK, check=False)
        tool(IP, "netns", "del", NAMESPACE, check=False)


def _until_up(internet: Internet) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        listening = internet.run(BUSYBOX, "netstat", "-ltnu")
        if f"{ROUTER}:53" in listening and ":80 " in listening:
            return
        time.sleep(0.02)
    raise AssertionError(f"the small internet is not up: {listening}")

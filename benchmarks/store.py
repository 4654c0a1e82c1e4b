"""Durable commits a second: publishes and placements of the control plane against puts of etcd, on the same disk.

A publish goes over the wire to the real program, one after the other, as CI does it, with ten VMs; a put with as many
bytes goes to etcd by gRPC. A placement is one change of one VM among a thousand, asked of the store's writer from
within its process, one at a time and with 64 waiting. etcd's client runs in a process of its own; with 64 in flight it
is Python's gRPC as much as etcd that is measured, and 64 of our requests share commits as etcd's share its log.
"""

import argparse
import multiprocessing
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import tomli_w
import trio

from benchmarks._figures import Figure
from control_plane.authority import Authority
from control_plane.events import GenerationPublished, PlacementsChanged, StateEvent, WorkerJoined, apply
from control_plane.state import Placement, PlacementReason, ReasonCode, Resources, Snapshot
from control_plane.store.database import open_database
from control_plane.tests.builders import CI_KEY, EPOCH, MASTER_KEY, a_generation, a_publish, a_spec, some_facts
from control_plane.tests.postgres import a_postgres
from schema.interfaces import Role
from schema.rpc.client import open_session
from schema.rpc.transport.sockets import UnixAddress

VMS = 1000
WORKERS = 100
IN_FLIGHT = 64
PUBLISHED_VMS = 10


def a_put(key: int, value: bytes) -> bytes:
    """An etcdserverpb.PutRequest: its key and value are fields 1 and 2."""
    name = f"/procurator/{key}".encode()
    return b"\x0a" + _varint(len(name)) + name + b"\x12" + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def puts(port: int, *, size: int, in_flight: int, seconds: float) -> float:
    """Puts a second with that many in flight."""
    value = os.urandom(size)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        put = channel.unary_unary("/etcdserverpb.KV/Put")
        put(a_put(0, value), timeout=30)
        waiting: list[Any] = []
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            if len(waiting) >= in_flight:
                waiting.pop(0).result()
                count += 1
            waiting.append(put.future(a_put(count % VMS, value), timeout=30))
        for future in waiting:
            future.result()
        return (count + len(waiting)) / (time.perf_counter() - began)


def in_process(work: Callable[..., float], *args: Any, **named: Any) -> float:
    """What `work` returns in a session of its own: the kernel shares the processor out by sessions, as for etcd."""
    with multiprocessing.get_context("spawn").Pool(1, initializer=os.setsid) as pool:
        return pool.apply(work, args, named)


@contextmanager
def etcd(program: str, directory: Path) -> Iterator[int]:
    """Etcd with its defaults (fsync before each answer); its port."""
    port, peers = _free_port(), _free_port()
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    argv = [program, "--data-dir", str(directory / "etcd"), "--log-level", "error"]
    argv += ["--listen-client-urls", client, "--advertise-client-urls", client]
    argv += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
    with _process(argv):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=20)
        yield port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(argv: list[str]) -> Iterator[None]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def a_full_cluster() -> Snapshot:
    """A thousand VMs on a hundred workers."""
    snapshot = Snapshot(epoch=EPOCH)
    for n in range(WORKERS):
        snapshot = apply(snapshot, WorkerJoined(f"w{n}", some_facts(), f"10.77.{n}.0/24"))
    generation = a_generation(1, *(a_spec(f"vm{n}", replicas=VMS // 10) for n in range(10)))
    snapshot = apply(snapshot, GenerationPublished(generation))
    why = PlacementReason(ReasonCode.PLACED, "fits on 100 of 100 workers, and this one has the least memory left")
    placements = (
        Placement(
            name, 1, f"w{n % WORKERS}", f"10.77.{n % WORKERS}.{n // WORKERS + 2}/24", Resources(1, 256), reason=why
        )
        for n, name in enumerate(generation.instances)
    )
    return apply(snapshot, PlacementsChanged(tuple(placements)))


def moved(name: str, worker: int, snapshot: Snapshot) -> tuple[StateEvent, ...]:
    """One VM on another worker."""
    return (PlacementsChanged((replace(snapshot.placements[name], worker_id=f"w{worker}"),)),)


def placements(url: str, *, in_flight: int, seconds: float) -> float:
    """Placements a second with that many waiting."""

    async def run() -> float:
        database = open_database(url, new_epoch=lambda: EPOCH)
        snapshot = database.load("default")
        if not snapshot.placements:
            database.write(None, a_full_cluster())
        authority = Authority(database, realm="default", on_change=lambda _before, _after: None, wall_ms=lambda: 0)
        names = list(authority.snapshot.placements)
        count = 0
        began = time.perf_counter()

        async def ask(number: int) -> None:
            nonlocal count
            while time.perf_counter() - began < seconds:
                number += in_flight
                await authority.change(partial(moved, names[number % VMS], (number * 7 + 1) % WORKERS))
                count += 1

        async with trio.open_nursery() as writer:
            await writer.start(authority.run)
            async with trio.open_nursery() as callers:
                for number in range(in_flight):
                    callers.start_soon(ask, number)
            writer.cancel_scope.cancel()
        database.close()
        return count / (time.perf_counter() - began)

    return trio.run(run)


@contextmanager
def the_program(directory: Path) -> Iterator[Path]:
    """The control plane as it runs in production; its socket."""
    key, ready, config = directory / "key", directory / "ready", directory / "control-plane.toml"
    key.touch(mode=0o600)
    key.write_text(MASTER_KEY.reveal())
    settings = {
        "listen": {"rpc": "127.0.0.1:0", "socket": str(directory / "rpc.sock"), "http": "127.0.0.1:0"},
        "database": {"url": f"sqlite:///{directory}/program.sqlite"},
        "keys": {"assignment": str(key), "publishers": [str(CI_KEY.public)]},
        "runtime": {"ready_file": str(ready)},
    }
    config.write_text(tomli_w.dumps(settings))
    with _process([sys.executable, "-m", "control_plane.app", "--config", str(config), "--log-level", "error"]):
        deadline = time.monotonic() + 20
        while not ready.exists():
            if time.monotonic() > deadline:
                sys.exit("the control plane did not start within 20 s")
            time.sleep(0.02)
        yield directory / "rpc.sock"


def publishes(path: Path, *, first: int, seconds: float) -> float:
    """Publishes a second, one after the other; made before the clock runs."""
    ready = [a_publish(first + n, *(a_spec(f"vm{v}", str(n)) for v in range(PUBLISHED_VMS))) for n in range(2000)]

    async def run() -> float:
        async with open_session(UnixAddress(path), Role.PUBLISHER) as master:
            began, count = time.perf_counter(), 0
            while time.perf_counter() - began < seconds and count < len(ready):
                await master.publish_state(ready[count])
                count += 1
            return count / (time.perf_counter() - began)

    return trio.run(run)


def measure(directory: Path, *, peer: str | None, rounds: int, seconds: float) -> Iterator[Figure]:
    """All figures; within a round each of ours is followed by its peer, and the order changes every round."""
    publish_bytes = sum(len(spec.data) for spec in a_publish(1, *(a_spec(f"vm{n}") for n in range(10))).vm_specs)
    url = f"sqlite:///{directory}/store.sqlite"
    with ExitStack() as stack:
        port = stack.enter_context(etcd(peer, directory)) if peer else 0
        socket_path = stack.enter_context(the_program(directory))
        works: dict[str, Callable[[int], float]] = {
            "publish": lambda n: in_process(publishes, socket_path, first=1 + n * 10_000, seconds=seconds),
            "placement": lambda _: in_process(placements, url, in_flight=1, seconds=seconds),
            "placement_64": lambda _: in_process(placements, url, in_flight=IN_FLIGHT, seconds=seconds),
        }
        peers: dict[str, Callable[[int], float]] = {
            "publish": lambda _: in_process(puts, port, size=publish_bytes, in_flight=1, seconds=seconds),
            "placement": lambda _: in_process(puts, port, size=300, in_flight=1, seconds=seconds),
            "placement_64": lambda _: in_process(puts, port, size=300, in_flight=IN_FLIGHT, seconds=seconds),
        }
        if (Path("/usr/lib/postgresql")).exists():
            server = stack.enter_context(a_postgres())
            there = server.url("postgres", schema=server.new_schema())
            works["placement_64.postgresql"] = lambda _: in_process(
                placements, there, in_flight=IN_FLIGHT, seconds=seconds
            )
            peers["placement_64.postgresql"] = peers["placement_64"]
        for name, work in works.items():
            ours, theirs = interleaved(work, peers[name] if peer else None, rounds=rounds)
            yield Figure(f"store.{name}.per_s", round(statistics.median(ours)), "1/s", "", "", rounds)
            if peer:
                rate = statistics.median(theirs)
                ratio = statistics.median(ours) / rate
                yield Figure(f"store.{name}", round(ratio, 2), "ratio", "", f"etcd {rate:.0f}/s", rounds)


def interleaved(
    work: Callable[[int], float], other: Callable[[int], float] | None, *, rounds: int
) -> tuple[list[float], list[float]]:
    """What both gave in each round; who comes first changes."""
    ours, theirs = [], []
    for number in range(rounds):
        if other and number % 2:
            theirs.append(other(number))
        ours.append(work(number))
        if other and not number % 2:
            theirs.append(other(number))
    return ours, theirs


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object a line for each figure")
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    parser.add_argument("--etcd", default=shutil.which("etcd"), help="the peer's program")
    parser.add_argument("--directory", help="where the databases are (default: the temporary directory)")
    options = parser.parse_args()
    if not options.etcd:
        print("etcd is not installed (apt-get install etcd-server): no ratios", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="procurator-bench-", dir=options.directory) as root:
        rounds, seconds = (3, 0.7) if options.quick else (7, 2.0)
        for figure in measure(Path(root), peer=options.etcd, rounds=rounds, seconds=seconds):
            figure.show(as_json=options.json)


if __name__ == "__main__":
    main()

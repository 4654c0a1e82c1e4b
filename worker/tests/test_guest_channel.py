"""The guest's agent, as it is in guests, beside the dev hypervisor's vsock: without a guest in between."""

import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from nix.parts import make_parts
from schema.errors import DeadlineExceeded, InvalidInput, Unavailable
from schema.tests.processes import until_ended
from worker.guest.channel import MOST_OUTPUT, GuestChannel
from worker.guest.frames import Ended, Words, encoded, exec_request, said
from worker.service import CUT, exec_result
from worker.tests.test_guest import CACHE
from worker.vmm.dev.mux import MAGIC, Frame, Garbled, Kind, Reader
from worker.vmm.dev.mux import encoded as wire
from worker.vmm.dev.vsock import MOST_OWED, VsockRelay


@dataclass
class Agent:
    """A running agent, the relay that it talks to, and a channel to it."""

    process: "subprocess.Popen[bytes]"
    relay: VsockRelay
    channel: GuestChannel


@contextmanager
def an_agent(parts: Path) -> Iterator[Agent]:
    with TemporaryDirectory(prefix="vsock-") as folder:
        path = Path(folder, "vsock.sock")
        relay = VsockRelay(str(path))
        ours = relay.guest_side.fileno()
        process = subprocess.Popen((parts / "bin/guest-agent", str(ours)), pass_fds=(ours,))
        relay.start()
        try:
            yield Agent(process, relay, GuestChannel(path))
        finally:
            process.kill()
            process.wait()
            relay.stop()


async def parts() -> Path:
    return await make_parts(CACHE, say=lambda _: None)


async def until_it_listens(channel: GuestChannel) -> None:
    with trio.fail_after(60):
        while True:
            try:
                await channel.facts(deadline=60)
                return
            except Unavailable:
                await trio.sleep(0.02)


async def test_a_command_runs_with_its_arguments_input_and_exit_code() -> None:
    with an_agent(await parts()) as agent:
        await until_it_listens(agent.channel)
        echoed = await agent.channel.exec("printf", ("%s|", "a", "b c", "$(id)", ""))
        assert (echoed.exit_code, echoed.stdout) == (0, b"a|b c|$(id)||")
        fed = await agent.channel.exec("sh", ("-c", "cat; echo err >&2; exit 3"), stdin=b"hello")
        assert (fed.exit_code, fed.stdout, fed.stderr) == (3, b"hello", b"err\n")
        assert (await agent.channel.exec("no-such-command", ())).exit_code == 127
        assert (await agent.channel.exec("sh", ("-c", "kill -9 $$"))).exit_code == -9


async def test_a_command_that_takes_too_long_is_killed_with_all_that_it_started() -> None:
    with an_agent(await parts()) as agent, TemporaryDirectory() as folder:
        await until_it_listens(agent.channel)
        script = f"sleep 60 & echo $! > {folder}/pid; wait"
        done = await agent.channel.exec("sh", ("-c", script), deadline_ms=3000)
        assert (done.exit_code, done.timed_out) == (-9, True)
        pid = int(Path(folder, "pid").read_text())
        await until_ended(pid)


async def test_large_input_and_output_pass_and_what_is_too_much_is_cut_and_told() -> None:
    data = os.urandom(1 << 20)
    with an_agent(await parts()) as agent:
        await until_it_listens(agent.channel)
        assert (await agent.channel.exec("cat", (), stdin=data)).stdout == data
        flood = await agent.channel.exec("sh", ("-c", "head -c 3000000 /dev/zero; cat | wc -c >&2"), stdin=data)
        assert (len(flood.stdout), flood.stderr.strip(), flood.is_cut) == (MOST_OUTPUT, b"1048576", True)
        assert exec_result(flood).stderr == flood.stderr + CUT


async def test_what_a_command_leaves_running_does_not_keep_its_caller() -> None:
    with an_agent(await parts()) as agent:
        await until_it_listens(agent.channel)
        with trio.fail_after(60):
            done = await agent.channel.exec("sh", ("-c", "sleep 600 & echo $!"))
        os.kill(int(done.stdout), signal.SIGKILL)  # it ran on


async def test_what_a_command_leaves_running_does_not_keep_its_caller_either_when_it_never_stops_talking() -> None:
    with an_agent(await parts()) as agent, TemporaryDirectory() as folder:
        await until_it_listens(agent.channel)
        wait = f"while [ ! -s {folder}/pid ]; do sleep 0.02; done"
        script = f"echo first; setsid sh -c 'echo $$ > {folder}/pid; exec yes' & {wait}; exit 4"
        try:
            with trio.fail_after(60):
                done = await agent.channel.exec("sh", ("-c", script), deadline_ms=50_000)
            assert (done.exit_code, done.stdout[:6]) == (4, b"first\n")
        finally:
            with suppress(ProcessLookupError):
                os.kill(int(Path(folder, "pid").read_text()), signal.SIGKILL)


async def test_a_command_that_takes_no_input_is_answered_all_the_same() -> None:
    with an_agent(await parts()) as agent:
        await until_it_listens(agent.channel)
        for _ in range(20):
            done = await agent.channel.exec("sh", ("-c", "head -c 50000 /dev/zero"), stdin=bytes(500_000))
            assert (done.exit_code, len(done.stdout)) == (0, 50_000)


async def test_many_commands_run_beside_each_other() -> None:
    with an_agent(await parts()) as agent, TemporaryDirectory() as folder:
        await until_it_listens(agent.channel)
        answers: dict[int, bytes] = {}

        async def one(number: int) -> None:
            all_run = f": >{folder}/{number}; until [ -e {folder}/19 ] && [ $(ls {folder} | wc -l) = 20 ]"
            script = f"{all_run}; do sleep 0.1; done; echo {number}"
            answers[number] = (await agent.channel.exec("sh", ("-c", script))).stdout

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(one, number)
        assert answers == {number: f"{number}\n".encode() for number in range(20)}


async def test_a_caller_that_goes_ends_its_command() -> None:
    with an_agent(await parts()) as agent, TemporaryDirectory() as folder:
        await until_it_listens(agent.channel)
        script = f"echo $$ > {folder}/new; mv {folder}/new {folder}/pid; exec sleep 600"
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(agent.channel.exec, "sh", ("-c", script))
                while not Path(folder, "pid").exists():  # noqa: ASYNC110 - the command makes it
                    await trio.sleep(0.02)
                nursery.cancel_scope.cancel()
        pid = int(Path(folder, "pid").read_text())
        await until_ended(pid)


async def test_where_no_agent_is_that_is_said_and_a_new_one_takes_over(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no guest channel"):
        await GuestChannel(tmp_path / "none.sock").facts(deadline=1)
    with an_agent(await parts()) as agent:
        await until_it_listens(agent.channel)
        agent.relay.guest_was_reset()
        with trio.fail_after(60), pytest.raises((Unavailable, DeadlineExceeded)):
            while True:
                await agent.channel.facts(deadline=1)


async def test_a_guest_that_says_nonsense_costs_its_caller_an_error_and_nothing_more() -> None:
    with TemporaryDirectory(prefix="vsock-") as folder:
        relay = VsockRelay(f"{folder}/vsock.sock")
        guest = socket.socket(fileno=os.dup(relay.guest_side.fileno()))
        relay.start()
        try:
            hello = MAGIC + b"12345678"
            guest.sendall(b"boot noise" + wire(Kind.HELLO, 0, hello))
            seen = await trio.to_thread.run_sync(guest.recv, 100)
            assert seen.endswith(hello)
            answer = wire(Kind.ACCEPTED, 1) + wire(Kind.DATA, 1, struct.pack("!Ic", 2**31, b"o"))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, partial(guest.sendall, wire(Kind.OPEN, 7) + answer))
                with pytest.raises(Unavailable):
                    await GuestChannel(Path(folder, "vsock.sock")).facts(deadline=30)
        finally:
            relay.stop()
            guest.close()


@contextmanager
def a_greeted_guest() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The guest's side of a relay, by hand, and a client that it has heard of."""
    with TemporaryDirectory(prefix="vsock-") as folder:
        relay = VsockRelay(f"{folder}/vsock.sock")
        with socket.socket(fileno=os.dup(relay.guest_side.fileno())) as guest, socket.socket(socket.AF_UNIX) as client:
            relay.start()
            try:
                guest.settimeout(60)
                client.settimeout(60)
                guest.sendall(wire(Kind.HELLO, 0, MAGIC + b"12345678"))
                assert guest.recv(100).endswith(b"12345678")
                client.connect(f"{folder}/vsock.sock")
                client.sendall(b"CONNECT 1024\n")
                assert guest.recv(13) == wire(Kind.OPEN, 1, struct.pack("!I", 1024))
                yield guest, client
            finally:
                relay.stop()


def everything(client: socket.socket) -> bytes:
    said = b""
    while more := client.recv(65_536):
        said += more
    return said


def test_what_a_guest_said_before_it_reset_a_connection_arrives() -> None:
    with a_greeted_guest() as (guest, client):
        words = [wire(Kind.DATA, 1, bytes([number]) * 60_000) for number in range(2)]
        guest.sendall(wire(Kind.ACCEPTED, 1) + b"".join(words) + wire(Kind.RESET, 1))
        assert everything(client) == b"OK 1\n" + b"\0" * 60_000 + b"\1" * 60_000


@pytest.mark.parametrize("rude", [wire(Kind.ACCEPTED, 1) * 2, wire(Kind.DATA, 1, b"OK 1\n"), wire(Kind.FINISHED, 1)])
def test_a_guest_that_accepts_twice_or_speaks_before_it_has_accepted_is_cut_off(rude: bytes) -> None:
    with a_greeted_guest() as (guest, client):
        guest.sendall(rude)
        assert everything(client) in (b"OK 1\n", b"")


def test_a_guest_that_asks_for_answers_and_takes_none_is_cut_off_before_they_are_many() -> None:
    with a_greeted_guest() as (guest, client):
        rude = wire(Kind.DATA, 77) * 10_000  # of no connection: each is answered
        for _ in range(MOST_OWED // len(rude) + 10):
            guest.sendall(rude)
        assert everything(client) == b""


@given(st.binary(max_size=300), st.integers(1, 40))
def test_frames_are_the_same_however_the_bytes_are_cut(noise: bytes, cut: int) -> None:
    frames = [Frame(Kind.HELLO, 0, MAGIC + b"12345678"), Frame(Kind.OPEN, 1, b"abcd"), Frame(Kind.DATA, 2, b"x" * 50)]
    sent = (noise if MAGIC not in noise else b"") + b"".join(wire(*frame) for frame in frames)
    reader, found = Reader(), []
    for at in range(0, len(sent), cut):
        found += reader.feed(sent[at : at + cut])
    assert found == frames


@given(st.binary(max_size=400))
def test_no_bytes_break_the_reading_of_the_wire(data: bytes) -> None:
    reader = Reader()
    reader.feed(MAGIC + b"12345678")
    try:
        reader.feed(data)
    except Garbled:
        assert reader.feed(b"") == []


@given(st.binary(min_size=1, max_size=1), st.binary(max_size=200))
def test_what_the_agent_says_is_one_of_three_things_or_an_error(kind: bytes, payload: bytes) -> None:
    try:
        found = said(kind, payload)
    except Unavailable:
        return
    assert isinstance(found, Words | Ended) or json.loads(payload)["ready"] in (True, False, None, "", 0, 1)


@pytest.mark.parametrize(
    ("command", "args", "deadline_ms"),
    [("", (), 0), ("a\0b", (), 0), ("a", ("x" * 70_000,), 0), ("a", ("x",) * 300, 0), ("a", (), -1), ("a", (), 2**32)],
)
def test_what_no_guest_could_run_is_refused_here(command: str, args: tuple[str, ...], deadline_ms: int) -> None:
    with pytest.raises(InvalidInput):
        exec_request(command, args, deadline_ms=deadline_ms)


def test_a_request_is_a_frame() -> None:
    assert exec_request("ls", ("-l",), deadline_ms=5) == encoded(b"E", b"\0\0\0\x05ls\0-l\0")


async def test_an_agent_that_dies_under_a_command_is_an_error_of_its_caller_and_no_other() -> None:
    with an_agent(await parts()) as agent:
        await until_it_listens(agent.channel)
        async with trio.open_nursery() as nursery:

            async def kill_soon() -> None:
                await trio.sleep(0.3)
                agent.relay.guest_was_reset()

            nursery.start_soon(kill_soon)
            with pytest.raises(Unavailable):
                await agent.channel.exec("sleep", ("30",))

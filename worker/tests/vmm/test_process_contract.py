"""What the port does not show: HTTP as recorded, process life, exit codes and what is left behind."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator

import pytest
import trio

from worker.tests.vmm import tiny_kernel
from worker.tests.vmm.subjects import (
    COMMANDS,
    PATIENCE,
    PROCESSES,
    Running,
    a_config,
    a_folder,
    a_kernel,
    ask,
    create_and_boot,
    request,
    response,
    running,
    told,
    until_ready,
)
from worker.vmm.client import CloudHypervisor
from worker.vmm.config import Disk, Size
from worker.vmm.dev.phases import CANNOT, Request
from worker.vmm.port import HypervisorRefused, VmAction, VmState

DROPPED = "All previous unanswered requests will be dropped."


@pytest.fixture(params=PROCESSES)
def subject(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def started(subject: str) -> AsyncIterator[Running]:
    with a_folder() as folder:
        async with running(subject, folder) as process:
            yield process


def causes(started: Running, endpoint: str, body: bytes) -> tuple[int, list[str]]:
    status, _, answer = ask(started, request("PUT", endpoint, body))
    return status, json.loads(answer)


# HTTP


async def test_answers_have_no_reason_and_stay_open(started: Running) -> None:
    with started.raw() as connection:
        for _ in range(2):
            connection.sendall(request("GET", "vmm.ping", headers="Connection: close\r\n"))
            status, headers, body = response(connection)
            assert (status, headers["status-line"]) == (200, "HTTP/1.1 200 ")
            assert (headers["server"], headers["connection"]) == ("Cloud Hypervisor API", "keep-alive")
            assert headers["content-type"] == "application/json"
            assert {"build_version", "version", "pid", "features"} <= json.loads(body).keys()


async def test_empty_answers_have_neither_type_nor_length(started: Running) -> None:
    status, headers, _ = ask(started, request("PUT", "vm.delete"))
    assert (status, "content-length" in headers, "content-type" in headers) == (204, False, False)


async def test_error_bodies_are_arrays_outermost_first(started: Running) -> None:
    status, headers, body = ask(started, request("GET", "vm.info"))
    assert (status, headers["content-type"]) == (404, "application/json")
    assert json.loads(body) == ["Error from API", "The VM info is not available", "VM is not created"]


@pytest.mark.parametrize("target", ["nothing", "vm.info?x=1", "vm.info/", "vm.coredump"])
async def test_unknown_paths_are_not_found(started: Running, target: str) -> None:
    method = "PUT" if target == "vm.coredump" else "GET"
    status, _, body = ask(started, request(method, target))
    assert (status, json.loads(body)) == (404, ["Not Found"])


@pytest.mark.parametrize("request_", CANNOT, ids=lambda request_: request_.value)
async def test_what_the_dev_hypervisor_has_not_it_refuses_in_words(request_: Request) -> None:
    with a_folder() as folder:
        async with running("dev", folder) as started:
            if request_ not in (Request.RECEIVE_MIGRATION,):
                await create_and_boot(started.client, a_config(folder))
            status, told = causes(started, request_.value, b"{}")
            expected = ["Error from API", request_.failure, f"The dev hypervisor has no {CANNOT[request_]}"]
            assert (status, told) == (500, expected)


async def test_wrong_methods_are_bad_requests(started: Running) -> None:
    assert ask(started, request("PUT", "vm.info"))[::2] == (400, b'["Bad Request"]')
    assert ask(started, request("GET", "vm.boot"))[::2] == (400, b'["Bad Request"]')
    assert ask(started, request("DELETE", "vm.info"))[::2] == (400, b"")
    status, headers, body = ask(started, request("POST", "vm.info"))
    assert (status, headers["server"]) == (400, "Firecracker API")
    assert body.startswith(b'{ "error": "Invalid HTTP Method: Unsupported HTTP method.\n')


async def test_actions_take_no_body_and_create_needs_one(started: Running) -> None:
    assert ask(started, request("PUT", "vm.boot", b"{}"))[::2] == (400, b'["Bad Request"]')
    assert ask(started, request("PUT", "vm.create"))[::2] == (400, b"")
    for endpoint in ("vm.add-disk", "vm.remove-device", "vm.resize", "vm.snapshot", "vm.restore", "vm.add-fs"):
        assert ask(started, request("PUT", endpoint))[::2] == (400, b'["Bad Request"]')
    assert ask(started, request("PUT", "vm.delete", b""))[0] == 204


async def test_chunked_bodies_are_refused(started: Running) -> None:
    chunked = request("PUT", "vm.create", headers="Transfer-Encoding: chunked\r\n") + b"2\r\n{}\r\n0\r\n\r\n"
    status, headers, body = ask(started, chunked)
    assert (status, headers["server"]) == (400, "Firecracker API")
    assert body == f'{{ "error": "Invalid request.\n{DROPPED}" }}'.encode()


async def test_body_limit_is_v53s(started: Running) -> None:
    if int((await started.client.ping()).version.split(".")[0]) > 53:
        pytest.skip("the limit was raised after v53")
    too_long = b'{"x":"' + b"x" * 51_200 + b'"}'
    status, _, body = ask(started, request("PUT", "vm.create", too_long))
    expected = f"Request payload with size {len(too_long)} is larger than the limit of 51200 allowed by server.\n"
    assert (status, body) == (400, f'{{ "error": "{expected}{DROPPED}" }}'.encode())
    fits = b'{"x":"' + b"x" * (51_200 - 8) + b'"}'
    assert ask(started, request("PUT", "vm.create", fits))[0] == 204


async def test_pipelined_requests_are_answered_in_order(started: Running) -> None:
    with started.raw() as connection:
        connection.sendall(request("GET", "vmm.ping") + request("GET", "vm.info"))
        data = b""
        while b"VM is not created" not in data:
            data += connection.recv(65_536)
    assert data.index(b"200") < data.index(b"404")


async def test_expect_continue_old_http_and_absolute_targets_work(started: Running) -> None:
    with started.raw() as connection:
        connection.sendall(
            b"PUT /api/v1/vm.create HTTP/1.1\r\nExpect: 100-continue\r\n"
            b"Content-Length: 2\r\nContent-Type: text/plain\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"{}")
        assert response(connection)[0] == 204
    assert ask(started, b"GET /api/v1/vm.info HTTP/1.0\r\n\r\n")[0] == 200
    assert ask(started, b"GET http://localhost/api/v1/vm.info HTTP/1.1\r\n\r\n")[0] == 200


async def test_eleventh_connection_is_turned_away_and_a_slot_is_free_at_once(started: Running) -> None:
    await started.client.__aexit__(None, None, None)
    await trio.sleep(0.05)
    held = [started.raw() for _ in range(10)]
    try:
        for connection in held:
            connection.sendall(request("GET", "vmm.ping"))
            assert response(connection)[0] == 200
        with started.raw() as eleventh:
            status, headers, body = response(eleventh)
            assert (status, headers["connection"]) == (503, "close")
            assert body == b'{ "error": "Too many open connections" }'
        held.pop().close()
        await trio.sleep(0.05)
        assert ask(started, request("GET", "vmm.ping"))[0] == 200
    finally:
        for connection in held:
            connection.close()


async def test_a_client_that_sends_half_a_request_holds_nobody_up(started: Running) -> None:
    with started.raw() as slow:
        slow.sendall(b"GET /api/v1/vmm")
        assert ask(started, request("GET", "vmm.ping"))[0] == 200


# What create reads


@pytest.mark.parametrize(
    ("body", "second"),
    [
        (b"{bad", "key must be a string at line 1 column 2"),
        (b"[]", "invalid length 2, expected struct VmConfig with 28 elements"),
        (b'{"cpus":{"boot_vcpus":"x","max_vcpus":1}}', 'invalid type: string "x", expected u32'),
        (b'{"cpus":{"boot_vcpus":1}}', "missing field `max_vcpus`"),
        (b'{"net":[{"mac":"zz"}]}', "The provided MAC address is invalid: parsing of zz into a MAC address failed"),
        (
            b'{"serial":{"mode":"file"}}',
            "unknown variant `file`, expected one of `Off`, `Pty`, `Tty`, `File`, `Socket`, `Null`",
        ),
    ],
)
async def test_bad_configurations_are_told_as_recorded(started: Running, body: bytes, second: str) -> None:
    status, told = causes(started, "vm.create", body)
    assert (status, told[0]) == (400, "Failed to deserialize JSON")
    assert told[1].startswith(second)
    assert ask(started, request("GET", "vm.info"))[0] == 404


async def test_unknown_keys_are_ignored_and_an_empty_config_is_accepted(started: Running) -> None:
    assert (
        ask(started, request("PUT", "vm.create", b'{"typo": 1, "cpus": {"boot_vcpus":1,"max_vcpus":2,"x":[]}}'))[0]
        == 204
    )
    _, _, body = ask(started, request("GET", "vm.info"))
    info = json.loads(body)
    assert info["config"]["cpus"]["max_vcpus"] == 2
    assert info["config"]["memory"]["size"] == 512 * 2**20
    assert info["config"]["serial"] == {"mode": "Null"}
    assert "typo" not in info["config"]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            {},
            [
                "Failed to validate config",
                "Payload configuration is not bootable",
                "No bootitem provided: neither firmware nor kernel",
            ],
        ),
        (
            {"payload": {"kernel": "/k", "firmware": "/f"}},
            [
                "Failed to validate config",
                "Payload configuration is not bootable",
                "Specifying a kernel is not supported when a firmware is provided",
            ],
        ),
        (
            {"payload": {"kernel": "/k"}, "cpus": {"boot_vcpus": 4, "max_vcpus": 2}},
            ["Failed to validate config", "Max CPUs (2) lower than boot CPUs (4)"],
        ),
        (
            {"payload": {"kernel": "/k"}, "disks": [{"id": "a", "path": "/x"}, {"id": "a", "path": "/y"}]},
            ["Failed to validate config", "Identifier a is not unique"],
        ),
        (
            {"payload": {"kernel": "/k"}, "net": [{"num_queues": 1}]},
            ["Failed to validate config", "Number of queues (1) to virtio_net should be higher than 2"],
        ),
        (
            {"payload": {"kernel": "/k"}, "vsock": {"cid": 2, "socket": "/s"}},
            ["Failed to validate config", "2 is a special VSOCK CID"],
        ),
        ({"payload": {"kernel": "/k"}, "memory": {"size": 0}}, ["Memory manager error", "No memory zones found"]),
        (
            {"payload": {"kernel": "/k"}, "memory": {"size": 1_000_001}},
            ["Memory manager error", "Memory size is misaligned with default page size or its hugepage size"],
        ),
    ],
)
async def test_boot_checks_what_create_did_not(started: Running, config: dict[str, object], told: list[str]) -> None:
    assert (
        ask(started, request("PUT", "vm.create", json.dumps({**config, "console": {"mode": "Off"}}).encode()))[0] == 204
    )
    status, _, body = ask(started, request("PUT", "vm.boot"))
    assert json.loads(body) == ["Error from API", "The VM could not boot", *told]
    assert status in (500, 400, 409)
    assert json.loads(ask(started, request("GET", "vm.info"))[2])["state"] == "Created"


async def test_serial_file_in_a_missing_folder_fails_create_and_keeps_the_config(started: Running) -> None:
    config = {"serial": {"mode": "File", "file": str(started.folder / "none" / "log")}, "console": {"mode": "Off"}}
    status, told = causes(started, "vm.create", json.dumps(config).encode())
    assert (status, told) == (
        500,
        [
            "Error from API",
            "The VM could not be created",
            "Error creating console devices",
            "Error creating console device",
            "No such file or directory (os error 2)",
        ],
    )
    assert causes(started, "vm.create", b"{}")[1][-1] == "VM is already created"


async def test_console_has_no_socket_mode(started: Running) -> None:
    status, told = causes(started, "vm.create", b'{"console":{"mode":"Socket"}}')
    assert (status, told[-1]) == (500, "No socket option support for console device")


async def test_disk_shorter_than_a_sector_is_refused_and_dropped(started: Running) -> None:
    if int((await started.client.ping()).version.split(".")[0]) > 53:
        pytest.skip("accepted after v53")
    short = started.folder / "short"
    short.write_bytes(b"abc")
    await started.client.create(a_config(started.folder, disks=(Disk(str(short), "a", readonly=True),)))
    with pytest.raises(HypervisorRefused) as failed:
        await started.client.act(VmAction.BOOT)
    assert failed.value.causes[-1] == "failed to fill whole buffer"


async def test_serial_file_without_a_file_kills_the_process(started: Running) -> None:
    with started.raw() as connection:
        connection.sendall(request("PUT", "vm.create", b'{"serial":{"mode":"File"}}'))
        assert await started.exit_code() == 1


# Process life


async def test_socket_is_private_and_has_a_lock_beside_it(started: Running) -> None:
    assert started.left() == {"api.sock", "api.sock.lock"}
    assert started.socket_path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("with_vm", [True, False])
async def test_terminated_it_exits_0_and_leaves_only_its_lock(
    started: Running, number: signal.Signals, *, with_vm: bool
) -> None:
    if with_vm:
        await create_and_boot(started.client, a_config(started.folder))
    started.process.send_signal(number)
    assert await started.exit_code() == 0
    assert started.left() == {"api.sock.lock"}


async def test_hung_up_it_dies_of_the_signal_and_leaves_its_socket(started: Running) -> None:
    started.process.send_signal(signal.SIGHUP)
    assert await started.exit_code() == -signal.SIGHUP
    assert "api.sock" in started.left()


async def test_killed_it_leaves_its_sockets_and_the_next_one_takes_the_apis(started: Running, subject: str) -> None:
    config = a_config(started.folder)
    await create_and_boot(started.client, config)
    started.process.send_signal(signal.SIGKILL)
    assert await started.exit_code() == -signal.SIGKILL
    assert started.left() == {"api.sock", "api.sock.lock", "serial.sock"}
    async with running(subject, started.folder) as second:
        with pytest.raises(HypervisorRefused, match="Address already in use"):
            await second.client.create(config)


async def test_vmm_shutdown_answers_200_and_exits_0(started: Running) -> None:
    await create_and_boot(started.client, a_config(started.folder))
    status, headers, body = ask(started, request("PUT", "vmm.shutdown"))
    assert (status, body, "content-length" in headers) == (200, b"", False)
    assert await started.exit_code() == 0
    assert started.left() == {"api.sock.lock"}


async def test_guest_power_off_ends_the_process(started: Running) -> None:
    kernel = a_kernel(started.folder, tiny_kernel.powering_off())
    config = a_config(started.folder, kernel=kernel, cmdline="fake.powers-off-after=0.05")
    await create_and_boot(started.client, config)
    assert await started.exit_code() == 0
    assert started.left() == {"api.sock.lock"}


async def test_guest_power_off_with_no_shutdown_leads_back_to_created(subject: str) -> None:
    with a_folder() as folder:
        kernel = a_kernel(folder, tiny_kernel.powering_off())
        config = a_config(folder, kernel=kernel, cmdline="fake.powers-off-after=0.05")
        async with running(subject, folder, "--no-shutdown") as started:
            await create_and_boot(started.client, config)
            with trio.fail_after(PATIENCE):
                while (await started.client.info()).state is not VmState.CREATED:  # noqa: ASYNC110 - polled API
                    await trio.sleep(0.02)
            await started.client.act(VmAction.BOOT)


async def test_live_socket_is_refused_with_1_and_stays_unharmed(started: Running, subject: str) -> None:
    argv = [*COMMANDS[subject], "--api-socket", f"path={started.socket_path}"]
    second = await trio.to_thread.run_sync(
        lambda: subprocess.run(argv, capture_output=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL)
    )
    assert second.returncode == 1
    assert b"is already in use by another running instance" in second.stderr
    assert (await started.client.ping()).pid == started.process.pid


async def test_stale_file_at_the_path_is_replaced(subject: str) -> None:
    with a_folder() as folder:
        (folder / "api.sock").write_text("no socket")
        async with running(subject, folder) as started:
            assert started.socket_path.is_socket()


@pytest.mark.parametrize("flags", [[], ["--nonsense"], ["--api-socket", "x", "--seccomp", "maybe"]])
def test_wrong_arguments_exit_2_with_words_on_stderr(subject: str, flags: list[str]) -> None:
    done = subprocess.run([*COMMANDS[subject], *flags], capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert done.stderr


def test_version_is_told(subject: str) -> None:
    done = subprocess.run([*COMMANDS[subject], "--version"], capture_output=True, timeout=PATIENCE, check=True)
    assert b" v5" in done.stdout


async def test_nobody_listening_to_its_log_is_no_reason_to_end(subject: str) -> None:
    with a_folder() as folder:
        path = folder / "api.sock"
        reading, writing = os.pipe()
        argv = [*COMMANDS[subject], "--api-socket", str(path), "-v"]
        process = subprocess.Popen(argv, stdout=writing, stderr=writing)  # noqa: ASYNC220 - quick
        os.close(writing)
        os.close(reading)
        try:
            async with CloudHypervisor(str(path)) as client:
                await until_ready(client, process, folder / "none")
                await create_and_boot(client, a_config(folder))
                await client.act(VmAction.SHUTDOWN_VMM)
            assert await trio.to_thread.run_sync(lambda: process.wait(PATIENCE)) == 0
        finally:
            process.kill()
            process.wait()


async def test_an_inherited_socket_is_served(subject: str) -> None:
    with a_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "api.sock"))
        listener.listen()
        argv = [*COMMANDS[subject], "--api-socket", f"fd={listener.fileno()}"]
        process = subprocess.Popen(argv, pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL)  # noqa: ASYNC220 - quick
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PATIENCE)
                connection.connect(str(folder / "api.sock"))
                connection.sendall(request("GET", "vmm.ping"))
                assert response(connection)[0] == 200
        finally:
            process.kill()
            process.wait()


async def test_event_monitor_tells_the_recorded_events(subject: str) -> None:
    with a_folder() as folder:
        events = folder / "events"
        async with running(subject, folder, "--event-monitor", f"path={events}") as started:
            await create_and_boot(started.client, a_config(folder))
            await started.client.act(VmAction.SHUTDOWN)
            await started.client.act(VmAction.DELETE)
            await started.client.act(VmAction.SHUTDOWN_VMM)
            await started.exit_code()
        assert told(events) == [
            ("vmm", "starting"),
            ("vm", "booting"),
            ("vm", "booted"),
            ("vm", "shutdown"),
            ("vm", "deleted"),
            ("vmm", "shutdown"),
        ]


# What the event monitor tells, and devices in words


async def test_the_event_monitor_tells_the_life_of_a_vm_as_recorded(subject: str) -> None:
    with a_folder() as folder:
        events, saved = folder / "events", folder / "saved"
        saved.mkdir()
        async with running(subject, folder, "--event-monitor", f"path={events}") as started:
            client = started.client
            with pytest.raises(HypervisorRefused):
                await client.act(VmAction.REBOOT)
            await create_and_boot(client, a_config(folder))
            with pytest.raises(HypervisorRefused):
                await client.snapshot(str(saved))
            await client.act(VmAction.REBOOT)
            await client.act(VmAction.PAUSE)
            await client.snapshot(str(saved))
            await client.act(VmAction.RESUME)
            await client.resize(Size(cpus=1))
            await client.act(VmAction.SHUTDOWN)
            await client.act(VmAction.DELETE)
            await client.restore(str(saved), resume=True)
            await client.act(VmAction.SHUTDOWN_VMM)
            await started.exit_code()
        assert [event for _, event in told(events)] == [
            *("starting", "rebooting", "booting", "booted", "snapshotting", "rebooting", "rebooted"),
            *("pausing", "paused", "snapshotting", "snapshotted", "resuming", "resumed", "resizing", "resized"),
            *("shutdown", "deleted", "restoring", "restored", "resuming", "resumed"),
            *("shutdown", "deleted", "shutdown"),
        ]


async def test_a_second_vsock_is_refused_and_an_added_one_listens(started: Running) -> None:
    vsock = json.dumps({"cid": 3, "socket": str(started.folder / "v.sock")}).encode()
    assert ask(started, request("PUT", "vm.add-vsock", vsock))[0] == 404
    await create_and_boot(started.client, a_config(started.folder))
    status, _, answer = ask(started, request("PUT", "vm.add-vsock", vsock))
    assert (status, json.loads(answer)["id"]) == (200, "_vsock0")
    status, words = causes(started, "vm.add-vsock", vsock)
    assert (status, words[-1]) == (500, "Too many virtio-vsock devices")


async def test_bad_devices_are_told_as_recorded(started: Running) -> None:
    await create_and_boot(started.client, a_config(started.folder))
    status, words = causes(started, "vm.add-disk", b"{}")
    assert (status, words[-1]) == (500, "No disk path was specified when one was expected")
    path = started.folder / "disk"
    path.write_bytes(bytes(2**20))
    disk = json.dumps({"path": str(path), "id": "a", "image_type": "Raw"}).encode()
    assert ask(started, request("PUT", "vm.add-disk", disk))[0] == 200
    status, words = causes(started, "vm.add-disk", disk)
    assert status in (500, 409)
    assert words[-1] == "Identifier a is not unique"
    status, words = causes(started, "vm.resize-disk", b'{"id":"nope","desired_size":4096}')
    assert status in (500, 404)
    assert words[-1] == "Failed to find device corresponding to the given identifier: nope"
    assert causes(started, "vm.add-disk", b"{bad")[1][0] == "Failed to deserialize JSON"
    assert causes(started, "vm.remove-device", b"{}")[1][1].startswith("missing field `id`")


async def test_a_disk_is_made_longer_with_its_file() -> None:
    with a_folder() as folder:
        async with running("dev", folder) as started:
            path = folder / "disk"
            path.write_bytes(bytes(2**20))
            await create_and_boot(started.client, a_config(folder, disks=(Disk(str(path), "a", readonly=False),)))
            body = json.dumps({"id": "_disk0", "desired_size": 2**21}).encode()
            assert ask(started, request("PUT", "vm.resize-disk", body))[0] == 204
            assert path.stat().st_size == 2**21

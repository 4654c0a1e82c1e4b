"""The dev hypervisor's pure parts: HTTP bytes, command line, state table, QEMU's arguments."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.tests.vmm.subjects import request
from worker.vmm.dev.answers import BootFailed, BootFailure, GuestEnd, GuestFailed, Json, Refused, Unplugged
from worker.vmm.dev.command_line import Options, Place, UsageProblem, parse
from worker.vmm.dev.counters import disk_counters
from worker.vmm.dev.guest_port import Steering
from worker.vmm.dev.machine import Machine
from worker.vmm.dev.phases import AFTER, CANNOT, REFUSALS, Phase, Request, after
from worker.vmm.dev.qemu_arguments import Descriptors, arguments
from worker.vmm.dev.slots import Slots, at_boot
from worker.vmm.dev.snapshot import Snapshot
from worker.vmm.dev.vm_config import parse as parse_config
from worker.vmm.dev.vm_config import with_boot_names
from worker.vmm.dev.wire import Event, HttpRequest, Malformed, NeedsContinue, RequestReader, Silenced
from worker.vmm.fake import ScriptedGuest, script_of

README = Path(__file__).parents[2] / "vmm" / "README.md"


# HTTP

requests = st.lists(
    st.sampled_from(
        [
            request("GET", "vmm.ping"),
            request("PUT", "vm.create", b'{"a": 1}'),
            request("PUT", "vm.boot", b""),
            b"PUT http://localhost/api/v1/vm.delete HTTP/1.0\r\n\r\n",
            b"GET /elsewhere HTTP/1.1\r\n\r\n",
        ]
    ),
    max_size=4,
)


@given(requests, st.lists(st.integers(1, 40)))
def test_requests_read_the_same_however_they_are_cut(sent: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(sent)
    reader = RequestReader()
    events: list[Event] = []
    rest = whole
    for cut in cuts:
        events += reader.feed(rest[:cut])
        rest = rest[cut:]
    events += reader.feed(rest)
    assert events == RequestReader().feed(whole)
    assert len(events) == len(sent)


@given(st.lists(st.binary(max_size=300)))
def test_garbage_is_answered_or_waited_for_but_never_raises(parts: list[bytes]) -> None:
    reader = RequestReader()
    for part in parts:
        for event in reader.feed(part):
            assert isinstance(event, HttpRequest | Malformed | NeedsContinue | Silenced)


def test_a_head_without_end_is_refused() -> None:
    (event,) = RequestReader().feed(b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000)
    assert isinstance(event, Malformed)


def test_far_over_the_body_limit_nothing_is_answered_any_more() -> None:
    reader = RequestReader()
    assert reader.feed(request("PUT", "vm.create", headers="Content-Length: 99999999\r\n")) == [Silenced()]
    assert reader.feed(request("GET", "vmm.ping")) == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET /api/v1/vmm.ping HTTP/2.0\r\n\r\n",
        b"GET /api/v1/vmm.ping\r\n\r\n",
        b"GET /api/v1/vmm.ping HTTP/1.1\r\nnocolon\r\n\r\n",
        b"PUT /api/v1/vm.create HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"PUT /api/v1/vm.create HTTP/1.1\r\nContent-Length: two\r\n\r\n",
    ],
)
def test_malformed_heads_are_refused(head: bytes) -> None:
    (event,) = RequestReader().feed(head)
    assert event == Malformed("Invalid request.\nAll previous unanswered requests will be dropped.")


# Command line


def test_command_line_takes_both_forms_of_every_value() -> None:
    expected = Options(
        api_socket=Place(path="/a"),
        event_monitor=Place(fd=3),
        log_file="/l",
        seccomp="false",
        no_shutdown=True,
        verbosity=3,
        accelerator="kvm",
    )
    spaced = ["--api-socket", "path=/a", "--event-monitor", "fd=3", "--log-file", "/l", "--seccomp", "false"]
    joined = ["--api-socket=/a", "--event-monitor=fd=3", "--log-file=/l", "--seccomp=false"]
    for values in (spaced, joined):
        assert parse([*values, "--no-shutdown", "-vv", "-v", "--dev-accel", "kvm"]) == expected


def test_tcg_unless_asked() -> None:
    assert parse(["--api-socket", "x"]).accelerator == "tcg"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["-v"],
        ["--api-socket"],
        ["--api-socket", ""],
        ["--api-socket", "fd=x"],
        ["--api-socket", "x", "--cpus", "boot=1"],
        ["--api-socket", "x", "--seccomp", "maybe"],
        ["--api-socket", "x", "--dev-accel", "hvf"],
        ["-vx"],
    ],
)
def test_other_command_lines_are_usage_problems(argv: list[str]) -> None:
    with pytest.raises(UsageProblem):
        parse(argv)


@pytest.mark.parametrize("flag", ["--version", "-V", "--help", "-h"])
def test_version_and_help_need_no_socket(flag: str) -> None:
    options = parse([flag])
    assert options.version or options.help


# State machine


class _Guest:
    """A guest that starts or fails as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.fails: GuestFailed | None = None
        self.runs = False
        self.saved: Snapshot | None = None

    def open_serial(self, config: Json) -> None:
        """Nothing to open."""

    def close_serial(self) -> None:
        """Nothing to close."""

    def start(self, config: Json, slots: Slots, *, saved: str | None = None) -> None:
        assert not self.runs, "started twice"
        if self.fails is not None:
            raise self.fails
        self.runs = True

    def stop(self) -> None:
        self.runs = False

    def steer(self, steering: Steering) -> None:
        assert self.runs

    def plug(self, kind: str, device: Json, slot: int) -> None:
        assert self.runs

    unplug = resize_balloon = lambda self, _: None

    def resize_disk(self, slot: int, size: int) -> None:
        assert self.runs

    def counters(self, config: Json, slots: Slots) -> Json:
        return {}

    def save(self, folder: str, snapshot: Snapshot) -> None:
        self.saved = snapshot

    def load(self, folder: str) -> Snapshot:
        if self.saved is None:
            raise FileNotFoundError(2, "No such file or directory")
        return self.saved


BODY = b'{"payload":{"kernel":"/k"},"disks":[{"path":"/d"}],"console":{"mode":"Off"}}'
BODIES = {
    Request.CREATE: BODY,
    Request.ADD_DISK: b'{"path":"/e"}',
    Request.ADD_NET: b'{"tap":"t"}',
    Request.ADD_VSOCK: b'{"cid":3,"socket":"/s"}',
    Request.RESIZE: b"{}",
    Request.RESIZE_DISK: b'{"id":"_disk0","desired_size":4096}',
    Request.REMOVE_DEVICE: b'{"id":"_disk0"}',
    Request.SNAPSHOT: b'{"destination_url":"file:///snapshot"}',
    Request.RESTORE: b'{"source_url":"file:///snapshot"}',
    **dict.fromkeys(CANNOT, b"{}"),
}
failures = st.sampled_from([None, *BootFailure])
OWN_FAILURES = {
    Request.ADD_VSOCK: {"Too many virtio-vsock devices"},
    Request.REMOVE_DEVICE: {"Error from device manager", 'No device with id "_disk0" to remove'},
    Request.RESIZE_DISK: {"Error from device manager"},
    Request.RESTORE: {"No such file or directory (os error 2)", "why"},
    Request.BOOT: {"why"},
    Request.REBOOT: {"why"},
    Request.ADD_DISK: {"Error from device manager"},
    Request.ADD_NET: {"Error from device manager"},
    Request.SNAPSHOT: {"Cannot snapshot VM"},
}


def machine_over(guest: _Guest) -> Machine:
    return Machine(guest, random_mac=lambda: "2e:00:00:00:00:01")


@given(st.lists(st.tuples(st.sampled_from(Request), failures), max_size=16))
def test_any_order_of_requests_follows_the_table(asked: list[tuple[Request, BootFailure | None]]) -> None:
    guest = _Guest()
    machine = machine_over(guest)
    for request_, failure in asked:
        before = machine.phase
        guest.fails = None if failure is None else BootFailed(failure, "why", kind_of_device="disks")
        try:
            machine.handle(request_, BODIES.get(request_, b""))
        except Refused as refused:
            told = REFUSALS[request_].get(before)
            assert refused.causes[0] == request_.failure
            if told is not None:
                assert (refused.status, refused.causes[1:]) == told
                assert machine.phase is before
            elif request_ in CANNOT:
                assert refused.causes[1:] == (f"The dev hypervisor has no {CANNOT[request_]}",)
            else:
                assert refused.causes[1] in OWN_FAILURES[request_]
                wrecks = refused.causes[1] == "why" and failure is BootFailure.LATE and request_ is not Request.RESTORE
                ends = Phase.CREATED if request_ in (Request.BOOT, Request.REBOOT) else before
                assert machine.phase is (Phase.WRECKED if wrecks else ends)
        else:
            assert before not in REFUSALS[request_]
            assert request_ not in CANNOT
            assert machine.phase is after(request_, before)
        assert guest.runs is machine.phase.has_guest
    machine.end()
    assert not guest.runs


def test_a_device_failure_drops_all_devices_of_that_kind() -> None:
    guest = _Guest()
    guest.fails = BootFailed(BootFailure.DEVICE, "why", kind_of_device="disks")
    machine = machine_over(guest)
    machine.handle(Request.CREATE, BODY)
    with pytest.raises(Refused):
        machine.handle(Request.BOOT, b"")
    info = machine.handle(Request.INFO, b"")
    assert info is not None
    assert isinstance(info["config"], dict)
    assert "disks" not in info["config"]


def test_a_device_that_the_guest_let_go_unasked_is_removed_without_asking_it() -> None:
    machine = machine_over(_Guest())
    machine.handle(Request.CREATE, BODY)
    machine.handle(Request.BOOT, b"")
    assert machine.handle(Request.ADD_DISK, b'{"path":"/e"}') == {"id": "_disk1", "bdf": "0000:01:03.0"}
    machine.guest_told(Unplugged(2))
    machine.guest_told(Unplugged(3))
    machine.handle(Request.REMOVE_DEVICE, b'{"id":"_disk0"}')
    assert machine.handle(Request.ADD_DISK, b'{"path":"/f"}') == {"id": "_disk2", "bdf": "0000:01:02.0"}


def test_a_slot_is_free_again_only_when_the_guest_has_let_go() -> None:
    machine = machine_over(_Guest())
    machine.handle(Request.CREATE, BODY)
    machine.handle(Request.BOOT, b"")
    machine.handle(Request.REMOVE_DEVICE, b'{"id":"_disk0"}')
    assert machine.handle(Request.ADD_DISK, b'{"path":"/e"}') == {"id": "_disk1", "bdf": "0000:01:03.0"}
    machine.guest_told(Unplugged(2))
    assert machine.handle(Request.ADD_DISK, b'{"path":"/f"}') == {"id": "_disk2", "bdf": "0000:01:02.0"}
    for _ in range(28):
        machine.handle(Request.ADD_DISK, b'{"path":"/g"}')
    with pytest.raises(Refused, match="slots for 31 devices"):
        machine.handle(Request.ADD_DISK, b'{"path":"/g"}')


def diagram() -> str:
    """The phases as a mermaid diagram, from the tables."""
    name = {phase: phase.name.lower() for phase in Phase}
    lines = ["stateDiagram-v2", "    [*] --> no_vm"]
    for phase in Phase:
        for request_ in AFTER:
            then = after(request_, phase)
            if phase not in REFUSALS[request_] and then is not phase:
                lines.append(f"    {name[phase]} --> {name[then]}: {request_.value}")
    lines.append("    created --> wrecked: vm.boot fails late")
    return "\n".join(lines)


def test_the_readme_shows_the_tables_diagram() -> None:
    assert f"```mermaid\n{diagram()}\n```" in README.read_text()


# QEMU's arguments


def test_qemu_gets_exactly_this() -> None:
    config = parse_config(
        b'{"payload":{"kernel":"/k","cmdline":"a b","initramfs":"/i"},"memory":{"size":134217728},'
        b'"serial":{"mode":"Socket","socket":"/s"},"disks":[{"path":"/d,x","serial":"store","readonly":true}],'
        b'"net":[{"tap":"t0","mac":"02:00:00:00:00:01"}],"cpus":{"boot_vcpus":2,"max_vcpus":2}}'
    )
    named, _ = with_boot_names(config, random_mac=str)
    descriptors = Descriptors(control=5, serial_listener=6, taps=(7,))
    assert arguments(named, at_boot(named), descriptors=descriptors, accelerator="tcg", sandbox=False) == [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "q35,smm=off,vmport=off,sata=off,smbus=off,i8042=off,usb=off,hpet=on"),
        *("-accel", "tcg,thread=multi,tb-size=32"),
        *("-cpu", "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm,+rdrand"),
        *("-smp", "2", "-m", "size=131072k", "-kernel", "/k", "-initrd", "/i", "-append", "a b"),
        *("-chardev", "socket,id=control,fd=5", "-mon", "chardev=control,mode=control"),
        *("-chardev", "socket,id=serial,fd=6,server=on,wait=off", "-serial", "chardev:serial"),
        *("-device", '{"driver":"pcie-pci-bridge","id":"slots","bus":"pcie.0","addr":"1"}'),
        *("-device", '{"driver":"virtio-rng-pci","bus":"slots","addr":"1"}'),
        "-blockdev",
        '{"driver":"raw","file":{"driver":"file","filename":"/d,x","discard":"unmap"},"discard":"unmap",'
        '"node-name":"disk2","read-only":true}',
        "-device",
        '{"driver":"virtio-blk-pci","id":"blk2","drive":"disk2","bus":"slots","addr":"2","disable-legacy":"on",'
        '"serial":"store"}',
        *("-netdev", "tap,id=net3,fd=7"),
        "-device",
        '{"driver":"virtio-net-pci","id":"nic3","netdev":"net3","mac":"02:00:00:00:00:01","bus":"slots",'
        '"addr":"3","disable-legacy":"on","romfile":""}',
    ]


@pytest.mark.parametrize(
    ("serial", "expected"),
    [
        (b'{"mode":"Null"}', ["-serial", "null"]),
        (b'{"mode":"Off"}', []),
        (
            b'{"mode":"File","file":"/a,b"}',
            ["-chardev", "file,id=serial,path=/a,,b,append=on", "-serial", "chardev:serial"],
        ),
        (b'{"mode":"Tty"}', ["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"]),
    ],
)
def test_every_serial_mode_has_its_chardev(serial: bytes, expected: list[str]) -> None:
    config = parse_config(b'{"payload":{"kernel":"/k"},"serial":' + serial + b"}")
    argv = arguments(config, at_boot(config), descriptors=Descriptors(5, None, ()), accelerator="kvm", sandbox=True)
    at = argv.index("chardev=control,mode=control") + 1
    assert argv[at : at + len(expected)] == expected
    assert argv[at + len(expected)] == "-device"
    assert "-sandbox" in argv


def test_disk_counters_are_sentinels_until_there_was_io() -> None:
    idle = disk_counters({})
    assert idle["read_latency_min"] == 2**64 - 1
    assert idle["write_latency_avg"] == 1844674407370955
    busy = disk_counters({"rd_operations": 2, "rd_bytes": 1024, "rd_total_time_ns": 8_000})
    assert (busy["read_ops"], busy["read_bytes"], busy["read_latency_avg"]) == (2, 1024, 4)


# The fake's script


async def test_the_fakes_script_is_in_the_kernel_command_line() -> None:
    config: Json = {
        "payload": {"cmdline": "quiet fake.power-button=ignored fake.dies-after=0.5 fake.listens=127.0.0.1:80"}
    }
    assert script_of(config) == {"power-button": "ignored", "dies-after": "0.5", "listens": "127.0.0.1:80"}


def test_a_scripted_guest_may_ignore_its_power_button() -> None:
    guest = ScriptedGuest(on_host=False)
    try:
        guest.start({"payload": {"cmdline": "fake.power-button=ignored"}}, Slots({}))
        guest.steer(Steering.POWER_BUTTON)
        assert guest.take_events() == []
        guest.stop()
        guest.start({"payload": {}}, Slots({}))
        guest.steer(Steering.POWER_BUTTON)
        assert guest.take_events() == [GuestEnd.POWERED_OFF]
    finally:
        guest.close()

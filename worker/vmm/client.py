"""The client of cloud-hypervisor's REST API on a unix socket; it starts no process and repeats no request."""

import json
from types import TracebackType
from typing import Self

import trio

from schema.errors import DeadlineExceeded, Internal, TooLarge, Unavailable
from worker.vmm.config import (
    MAX_BODY_BYTES,
    Disk,
    Size,
    VmConfig,
    create_request,
    disk_request,
    folder_url,
    resize_request,
)
from worker.vmm.exchange import Connection
from worker.vmm.port import (
    Counters,
    HypervisorRefused,
    PciDevice,
    VmAction,
    VmInfo,
    VmmIdentity,
    counters_from_json,
)

API_ROOT = "/api/v1/"
QUICK_SECONDS = 10.0
"""Requests are handled one at a time, so a quick one may wait behind a slow one."""
BOOT_SECONDS = 60.0
SNAPSHOT_SECONDS = 150.0
"""All of a VM's memory goes to a disk, or comes from one."""
MAX_ANSWER_BYTES = 4 * 2**20


class CloudHypervisor:
    """One cloud-hypervisor process behind `socket_path` (the `Hypervisor` port). Use as an async context manager.

    A real one has ten connections for everybody and handles one request at a time: this client holds one connection,
    on which calls queue. `quick_seconds` and `boot_seconds` are deadlines per call, queueing included.
    """

    def __init__(
        self, socket_path: str, *, quick_seconds: float = QUICK_SECONDS, boot_seconds: float = BOOT_SECONDS
    ) -> None:
        self._socket_path = socket_path
        self._quick_seconds = quick_seconds
        self._boot_seconds = boot_seconds
        self._turn = trio.Lock()
        self._connection = Connection(socket_path)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.aclose()

    async def ping(self) -> VmmIdentity:
        """See `Hypervisor.ping`."""
        return VmmIdentity.from_json(await self._call("GET", "vmm.ping"))

    async def create(self, config: VmConfig) -> None:
        """See `Hypervisor.create`; raises TooLarge for a configuration over v53's body limit."""
        body = _body(create_request(config))
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"vm.create: {len(body)} bytes of configuration, the hypervisor takes {MAX_BODY_BYTES}")
        await self._call("PUT", "vm.create", body=body)

    async def info(self) -> VmInfo:
        """See `Hypervisor.info`."""
        return VmInfo.from_json(await self._call("GET", "vm.info"))

    async def counters(self) -> Counters:
        """See `Hypervisor.counters`."""
        return counters_from_json(await self._call("GET", "vm.counters"))

    async def act(self, action: VmAction) -> None:
        """See `Hypervisor.act`."""
        await self._call("PUT", action.value, seconds=self._boot_seconds if action is VmAction.BOOT else None)

    async def add_disk(self, disk: Disk) -> PciDevice | None:
        """See `Hypervisor.add_disk`."""
        return PciDevice.from_json(await self._call("PUT", "vm.add-disk", body=_body(disk_request(disk))))

    async def remove_device(self, device: str) -> None:
        """See `Hypervisor.remove_device`."""
        await self._call("PUT", "vm.remove-device", body=_body({"id": device}))

    async def resize(self, size: Size) -> None:
        """See `Hypervisor.resize`."""
        await self._call("PUT", "vm.resize", body=_body(resize_request(size)))

    async def snapshot(self, folder: str) -> None:
        """See `Hypervisor.snapshot`."""
        body = _body({"destination_url": folder_url(folder)})
        await self._call("PUT", "vm.snapshot", body=body, seconds=SNAPSHOT_SECONDS)

    async def restore(self, folder: str, *, resume: bool) -> None:
        """See `Hypervisor.restore`."""
        body = _body({"source_url": folder_url(folder), "resume": resume})
        await self._call("PUT", "vm.restore", body=body, seconds=SNAPSHOT_SECONDS)

    async def _call(
        self, method: str, request: str, *, body: bytes | None = None, seconds: float | None = None
    ) -> object:
        """The parsed answer of one request, None for an empty one."""
        seconds = self._quick_seconds if seconds is None else seconds
        with trio.move_on_after(seconds):
            async with self._turn:
                try:
                    status, content = await self._connection.exchange(
                        method, API_ROOT + request, body=body, max_answer_bytes=MAX_ANSWER_BYTES
                    )
                except (OSError, trio.BrokenResourceError) as error:
                    raise Unavailable(f"{request}: nothing answers at {self._socket_path}: {error}") from error
            return _parsed(request, status=status, content=content)
        raise DeadlineExceeded(f"{request}: no answer within {seconds:g} s from {self._socket_path}")


def _body(value: dict[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def causes_of(body: bytes) -> tuple[str, ...]:
    """The causes in an error's body, outermost first.

    The API answers an array of strings that starts with `Error from API`; the HTTP layer below it answers an object
    with one string that holds a raw newline (no strict JSON); some answers are empty.
    """
    try:
        parsed = json.loads(body, strict=False) if body else []
    except ValueError:
        return (body.decode(errors="replace")[:500],)
    match parsed:
        case [*causes]:
            return tuple(str(cause) for cause in causes if cause != "Error from API")
        case {"error": str(text)}:
            return (text.splitlines()[0] if text else "",)
    return (repr(parsed)[:500],)


def _parsed(request: str, *, status: int, content: bytes) -> object:
    if not 200 <= status < 300:
        raise HypervisorRefused(request=request, status=status, causes=causes_of(content))
    try:
        parsed: object = json.loads(content) if content else None
    except ValueError as error:
        raise Internal(f"{request}: the answer is not JSON: {content!r:.200}") from error
    return parsed

"""A VM's steps on this machine: the port `Steps` over closures, images, volumes, network and hypervisor.

Each step undoes what it made when it fails or is cancelled. When which step is due is the supervisor's business.
"""

import base64
import hashlib
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from schema.assignment import Peer
from schema.blueprint import HealthCheck
from schema.errors import CommandFailed, DeadlineExceeded, Internal, ProcuratorError
from worker.adoption import Adopt, Found
from worker.closures import Closures
from worker.confining import Confining
from worker.guest.asking import ask_guest
from worker.guest.channel import GuestChannel
from worker.guest.switch import NO_DISK, switch_system
from worker.health import CheckResult
from worker.image import Images
from worker.kept_logs import KeptLogs, stray_directories
from worker.network import Network
from worker.records import Records
from worker.steps import OnProgress
from worker.switching import CannotSwitch, layer_serial
from worker.together import together
from worker.user_network import UserNetwork
from worker.vm_state import Attachment, Content, Desired, Process
from worker.vmm.client import CloudHypervisor
from worker.vmm.config import Disk, Nic, VmConfig
from worker.vmm.confinement import Confinement
from worker.vmm.fence import boottime_ns
from worker.vmm.order import ALREADY_HELD
from worker.vmm.port import Counters, VmAction
from worker.vmm.processes import Ended, Live, attach_serial, end, find, find_live, set_fence, start_shim, wait_ended
from worker.vmm.runtime_dir import (
    BOOT_RECORD,
    LONGEST_SOCKET,
    MAX_SOCKET_PATH_BYTES,
    BootRecord,
    RuntimeDir,
    read_boot_record,
    read_log,
    write_boot_record,
)
from worker.vmm.shims import Shims
from worker.volumes import Volumes, volume_serial

log = logging.getLogger(__name__)

STORE_SERIAL = "store"
SHORT_NAME_BYTES = 8
PROBE = "vm"
"""Below a directory of its own, where `--doctor` boots a VM."""
COUNTERS_SECONDS = 1.0
SYSTEM_SECONDS = 2.0
START_PATIENCE_SECONDS = 2.0
KILL_GRACE_SECONDS = 2.0
LAST_WORDS_BYTES = 4096
"""Where a panic is looked for: the log goes on from boot to boot, and an older panic is further up."""
_MIB = 1024 * 1024
_PANIC = re.compile(rb"Kernel panic[^\r\n]{0,200}")


@dataclass(frozen=True, slots=True)
class StepSettings:
    """What the steps are told by the configuration; times are seconds."""

    command: Sequence[str]
    log_bytes: int
    pull_seconds: float
    boot_seconds: float
    stop_seconds: float


def runtime_directory(below: Path, instance: str) -> RuntimeDir:
    """Where an instance's sockets and logs lie. A name that is too long for a socket's path is replaced by its hash."""
    room = MAX_SOCKET_PATH_BYTES - len(os.fsencode(below / "_" / LONGEST_SOCKET)) + 1
    if len(instance) <= room:
        return RuntimeDir(below / instance)
    digest = base64.b32encode(hashlib.sha256(instance.encode()).digest()).decode().lower()
    return RuntimeDir(below / f"h-{digest[:SHORT_NAME_BYTES]}")


class VmSteps:
    """The machine's side of every VM of one worker."""

    def __init__(
        self,
        *,
        closures: Closures,
        images: Images,
        volumes: Volumes,
        network: Network | UserNetwork,
        confining: Confining,
        kept_logs: KeptLogs,
        records: Records,
        shims: Shims,
        runtime_dirs: Path,
        settings: StepSettings,
    ) -> None:
        self._closures = closures
        self._images = images
        self._volumes = volumes
        self._network = network
        self._confining = confining
        self._kept_logs = kept_logs
        self._records = records
        self._shims = shims
        self._runtime_dirs = runtime_dirs
        self.settings = settings
        self._lives: dict[str, Live] = {}
        self._runs: dict[str, Content] = {}
        self._image_paths: dict[str, Path] = {}

    def logs(self, instance: str) -> RuntimeDir | None:
        """Where the logs of an instance lie, also of one that left; None where there are none."""
        directory = self.directory(instance)
        return directory if directory.path.is_dir() else self._kept_logs.of(instance)

    def directory(self, instance: str) -> RuntimeDir:
        """The runtime directory of an instance."""
        return runtime_directory(self._runtime_dirs, instance)

    async def update(self, desired: Mapping[str, Desired], peers: Iterable[Peer]) -> None:
        """See `Steps.update`."""
        for instance in {*self._closures.roots.instances(), *desired, *self._runs}:
            self._keep(instance, desired.get(instance))
        await self._network.update(desired, peers)

    def _keep(self, instance: str, desired: Desired | None) -> None:
        roles: dict[str, tuple[str, ...]] = {}
        if desired:
            roles["assigned"] = desired.content.spec.closure_paths
        if desired and desired.fallback:
            roles["fallback"] = desired.fallback.spec.closure_paths
        if instance in self._runs:
            roles["active"] = self._runs[instance].spec.closure_paths
        self._closures.roots.keep(instance, roles)

    async def pull(self, instance: str, content: Content, *, on_progress: OnProgress) -> None:
        """See `Steps.pull`."""
        wait = self.settings.pull_seconds
        await self._closures.pull(content.spec.closure_paths, deadline=wait, on_progress=on_progress)

    async def prepare(self, instance: str, content: Content) -> None:
        """See `Steps.prepare`."""
        await self._image(content)
        await self._volumes.ensure(instance, content.spec.volumes)

    async def _image(self, content: Content) -> Path:
        if content.spec.disk_image_path:
            return self._closures.files.file(content.spec.disk_image_path)
        known = self._image_paths.get(content.content_hash)
        if known is None or not known.exists():
            paths = content.spec.closure_paths
            known = await self._images.image_of(await self._closures.closure(paths), of=paths)
            self._image_paths[content.content_hash] = known
        return known

    async def images_in_use(self) -> frozenset[str]:
        """The file names of the images that running VMs have as their disk."""
        return frozenset([(await self._image(content)).name for content in list(self._runs.values())])

    async def boot(self, instance: str, content: Content, attachment: Attachment) -> Process:
        """See `Steps.boot`."""
        directory, was_attached = self.directory(instance), self._network.is_attached(instance)
        await self._closures.verify(content.spec.closure_paths)
        has_booted = False
        try:
            confinement = await self._confining.of(instance, memory_mb=content.spec.memory_mb)
            directory.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The boot record is written when the boot is accepted: an agent that dies before leaves nothing to adopt.
            (directory.path / BOOT_RECORD).unlink(missing_ok=True)
            self._records.keep_booted(instance, content, attachment)
            live, config = await together(
                partial(self._start, directory, confinement, is_fenced=content.spec.is_fenced),
                partial(self._config, instance, content, attachment),
            )
            await self._create_and_boot(directory, config)
            log.info("%s: boot: accepted", instance, extra={"pid": live.pid})
            record = BootRecord(content.content_hash, content.content_hash, (content.content_hash,))
            write_boot_record(directory, record)
            has_booted = True
        finally:
            if not has_booted:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 30):
                    await self._end(instance, grace_seconds=0.0)
                    if not was_attached:
                        await self._network.detach(instance)
        self._lives[instance], self._runs[instance] = live, content
        started_at = trio.current_time() - _running_seconds(live)
        return Process(live.pid, started_at, attachment, live.is_fenced, record.layers)

    async def switch(self, instance: str, content: Content, process: Process) -> Process:
        """See `Steps.switch`. Not cancelled half way: it has deadlines of its own."""
        with trio.CancelScope(shield=True):
            await self._closures.verify(content.spec.closure_paths)
            switched = await self._switch(instance, content, process)
        return switched

    async def _switch(self, instance: str, content: Content, process: Process) -> Process:
        directory, running = self.directory(instance), self._runs[instance]
        is_new = content.content_hash not in process.layers
        device = await self._add_layer(directory, content) if is_new else ""
        serial = layer_serial(content) if is_new else NO_DISK
        # What it may be, before it can be; which of both, afterwards. Killed in between, the next run asks the guest.
        self._records.keep_booted(instance, content, process.attachment, earlier=running)
        try:
            await switch_system(self.guest(instance), serial=serial, toplevel=content.spec.toplevel)
        except ProcuratorError:
            if device:
                with suppress(ProcuratorError):  # a guest that holds on to it costs a slot, and no more
                    async with CloudHypervisor(str(directory.api_socket)) as hypervisor:
                        await hypervisor.remove_device(device)
            raise
        layers = (*process.layers, content.content_hash) if is_new else process.layers
        write_boot_record(directory, BootRecord(layers[0], content.content_hash, layers))
        self._runs[instance] = content
        return replace(process, layers=layers)

    async def _add_layer(self, directory: RuntimeDir, content: Content) -> str:
        """The closure's image as a further disk of the running VM; the device's id."""
        image = await self._image(content)
        self._confining.let_read(image)
        disk = Disk(str(image), serial=layer_serial(content), readonly=True)
        try:
            async with CloudHypervisor(str(directory.api_socket)) as hypervisor:
                device = await hypervisor.add_disk(disk)
        except ProcuratorError as error:
            raise CannotSwitch(f"the hypervisor takes no further disk: {error.message}") from error
        if device is None:
            raise CannotSwitch("the hypervisor has no running guest to add a disk to")
        return device.device

    async def system_of(self, instance: str) -> str | None:
        """See `Steps.system_of`."""
        try:
            return (await self.guest(instance).facts(deadline=SYSTEM_SECONDS)).current_system or None
        except ProcuratorError:
            return None

    async def _config(self, instance: str, content: Content, attachment: Attachment) -> VmConfig:
        spec = content.spec
        image = await self._image(content)
        volumes = await self._volumes.ensure(instance, spec.volumes)
        for name, size_mb in self._volumes.grow(instance, spec.volumes).items():
            log.info("%s: volume %s has %d MiB now", instance, name, size_mb)
        kernel, initrd = self._closures.files.file(spec.kernel), self._closures.files.file(spec.initrd)
        self._confining.let_read(image, kernel, initrd)
        self._confining.give(instance, volumes)
        owner = self._confining.owner(instance)
        tap = await self._network.attach(instance, attachment, owner=owner) if spec.network.nic else ""
        return VmConfig(
            cpus=spec.cpu,
            memory_bytes=spec.memory_mb * _MIB,
            kernel=str(kernel),
            initrd=str(initrd),
            cmdline=spec.cmdline,
            serial_socket=str(self.directory(instance).serial_socket),
            vsock_socket=str(self.directory(instance).vsock_socket),
            disks=(
                Disk(str(image), serial=STORE_SERIAL, readonly=True),
                *(Disk(str(file), serial=volume_serial(name), readonly=False) for name, file in volumes.items()),
            ),
            nics=(Nic(tap, attachment.mac),) if tap else (),
            landlock=self._confining.paths(self.directory(instance)),
        )

    async def _start(self, directory: RuntimeDir, confinement: Confinement, *, is_fenced: bool) -> Live:
        """A shim with its hypervisor; the shim of the process before it may need a moment to go."""
        patience = trio.current_time() + START_PATIENCE_SECONDS
        while True:
            try:
                return await start_shim(
                    directory,
                    command=self.settings.command,
                    log_bytes=self.settings.log_bytes,
                    lease=self._records.lease_file if is_fenced else None,
                    confinement=confinement,
                    shims=self._shims,
                )
            except CommandFailed as error:
                if error.returncode != ALREADY_HELD or trio.current_time() > patience:
                    raise
            await trio.sleep(0.02)

    async def _create_and_boot(self, directory: RuntimeDir, config: VmConfig) -> None:
        """Create and boot once. When it fails its hypervisor is ended, and the next try gets a fresh one.

        Its shim listens for it, so that the first request waits until the hypervisor serves.
        """
        with trio.move_on_after(self.settings.boot_seconds):
            async with CloudHypervisor(str(directory.api_socket)) as hypervisor:
                await hypervisor.create(config)
                await attach_serial(directory)
                await hypervisor.act(VmAction.BOOT)
            return
        raise DeadlineExceeded(f"the hypervisor did not boot within {self.settings.boot_seconds:g} s")

    async def stop(self, instance: str, process: Process | None, *, for_good: bool) -> None:
        """See `Steps.stop`."""
        directory = self.directory(instance)
        live = find(directory)
        if isinstance(live, Live):
            await self._ask_to_end(directory, live)
        await self._end(instance, grace_seconds=KILL_GRACE_SECONDS)
        self._runs.pop(instance, None)
        if for_good:
            await self._network.detach(instance)
            self._confining.forget(instance)
            await trio.to_thread.run_sync(self._kept_logs.take, instance, directory)

    async def _ask_to_end(self, directory: RuntimeDir, live: Live) -> None:
        """The power button and its deadline, then the guest is ended without being asked."""
        async with CloudHypervisor(str(directory.api_socket), quick_seconds=2.0) as hypervisor:
            try:
                await hypervisor.act(VmAction.POWER_BUTTON)
                with trio.move_on_after(self.settings.stop_seconds):
                    await wait_ended(directory, live)
                    return
                for action in (VmAction.SHUTDOWN, VmAction.DELETE, VmAction.SHUTDOWN_VMM):
                    await hypervisor.act(action)
            except ProcuratorError:
                return  # it does not answer, or has no running guest: it is ended as a process next

    async def _end(self, instance: str, *, grace_seconds: float) -> None:
        directory = self.directory(instance)
        live = find(directory)
        if isinstance(live, Live):
            await end(directory, live, grace_seconds=grace_seconds)
        if isinstance(find(directory), Live):
            raise Internal(f"{instance}: its hypervisor, pid {live.pid if isinstance(live, Live) else 0}, does not end")
        await self._confining.clear(instance)
        self._lives.pop(instance, None)

    async def fence(self, instance: str, *, fenced: bool) -> None:
        """See `Steps.fence`."""
        await set_fence(self.directory(instance), self._records.lease_file if fenced else None)

    async def counters(self, instance: str) -> Counters:
        """What the instance's hypervisor counts. Raises what the hypervisor's client raises."""
        async with CloudHypervisor(str(self.directory(instance).api_socket), quick_seconds=COUNTERS_SECONDS) as asked:
            return await asked.counters()

    def guest(self, instance: str) -> GuestChannel:
        """The guest's agent of an instance, there or not."""
        return GuestChannel(self.directory(instance).vsock_socket)

    async def ask_guest(
        self, instance: str, checks: Sequence[HealthCheck], *, timeout_ms: int
    ) -> tuple[CheckResult, ...]:
        """See `Steps.ask_guest`."""
        return await ask_guest(self.guest(instance), checks, timeout_ms=timeout_ms)

    async def ended(self, instance: str, process: Process) -> str:
        """See `Steps.ended`."""
        directory, live = self.directory(instance), self._lives.get(instance)
        if live is None or live.pid != process.pid:
            return "it was ended"
        how = await wait_ended(directory, live)
        if complaint := self._confining.complaint(instance):
            return complaint
        panic = _PANIC.search(read_log(directory.serial_log, max_bytes=LAST_WORDS_BYTES))
        if panic:
            return f"the guest panicked ({how}): {panic.group().decode(errors='replace')}"
        return f"the guest powered off ({how})" if how.code == 0 else f"the hypervisor ended: {how}"

    async def found(self) -> Mapping[str, Found]:
        """See `Steps.found`. Taps that belong to no living VM are removed, and half-made images."""
        await trio.to_thread.run_sync(self._images.clear_unfinished)
        found = {instance: self._found(instance) for instance in self._records.booted_instances()}
        found |= await trio.to_thread.run_sync(self._strays, [self.directory(name).path.name for name in found])
        attached = {
            name: one.attachment
            for name, one in found.items()
            if one.pid and one.attachment and one.content and one.content.spec.network.nic
        }
        await self._network.adopt(attached)
        await self._confining.clear_all_but([name for name, one in found.items() if one.pid])
        return found

    def _strays(self, known: Sequence[str]) -> dict[str, Found]:
        """What lives in directories that nothing is recorded of; the dead ones go, their logs are kept."""
        living: dict[str, Found] = {}
        for name in stray_directories(self._runtime_dirs, known):
            directory = RuntimeDir(self._runtime_dirs / name)
            live = find(directory)
            if isinstance(live, Live):
                living[name] = Found(name, None, None, live.pid)
            elif not isinstance(find(RuntimeDir(directory.path / PROBE)), Live):  # that of `--doctor` may be at work
                self._kept_logs.take(name, directory)
        self._kept_logs.prune()
        return living

    def _found(self, instance: str) -> Found:
        directory, booted = self.directory(instance), self._records.booted(instance)
        contents, attachment = booted if booted else ((), None)
        record = read_boot_record(directory)
        active = record.active if record else ""
        content = next((one for one in contents if one.content_hash == active), None)
        live = find_live(directory)
        if live is None:
            how = find(directory)
            return Found(
                instance, content, attachment, remains=f"the hypervisor ended: {how}" if isinstance(how, Ended) else ""
            )
        self._lives[instance] = live
        started_at = trio.current_time() - _running_seconds(live)
        layers = record.layers if record else ()
        return Found(
            instance,
            content,
            attachment,
            live.pid,
            started_at,
            is_fenced=live.is_fenced,
            layers=layers,
            is_doubtful=len(contents) > 1,
        )

    async def adopt(self, one: Adopt) -> Process:
        """See `Steps.adopt`."""
        self._runs[one.instance] = one.content  # if it has ended since it was found, `ended` tells at once
        return Process(one.pid, one.started_at, one.attachment, one.is_fenced, one.layers, one.is_doubtful)


def _running_seconds(live: Live) -> float:
    """How long a process has run: both figures are since the machine's start, so no wall clock is asked."""
    return max(0.0, (boottime_ns() - live.begun_ns) / 1e9)

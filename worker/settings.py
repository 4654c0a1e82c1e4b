"""The worker's settings (snake_case TOML) and what follows from them alone; it opens and starts nothing."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from schema.blueprint import Labels
from schema.errors import InvalidInput
from schema.names import DnsLabel
from schema.rpc.reaching import reach
from schema.rpc.transport.sockets import Address
from schema.settings import Section, ServiceSettings

KeyText = Annotated[str, StringConstraints(min_length=1, max_length=512)]
"""A public key as `name:base64`, or the absolute path of a file that holds one."""
MAX_STATE_BYTES = 79
"""So that `<state>/vms/h-<8>/control.sock` fits into the 107 bytes of a unix socket's address."""
HostPort = Annotated[str, StringConstraints(pattern=r"^[^\s/:]+:[0-9]{1,5}$")]
Milliseconds = Annotated[int, Field(ge=0, le=24 * 3600 * 1000)]


class ControlPlaneSettings(Section):
    """`[control_plane]`: where it is (one of both), and whose assignments are believed."""

    socket: Path | None = None
    address: HostPort | None = None
    public_keys: tuple[KeyText, ...]
    ca: Path | None = None
    """With `address`: the CA (PEM) that signed the control plane's certificate; it is then reached by TLS."""
    server_name: Annotated[str, StringConstraints(max_length=253)] = ""
    """With `ca`: the name in the control plane's certificate; by default the host of `address`."""
    plaintext: bool = False
    """Whether an address on another machine may be reached without TLS: everybody on the way can read and write."""
    join_token_file: Path | None = None
    """A file (0600) with the join token that an operator made for this machine; needed once, if at all."""

    @model_validator(mode="after")
    def _one_way_in(self) -> "ControlPlaneSettings":
        if (self.socket is None) == (self.address is None):
            raise ValueError("set either socket or address")
        if not self.public_keys:
            raise ValueError("public_keys is empty: no assignment could be believed")
        return self

    @model_validator(mode="after")
    def _whole_tls(self) -> "ControlPlaneSettings":
        try:
            self.reached  # noqa: B018 - asked for its errors
        except InvalidInput as error:
            raise ValueError(error.message) from error
        return self

    @property
    def reached(self) -> Address:
        """Where it is, and whom to believe there."""
        where = f"unix:{self.socket.absolute()}" if self.socket is not None else self.address or ""
        return reach(where, ca=self.ca, server_name=self.server_name, plaintext=self.plaintext)


class PublisherSettings(Section):
    """`[publishers]`: whose generations are believed."""

    public_keys: Annotated[tuple[KeyText, ...], Field(min_length=1)]


class CacheSettings(Section):
    """`[caches]`: where closures come from, tried in order, and whose signatures on them are believed."""

    urls: tuple[str, ...] = ("http://127.0.0.1:7404",)
    public_keys: Annotated[tuple[KeyText, ...], Field(min_length=1)]


class HypervisorSettings(Section):
    """`[hypervisor]`: the command that the shim starts, without its `--api-socket`."""

    command: Annotated[tuple[str, ...], Field(min_length=1)] = ("procurator-vmm",)
    separate_users: bool = True
    """Run each as a user of its own, where the worker is root and the command works so."""
    user_mode_network: bool = False
    """For development without root, with `procurator-vmm` only: no taps; guests do not see one another, what leaves
    them is not enforced, and ports of 127.0.0.1 lead to them."""
    landlock: bool = True
    """Let each open only its VM's files, the images and its sockets, where the kernel has Landlock."""
    overhead_mb: Annotated[int, Field(ge=64, le=1 << 20)] = 512
    """MiB that one may use beside its guest's memory before it is ended (cgroups)."""
    processes: Annotated[int, Field(ge=64, le=1 << 20)] = 512
    """How many processes and threads one may have (cgroups)."""


class ListenSettings(Section):
    """`[listen]`: port 0 is any free one."""

    http: HostPort = "127.0.0.1:7402"


class NetworkSettings(Section):
    """`[network]`: how other workers reach this machine, and whom it asks for names (none: as /etc/resolv.conf)."""

    address: Annotated[str, StringConstraints(pattern=r"^([0-9]{1,3}(\.[0-9]{1,3}){3})?$")] = ""
    resolvers: tuple[Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F.:]+$")], ...] = ()


class CapacitySettings(Section):
    """`[capacity]`: what may be placed here; 0 is what the machine has. Memory is MiB."""

    cpu: Annotated[int, Field(ge=0)] = 0
    memory_mb: Annotated[int, Field(ge=0)] = 0


class LimitSettings(Section):
    """`[limits]`: how much is done at once, and for how long it is tried. 0 parallel boots: twice the CPUs."""

    parallel_boots: Annotated[int, Field(ge=0, le=1000)] = 0
    parallel_pulls: Annotated[int, Field(ge=1, le=100)] = 4
    pull_timeout_ms: Milliseconds = 600_000
    boot_timeout_ms: Milliseconds = 30_000
    log_bytes: Annotated[int, Field(ge=4096, le=1 << 30)] = 1 << 20


class CollectionSettings(Section):
    """`[collection]`: when closures and images that nothing needs are deleted; also whenever less than that is free."""

    interval_ms: Milliseconds = 3_600_000
    min_free_mb: Annotated[int, Field(ge=0)] = 2048


class Settings(ServiceSettings):
    """All of it. `name` is the worker's id; `state` holds its store, images, volumes and runtime directories."""

    name: DnsLabel
    state: Path
    control_plane: ControlPlaneSettings
    publishers: PublisherSettings
    caches: CacheSettings
    hypervisor: HypervisorSettings = HypervisorSettings()
    listen: ListenSettings = ListenSettings()
    network: NetworkSettings = NetworkSettings()
    capacity: CapacitySettings = CapacitySettings()
    limits: LimitSettings = LimitSettings()
    collection: CollectionSettings = CollectionSettings()
    stop_timeout_ms: Milliseconds = 10_000
    """How long a guest has to obey the power button before it is ended."""
    report_interval_ms: Annotated[int, Field(ge=100, le=3_600_000)] = 10_000
    min_healthy_ms: Milliseconds = 2000
    """How long a VM without checks must have run to count as healthy."""
    realm: DnsLabel = "default"
    location: Annotated[str, StringConstraints(max_length=253)] = ""
    """Where the machine stands, for people: a site, a rack."""
    labels: Labels = {}
    extras: dict[str, Annotated[int, Field(ge=1)]] = {}

    @model_validator(mode="after")
    def _state_is_absolute(self) -> "Settings":
        if not self.state.is_absolute():
            raise ValueError(f"state must be an absolute path, not {self.state}")
        length = len(os.fsencode(self.state))
        if length > MAX_STATE_BYTES:
            raise ValueError(f"state is {length} bytes long; unix sockets below it leave room for {MAX_STATE_BYTES}")
        return self

    @property
    def store_root(self) -> Path:
        """The root of the worker's own chroot store: `local?root=<this>`."""
        return self.state / "store"

    @property
    def user_network(self) -> Path:
        """Where the user-mode network says what each card gets."""
        return self.state / "user-net"

    @property
    def images(self) -> Path:
        """Where closure images are kept by closure hash."""
        return self.state / "images"

    @property
    def volumes(self) -> Path:
        """Where volumes are kept by instance; nothing below is ever deleted by the worker."""
        return self.state / "volumes"

    @property
    def runtime_dirs(self) -> Path:
        """Where each VM's runtime directory is."""
        return self.state / "vms"

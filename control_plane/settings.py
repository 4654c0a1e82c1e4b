"""The control plane's settings as its TOML file has them; it opens none of the files that they name."""

import ipaddress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from control_plane.identity.admission import JoinPolicy
from schema.errors import InvalidInput
from schema.interfaces import Role
from schema.names import BranchName, DnsLabel, RepositoryName, is_loopback
from schema.origin import FlakeDirectory, Origin
from schema.rpc.transport.tls import ServerTls, server_tls
from schema.settings import Section, ServiceSettings
from schema.signing import PublicKey


def _is_public_key(text: str) -> str:
    try:
        PublicKey.parse(text)
    except InvalidInput as error:
        raise ValueError(error.message) from error
    return text


def _is_host_port(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"'{text}' is not of the form host:port")
    return text


PublicKeyText = Annotated[str, AfterValidator(_is_public_key)]
HostPort = Annotated[str, AfterValidator(_is_host_port)]
"""`127.0.0.1:7400`; port 0 takes any free one."""
PeoplesRole = Literal[Role.VIEWER, Role.PUBLISHER, Role.OPERATOR, Role.ADMIN]
"""A worker has a key, and is never known by a uid or a token."""
SubnetRange = Annotated[str, StringConstraints(pattern=r"^[0-9.]+/[0-9]{1,2}$")]


class ListenSettings(Section):
    """`[listen]`: where it is reached. Cap'n Proto over TCP and a unix socket, and HTTP."""

    rpc: HostPort = "127.0.0.1:7400"
    plaintext: bool = False
    """Whether an address that other machines reach may go without TLS: everybody on the way can then read and write."""
    socket: Path = Path("/run/procurator/control-plane.sock")
    http: HostPort = "127.0.0.1:7401"


class TlsSettings(Section):
    """`[tls]`: the certificate (PEM, with the chain below the CA) and its secret key, both or neither, as files.

    `rpc` then speaks TLS, and so does `http` unless it listens on loopback.
    """

    certificate: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _whole(self) -> "TlsSettings":
        if self.certificate is not None and self.key is None:
            raise ValueError("certificate is set, and key (its secret key) is missing")
        if self.key is not None and self.certificate is None:
            raise ValueError("key is set, and certificate (what it belongs to) is missing")
        return self

    @property
    def server(self) -> ServerTls | None:
        """What a listener shows; None without TLS."""
        return server_tls(self.certificate, self.key)


class DatabaseSettings(Section):
    """`[database]`: SQLite by path (the directory must exist), or PostgreSQL as `postgresql://user@host/name`."""

    url: str = "sqlite:////var/lib/procurator/control-plane/state.sqlite"
    password_file: Path | None = None
    """A file (0600) with the password for PostgreSQL; it never stands in `url`."""


class HttpSettings(Section):
    """`[http]`: what programs on this machine may read without a token, and further names that we are reached by.

    Behind a proxy on this machine set `anonymous = "none"`, or everybody whom it lets through reads as a viewer.
    """

    anonymous: Literal["viewer", "none"] = "viewer"
    allowed_hosts: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]{1,253}$", to_lower=True)], ...] = ()


class KeySettings(Section):
    """`[keys]`: the secret key that signs assignments (a file), and the pinned keys that may publish."""

    assignment: Path
    publishers: tuple[PublicKeyText, ...]

    @field_validator("publishers")
    @classmethod
    def _not_empty(cls, publishers: tuple[str, ...]) -> tuple[str, ...]:
        if not publishers:
            raise ValueError("at least one publisher's key must be pinned, as name:base64")
        return publishers


class OriginSettings(Section):
    """`[origin]`: the one repository, branch and path that the realm tracks; unset: the first accepted publish's."""

    repository: RepositoryName
    branch: BranchName
    path: FlakeDirectory = "."

    @property
    def origin(self) -> Origin:
        """The same as a value of the domain."""
        return Origin(repository=self.repository, branch=self.branch, path=self.path)


class NetworkSettings(Section):
    """`[network]`: the range from which each worker gets a /24."""

    range: SubnetRange = "10.77.0.0/16"

    @field_validator("range")
    @classmethod
    def _holds_a_24(cls, text: str) -> str:
        network = ipaddress.IPv4Network(text)
        if network.prefixlen > 24:
            raise ValueError(f"'{text}' is smaller than one /24")
        return text


class RetentionSettings(Section):
    """`[retention]`: how many of the newest generations are kept beside those in use."""

    keep_generations: Annotated[int, Field(ge=1, le=1000)] = 5


class SchedulerSettings(Section):
    """`[scheduler]`: how many vCPUs are placed for each of a worker's, and how much memory (1: what it has).

    `most_moving`: how many VMs may be leaving draining workers at the same time.
    """

    cpu_overcommit: Annotated[float, Field(gt=0, le=64)] = 4.0
    memory_overcommit: Annotated[float, Field(gt=0, le=4)] = 1.0
    most_moving: Annotated[int, Field(ge=1, le=1000)] = 8


class SocketSettings(Section):
    """`[socket.roles]`: what other uids than root's and our own may be, on the unix socket: `1000 = "viewer"`."""

    roles: dict[Annotated[str, StringConstraints(pattern=r"^[0-9]{1,10}$")], PeoplesRole] = {}


class TokenSettings(Section):
    """One of `[[tokens]]`: `sha256` is the hexadecimal SHA-256 of the token's text; `expires` needs an offset."""

    name: DnsLabel
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    role: PeoplesRole
    expires: datetime | None = None

    @field_validator("expires")
    @classmethod
    def _has_an_offset(cls, expires: datetime | None) -> datetime | None:
        if expires is not None and expires.tzinfo is None:
            raise ValueError("the time needs an offset (a Z at its end means UTC)")
        return expires


def _is_network(text: str) -> str:
    return str(ipaddress.ip_network(text))


class WorkersSettings(Section):
    """`[workers]`: who decides about a worker that asks to join.

    `manual`: an operator (`pcr worker approve`). `token`: also whoever shows a join token. `auto`: also whoever asks
    over the unix socket as root or our own uid, or over TCP from one of `auto_networks` (none by default).
    """

    policy: JoinPolicy = JoinPolicy.MANUAL
    auto_networks: tuple[Annotated[str, AfterValidator(_is_network)], ...] = ()


class LivenessSettings(Section):
    """`[liveness]`: how often workers shall report, and what follows on their silence. Milliseconds.

    `lease_ms`: how long a fenced singleton runs on after its worker's last report; `margin_ms` later it may be placed
    elsewhere. While more than `mass_percent` of the workers vanished together nothing is placed elsewhere.
    """

    interval_ms: Annotated[int, Field(ge=100, le=600_000)] = 10_000
    lost_after_ms: Annotated[int, Field(ge=500, le=3_600_000)] = 40_000
    lease_ms: Annotated[int, Field(ge=500, le=3_600_000)] = 40_000
    margin_ms: Annotated[int, Field(ge=100, le=600_000)] = 10_000
    mass_percent: Annotated[int, Field(ge=1, le=100)] = 55

    @model_validator(mode="after")
    def _a_lease_outlasts_a_lost_report(self) -> "LivenessSettings":
        if self.lease_ms < 2 * self.interval_ms:
            least = 2 * self.interval_ms
            raise ValueError(f"lease_ms is less than two intervals ({least}): one lost report would end singletons")
        return self


class Settings(ServiceSettings):
    """The whole file; `[keys]` alone has no default."""

    realm: DnsLabel = "default"
    listen: ListenSettings = ListenSettings()
    tls: TlsSettings = TlsSettings()
    http: HttpSettings = HttpSettings()
    database: DatabaseSettings = DatabaseSettings()
    keys: KeySettings
    origin: OriginSettings | None = None
    network: NetworkSettings = NetworkSettings()
    retention: RetentionSettings = RetentionSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    socket: SocketSettings = SocketSettings()
    tokens: tuple[TokenSettings, ...] = ()
    workers: WorkersSettings = WorkersSettings()
    liveness: LivenessSettings = LivenessSettings()

    @model_validator(mode="after")
    def _no_plaintext_for_others(self) -> "Settings":
        if self.tls.server is not None or self.listen.plaintext:
            return self
        for name, address in (("rpc", self.listen.rpc), ("http", self.listen.http)):
            if not is_loopback(address.rpartition(":")[0]):
                raise ValueError(
                    f"[listen] {name} {address} is reached by other machines and there is no TLS: set certificate and "
                    "key in [tls], or say plaintext = true in [listen]"
                )
        return self

    @property
    def http_tls(self) -> ServerTls | None:
        """What the HTTP listener shows; on loopback it speaks plain HTTP."""
        return None if is_loopback(self.listen.http.rpartition(":")[0]) else self.tls.server

"""The settings of repohub, as its TOML file and environment give them; it opens nothing."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from schema.errors import InvalidInput
from schema.rpc.reaching import reach
from schema.rpc.transport.sockets import Address
from schema.settings import Section, ServiceSettings

HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")]


class ListenSettings(Section):
    """`[listen]`: where pages, API and git are served; port 0 takes any free one."""

    http: Annotated[str, Field(pattern=r"^[^\s/]+:[0-9]{1,5}$")] = "127.0.0.1:3001"

    @property
    def host(self) -> str:
        """The address, an IPv6 one without brackets."""
        return self.http.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port."""
        return int(self.http.rpartition(":")[2])


class SiteSettings(Section):
    """`[site]`: how the pages are reached."""

    base_url: HttpUrl | None = None
    """How people reach it; told to pushers. By default the address that it listens on."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that a Host header may have beside IP addresses, localhost and the one of `base_url`."""
    max_streams: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Live pages open at once; the next ones are asked to come back."""


class GitSettings(Section):
    """`[git]`: what serving git may cost."""

    max_push_mb: Annotated[int, Field(ge=1, le=1 << 20)] = 512
    """MiB of one pushed pack."""
    max_requests: Annotated[int, Field(ge=1, le=1000)] = 32
    """Git processes at once; the next ones wait a little and are then asked to come back."""
    request_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """Seconds for one request, however busy."""
    idle_seconds: Annotated[float, Field(gt=0)] = 120.0
    """Seconds without a byte in either direction."""


class CiSettings(Section):
    """`[ci]`: where pushes are told and builds are read."""

    url: HttpUrl = "http://127.0.0.1:7403"
    hook_token_file: Path
    """A 0600 file with the token for `POST /v1/pushes`; read before each delivery, so it may be changed."""


class ControlPlaneSettings(Section):
    """`[control_plane]`: its unix socket, or its address and the file that holds a viewer's token."""

    socket: Path | None = None
    address: Annotated[str, StringConstraints(pattern=r"^.+:[0-9]{1,5}$")] | None = None
    token_file: Path | None = None
    ca: Path | None = None
    """With `address`: the CA (PEM) that signed the control plane's certificate; it is then reached by TLS."""
    server_name: Annotated[str, StringConstraints(max_length=253)] = ""
    """With `ca`: the name in that certificate; by default the host of `address`."""
    plaintext: bool = False
    """Whether an address on another machine may be reached without TLS: everybody on the way can read the token."""

    @model_validator(mode="after")
    def _one_way(self) -> "ControlPlaneSettings":
        if self.socket is not None and self.address is not None:
            raise ValueError("give either socket or address, not both")
        if self.address is not None and self.token_file is None:
            raise ValueError("address needs token_file, the file that holds a viewer's token")
        try:
            self.reached  # noqa: B018 - asked for its errors
        except InvalidInput as error:
            raise ValueError(error.message) from error
        return self

    @property
    def reached(self) -> Address | None:
        """Where it is, and whom to believe there; None where it is not named."""
        if self.socket is None and self.address is None:
            return None
        where = f"unix:{self.socket.absolute()}" if self.socket is not None else self.address or ""
        return reach(where, ca=self.ca, server_name=self.server_name, plaintext=self.plaintext)


class Settings(ServiceSettings):
    """The root of `repohub.toml`."""

    state: Path = Path("/var/lib/procurator/repohub")
    """Holds `repositories/<owner>/<name>.git`; made when missing."""
    listen: ListenSettings = ListenSettings()
    site: SiteSettings = SiteSettings()
    git: GitSettings = GitSettings()
    ci: CiSettings
    control_plane: ControlPlaneSettings = ControlPlaneSettings()

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Host names that requests may name, lower case."""
        own = urlsplit(self.site.base_url).hostname if self.site.base_url else None
        return frozenset(name.lower() for name in (*self.site.allowed_hosts, own, self.listen.host) if name)

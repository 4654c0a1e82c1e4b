"""Where everything of one local cluster lies below its state directory; it creates nothing."""

from dataclasses import dataclass
from pathlib import Path

from schema.errors import InvalidInput

_LONGEST_SOCKET_PATH = 107
"""Bytes that Linux takes as the path of a unix socket (sun_path holds 108 with the final NUL)."""


@dataclass(frozen=True, slots=True)
class StateDir:
    """The directory that `--state` names, by what is kept in it. Always absolute."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> "StateDir":
        """Check that `root` is absolute and short enough for the sockets in it. Raises InvalidInput."""
        state = cls(root)
        if not root.is_absolute():
            raise InvalidInput(f"the state directory must be an absolute path, not {root}")
        if len(bytes(state.socket)) > _LONGEST_SOCKET_PATH:
            raise InvalidInput(
                f"the state directory {root} has a path too long for the sockets in it: "
                f"{state.socket} is over {_LONGEST_SOCKET_PATH} bytes; choose a shorter one with --state"
            )
        return state

    @property
    def keys(self) -> Path:
        """Signing keys and their public halves."""
        return self.root / "keys"

    @property
    def tls(self) -> Path:
        """The CA of this machine, and the control plane's certificate."""
        return self.root / "tls"

    @property
    def tokens(self) -> Path:
        """What the services show to each other."""
        return self.root / "tokens"

    @property
    def etc(self) -> Path:
        """The services' settings files."""
        return self.root / "etc"

    @property
    def logs(self) -> Path:
        """One log file a service."""
        return self.root / "log"

    @property
    def run(self) -> Path:
        """Sockets, ready files and the record of what runs."""
        return self.root / "run"

    @property
    def socket(self) -> Path:
        """The control plane's unix socket."""
        return self.run / "control-plane.sock"

    @property
    def record(self) -> Path:
        """Which processes run."""
        return self.run / "processes.json"

    @property
    def lock(self) -> Path:
        """Held by the one `pcr up` of this directory."""
        return self.run / "up.lock"

    @property
    def choices(self) -> Path:
        """What `pcr up` chose when it made the directory: ports and network range."""
        return self.etc / "up.toml"

    def settings(self, name: str) -> Path:
        """The settings file of the service `name`."""
        return self.etc / f"{name}.toml"

    def ready(self, name: str) -> Path:
        """Written by the service `name` once it listens."""
        return self.run / f"{name}.json"

    def log(self, name: str) -> Path:
        """What the service `name` writes to its output."""
        return self.logs / f"{name}.log"

    def data(self, name: str) -> Path:
        """What the service `name` keeps."""
        return self.root / name


@dataclass(frozen=True, slots=True)
class Files:
    """The certificates of a local cluster, by what they are: `.key` are secret, `.crt` are not."""

    directory: Path

    @property
    def ca(self) -> Path:
        """What clients believe."""
        return self.directory / "ca.crt"

    @property
    def ca_key(self) -> Path:
        """Signs certificates."""
        return self.directory / "ca.key"

    @property
    def certificate(self) -> Path:
        """What the control plane shows."""
        return self.directory / "control-plane.crt"

    @property
    def key(self) -> Path:
        """Its secret half."""
        return self.directory / "control-plane.key"

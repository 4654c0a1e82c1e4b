"""`cli.toml` and its environment variables (`PROCURATOR_CLI__CONTROL_PLANE__ADDRESS`); it looks for no cluster."""

from collections.abc import Mapping
from pathlib import Path

from schema.settings import Section, load


class ControlPlaneSection(Section):
    """`[control_plane]`: `unix:/path` (the process's uid is its credential) or `host:port` with a token."""

    address: str | None = None
    token_file: Path | None = None
    ca: Path | None = None
    """With `host:port`: the CA (PEM) that signed the control plane's certificate; it is then reached by TLS."""
    server_name: str = ""
    plaintext: bool = False
    """Whether another machine may be reached without TLS: everybody on the way can read the token."""


class CiSection(Section):
    """`[ci]`."""

    url: str | None = None


class CliConfig(Section):
    """The root of `cli.toml`."""

    control_plane: ControlPlaneSection = ControlPlaneSection()
    ci: CiSection = CiSection()


def load_config(path: Path | None, *, environ: Mapping[str, str], default: Path) -> CliConfig:
    """Read and validate. Raises NotFound (the named file is not there) and InvalidInput, with file, key and reason."""
    found = load(CliConfig, service="cli", path=path, environ=environ, default=default, file_required=False)
    return found.settings

"""Where `pcr` finds the control plane and CI: options, then environment, then `cli.toml`, then the local cluster."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schema.errors import InvalidInput

DEFAULT_CI = "http://127.0.0.1:7403"
_PREFIX = "PROCURATOR_CLI_"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said; None where it said nothing."""

    connect: str | None = None
    config: Path | None = None
    token_file: Path | None = None
    ca: Path | None = None
    ci: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to talk to: an address as `schema.rpc.transport.sockets.parse_address` reads it, and CI's URL."""

    address: str
    token_file: Path | None
    ci_url: str
    local_ready: Path | None = None
    """The ready file of the local control plane, when that one is meant."""
    ca: Path | None = None
    """Who signed the control plane's certificate; None without TLS."""
    server_name: str = ""
    """The name in that certificate; by default the address' host."""
    plaintext: bool = False
    """Whether another machine may be reached without TLS."""


def state_dir(environ: Mapping[str, str]) -> Path:
    """Where `pcr up` keeps everything: `$PROCURATOR_STATE`, else below the user's state directory."""
    if named := environ.get("PROCURATOR_STATE"):
        return Path(named).absolute()
    kept = environ.get("XDG_STATE_HOME")
    return (Path(kept) if kept else Path.home() / ".local" / "state") / "procurator"


def find_target(options: Options, *, environ: Mapping[str, str]) -> Target:
    """Each part from the first place that names it. Raises InvalidInput and NotFound for wrong settings."""
    address, token_file, ci_url = options.connect, options.token_file, options.ci
    ca, server_name, plaintext = options.ca, "", False
    if _has_settings(options, environ):
        from cli.config import load_config  # pydantic: only where there is something to validate

        configured = load_config(options.config, environ=environ, default=default_config(environ))
        address = address or configured.control_plane.address
        token_file = token_file or configured.control_plane.token_file
        ci_url = ci_url or configured.ci.url
        ca = ca or configured.control_plane.ca
        server_name, plaintext = configured.control_plane.server_name, configured.control_plane.plaintext
    run = state_dir(environ) / "run"
    return Target(
        address=address or f"unix:{run / 'control-plane.sock'}",
        token_file=token_file,
        ci_url=ci_url or _local_ci(run),
        local_ready=None if address else run / "control-plane.json",
        ca=ca if address else None,
        server_name=server_name if address else "",
        plaintext=plaintext,
    )


def default_config(environ: Mapping[str, str]) -> Path:
    """`~/.config/procurator/cli.toml`."""
    kept = environ.get("XDG_CONFIG_HOME")
    return (Path(kept) if kept else Path.home() / ".config") / "procurator" / "cli.toml"


def _has_settings(options: Options, environ: Mapping[str, str]) -> bool:
    return (
        options.config is not None
        or any(name.startswith(_PREFIX) for name in environ)
        or default_config(environ).exists()
    )


def _local_ci(run: Path) -> str:
    """CI's address as `pcr up`'s CI wrote it when it began to listen."""
    ready = run / "ci.json"
    try:
        addresses = json.loads(ready.read_text(encoding="utf-8"))["addresses"]
        return f"http://{addresses['http']}"
    except FileNotFoundError:
        return DEFAULT_CI
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{ready} does not say where CI listens ({error}): name it with --ci URL") from error

"""The settings of `procurator-ci`; they name the files that hold its secrets and hold none themselves."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from schema.settings import Section, ServiceSettings

Seconds = Annotated[float, Field(gt=0, le=24 * 3600)]


class ListenSettings(Section):
    """Where `/v1/builds` is served; port 0 takes any free one."""

    http: Annotated[str, Field(pattern=r"^[^\s/]+:[0-9]{1,5}$")] = "127.0.0.1:7403"


class RepositoriesSettings(Section):
    """Where pushed commits are fetched from, and the token that the hook shows."""

    base_url: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._/-]*)?$")] = (
        "http://127.0.0.1:3001"
    )
    hook_token_file: Path


class CacheSettings(Section):
    """The binary cache that closures are pushed to."""

    url: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._/-]*)?$")] = "http://127.0.0.1:7404"
    upload_token_file: Path


class ControlPlaneSettings(Section):
    """The control plane that generations are published to, over its unix socket as publisher."""

    socket: Path
    realm: str = "default"


class EvaluationSettings(Section):
    """What untrusted Nix code may see. `network` lets evaluation fetch inputs; it can then reach local sockets too."""

    allowed_paths: tuple[Path, ...] = ()
    network: bool = False
    require_isolation: bool = True
    """False: go on without namespaces or the build sandbox where they cannot be had, and say so on every build."""


class DeadlineSettings(Section):
    """Seconds that each kind of step may take."""

    fetch: Seconds = 120
    evaluate: Seconds = 300
    build: Seconds = 3600
    push: Seconds = 900
    publish: Seconds = 60


class Settings(ServiceSettings):
    """The root of `ci.toml`."""

    state: Path = Path("/var/lib/procurator/ci")
    database: str = ""
    """A SQLAlchemy URL; by default SQLite in `state`."""
    signing_key_file: Path
    listen: ListenSettings = ListenSettings()
    repositories: RepositoriesSettings
    cache: CacheSettings
    control_plane: ControlPlaneSettings
    evaluation: EvaluationSettings = EvaluationSettings()
    deadlines: DeadlineSettings = DeadlineSettings()

    @property
    def database_url(self) -> str:
        """Where builds are kept."""
        return self.database or f"sqlite:///{self.state / 'ci.db'}"

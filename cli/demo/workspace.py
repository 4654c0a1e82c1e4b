"""The demo's throw-away directory, and clearing away what a killed demo left; it runs no service."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.up.cluster import take_down
from cli.up.layout import StateDir
from cli.up.processes import is_alive
from cli.up.record import read_record
from cli.up.supervise import Say

_PREFIX = "procurator-demo-"


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where one demo keeps its cluster and the clone that it pushes from."""

    root: Path

    @classmethod
    def fresh(cls, among: Path) -> "Workspace":
        """A new directory in `among`, with 0711: hypervisors' own users pass through it, and nobody lists it."""
        root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=among)).resolve()
        root.chmod(0o711)
        return cls(root)

    @property
    def state(self) -> StateDir:
        """The cluster's state directory."""
        return StateDir.at(self.root / "state")

    @property
    def clone(self) -> Path:
        """The clone of the example."""
        return self.root / "example"

    @property
    def nix(self) -> Path:
        """The settings and cache of the nix that locks the clone."""
        return self.root / "nix"

    def remove(self) -> None:
        """Delete all of it: nothing may run from it any more."""
        for directory in [self.root, *self.root.rglob("*/")]:
            if not directory.is_symlink():
                directory.chmod(0o700)  # a nix store's directories are read-only
        shutil.rmtree(self.root)


async def clear_leftovers(among: Path, *, environ: Mapping[str, str], say: Say) -> None:
    """Stop and delete what earlier demos left in `among` whose supervisor was killed."""
    for root in sorted(among.glob(f"{_PREFIX}*")):
        workspace = Workspace(root.resolve())
        supervisor = read_record(workspace.state.record).supervisor
        if supervisor is None or is_alive(supervisor) or root.owner() != Path.home().owner():
            continue
        say(f"an earlier demo was killed: stopping and deleting what it left in {root}")
        await take_down(workspace.state, keep_vms=False, environ=environ, say=say)
        workspace.remove()

"""Evaluate, build, read and push with the real nix; evaluation in its jail, builds in the sandbox. It decides nothing.

The signing key is a file that only `nix copy` opens, after everything untrusted has ended.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import trio
from pydantic import ValidationError

from ci_service.git import Commit
from ci_service.logs import BuildLog
from ci_service.resolve import System
from nix import commands
from nix.environment import NixEnvironment
from nix.flake import FlakeRef
from nix.git_locks import mend_clones
from nix.jail import Jail
from nix.log import Event, readable
from schema.blueprint import Blueprint
from schema.canonical import explain_validation
from schema.errors import InvalidInput

_service_log = logging.getLogger(__name__)

SYSTEM = "x86_64-linux"
BLUEPRINT_ATTRIBUTE = "blueprintJSON"
MAX_CHECKS = 500
MAX_SYSTEMS = 1000
"""Each takes an evaluation of its own; what a flake makes of a loop must not hold up every other push for hours."""

MAX_KERNEL_PARAMS = 64 * 1024
"""Bytes of `kernel-params` that are read; far more than a kernel takes."""


@dataclass(frozen=True, slots=True)
class WorkshopDeadlines:
    """Seconds for each command."""

    evaluate: float
    build: float
    push: float


@dataclass(frozen=True, slots=True)
class Workshop:
    """CI's nix. `state` holds the nix configuration, the links that keep results from the collector, the netrc."""

    state: Path
    jail: Jail | None
    sandbox: bool
    cache_url: str
    upload_token_file: Path
    signing_key_file: Path
    deadlines: WorkshopDeadlines
    warnings: tuple[str, ...] = ()

    def nix_for(self, repository: str) -> NixEnvironment:
        """The nix environment of one repository: clones and evaluation caches are not shared between two."""
        return NixEnvironment(self.state / "nix" / repository.replace("/", "+"), sandbox=self.sandbox).write()

    async def evaluate(self, commit: Commit, log: BuildLog) -> Blueprint:
        """The blueprint of a commit. Raises InvalidInput for one that is not blueprint v1, CommandFailed by nix."""
        nix = self._nix(commit)
        for removed in await trio.to_thread.run_sync(mend_clones, nix.cache_dir):
            _service_log.warning("removed %s, which a killed nix had left", removed)
        document = await commands.eval_json(
            nix,
            _flake(commit),
            BLUEPRINT_ATTRIBUTE,
            jail=self.jail,
            deadline=self.deadlines.evaluate,
            on_event=_into(log),
        )
        try:
            return Blueprint.model_validate(document)
        except ValidationError as error:
            raise InvalidInput(f"blueprintJSON: {explain_validation(error)}") from error

    async def check_derivations(self, commit: Commit, log: BuildLog) -> dict[str, str]:
        """The derivation of each flake check, by name; none where the flake has no checks."""
        nix, flake = self._nix(commit), _flake(commit)
        names = await commands.check_names(
            nix, flake, SYSTEM, jail=self.jail, deadline=self.deadlines.evaluate, on_event=_into(log)
        )
        if len(names) > MAX_CHECKS:
            raise InvalidInput(
                f"{len(names)} flake checks are too many: at most {MAX_CHECKS}, as one build holds up the others"
            )
        return {name: await self._instantiate(commit, f"checks.{SYSTEM}.{name}", log) for name in names}

    async def system_derivations(self, commit: Commit, blueprint: Blueprint, log: BuildLog) -> dict[str, str]:
        """The derivation of each VM's System, by VM; one attribute is evaluated once."""
        different = {vm.system for vm in blueprint.vms.values()}
        if len(different) > MAX_SYSTEMS:
            raise InvalidInput(f"{len(different)} Systems are too many: at most {MAX_SYSTEMS}")
        by_attribute: dict[str, str] = {}
        for vm in blueprint.vms.values():
            if vm.system not in by_attribute:
                by_attribute[vm.system] = await self._instantiate(commit, vm.system, log)
        return {name: by_attribute[vm.system] for name, vm in blueprint.vms.items()}

    async def realise(self, commit: Commit, derivation: str, log: BuildLog, *, keep_as: str) -> str:
        """Build one derivation; its first output, kept from the collector by a link of the run's."""
        roots = self.state / "roots" / commit.ref.rpartition("/")[2]
        roots.mkdir(parents=True, exist_ok=True)
        outputs = await commands.realise(
            self._nix(commit),
            [derivation],
            deadline=self.deadlines.build,
            root=roots / keep_as,
            on_event=_into(log),
        )
        return outputs[0]

    async def push(self, repository: str, paths: list[str], log: BuildLog) -> None:
        """Sign the closures and upload what the cache lacks; may be repeated."""
        netrc = self._write_netrc()
        await commands.copy_to_cache(
            self.nix_for(repository),
            paths,
            cache=self.cache_url,
            secret_key=self.signing_key_file,
            netrc=netrc,
            deadline=self.deadlines.push,
            on_event=_into(log),
        )

    async def _instantiate(self, commit: Commit, attribute: str, log: BuildLog) -> str:
        derivation = await commands.instantiate(
            self._nix(commit),
            _flake(commit),
            attribute,
            jail=self.jail,
            deadline=self.deadlines.evaluate,
            on_event=_into(log),
        )
        return derivation.drv

    def _nix(self, commit: Commit) -> NixEnvironment:
        return self.nix_for("/".join(commit.repository.with_suffix("").parts[-2:]))

    def _write_netrc(self) -> Path:
        """The upload token in the form that nix's curl reads: never in argv (0600)."""
        path = self.state / "netrc"
        token = self.upload_token_file.read_text().strip()
        fresh = path.with_name(".netrc.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"machine {urlsplit(self.cache_url).hostname} login ci password {token}\n")
        fresh.replace(path)
        return path


def system_of(toplevel: str) -> System:
    """What boots, read from a built toplevel. Raises InvalidInput where it has not a System's shape (DESIGN §5)."""
    root = Path(toplevel)
    found = {}
    for part in ("kernel", "initrd", "init", "kernel-params"):
        target = Path(os.path.realpath(root / part))
        if not target.is_file() or not target.is_relative_to("/nix/store"):
            raise InvalidInput(f"{toplevel} is no System: it has no {part!r} that is a file in the store")
        found[part] = target
    with found["kernel-params"].open("rb") as file:
        data = file.read(MAX_KERNEL_PARAMS + 1)
    if len(data) > MAX_KERNEL_PARAMS:
        raise InvalidInput(f"the kernel-params of {toplevel} are longer than {MAX_KERNEL_PARAMS} bytes")
    params = data.decode(errors="replace").strip()
    return System(toplevel, str(found["kernel"]), str(found["initrd"]), params)


def _flake(commit: Commit) -> FlakeRef:
    return FlakeRef(commit.repository, commit.ref, commit.sha, commit.directory)


def _into(log: BuildLog) -> Callable[[Event], None]:
    def write(event: Event) -> None:
        line = readable(event)
        if line is not None:
            log.line(line)

    return write

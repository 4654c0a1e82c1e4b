"""Find out, by doing it, whether evaluations and builds can be isolated on this machine; it changes nothing."""

from dataclasses import dataclass
from pathlib import Path

from nix.commands import make_store
from nix.environment import NixEnvironment
from nix.jail import Jail, build_argv, evaluation_argv, refusal
from nix.run import run
from schema.errors import CommandFailed, DeadlineExceeded, NotFound

_BUILDER = (
    'derivation {{ name = "isolation-probe-{salt}"; system = builtins.currentSystem; builder = "/bin/sh"; '
    'args = [ "-c" "exit 0" ]; }}'
)


@dataclass(frozen=True, slots=True)
class Isolation:
    """What can be had; `reason` says in one line why not everything, and is empty when all can."""

    evaluation: bool
    build: bool
    reason: str = ""

    @property
    def complete(self) -> bool:
        """Whether both can be had."""
        return self.evaluation and self.build


async def probe_isolation(nix: NixEnvironment, *, deadline: float = 30) -> Isolation:
    """Run `true` in the evaluation's jail, and a build whose builder does not exist inside a sandbox.

    The sandbox itself must come up for nix to get as far as the missing builder.
    """
    await make_store(nix)
    jail_reason = await _jail(nix, deadline)
    build_reason = await _sandbox(nix, deadline)
    reasons = [reason for reason in (jail_reason, build_reason) if reason]
    return Isolation(evaluation=not jail_reason, build=not build_reason, reason="; ".join(reasons))


async def _jail(nix: NixEnvironment, deadline: float) -> str:
    argv = evaluation_argv(
        ("true",),
        jail=Jail(),
        readable=(nix.conf_dir,),
        writable=(nix.cache_dir, nix.home),
        passwd=nix.conf_dir / "passwd",
    )
    try:
        await run(argv, deadline=deadline, env=nix.env)
    except CommandFailed as error:
        return error.stderr.decode(errors="replace").strip().partition("\n")[0]
    except (NotFound, DeadlineExceeded) as error:
        return error.message
    return ""


async def _sandbox(nix: NixEnvironment, deadline: float) -> str:
    expression = _BUILDER.format(salt=Path(nix.state).name)
    argv = build_argv(("nix-build", "--no-out-link", "--expr", expression))
    try:
        await run(argv, deadline=deadline, env=nix.env)
    except CommandFailed as error:
        return refusal(error.stderr.decode(errors="replace")) or ""
    except (NotFound, DeadlineExceeded) as error:
        return error.message
    return ""

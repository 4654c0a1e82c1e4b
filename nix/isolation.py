"""Finds out, by doing it, whether evaluations and builds can be isolated on this machine; it decides nothing."""

import os
from dataclasses import dataclass
from pathlib import Path

from nix.commands import own_programs
from nix.environment import NixEnvironment
from nix.jail import BUILD_GROUP, Jail, build_argv, evaluation_argv, refusal
from nix.run import run
from schema.errors import CommandFailed, DeadlineExceeded, NotFound

_HIDDEN = ("sh", "-c", 'test ! -e "$1"', "sh")
"""Succeeds where the file of its argument cannot be seen."""

_DERIVATION = """
derivation {{
  name = "isolation-probe";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  args = [ "-c" "test ! -e {canary} && echo hidden >$out" ];
  nonce = "{nonce}";
}}
"""
"""Its shell is Debian's, which only the probe lets into its sandbox."""

_SHELL_PATHS = "/bin /lib /lib64? /usr/bin /usr/lib /usr/lib64?"


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
    """Look from inside an evaluation's jail and from inside a build for a file that neither may see.

    `deadline` is in seconds, for each of both. The environment has to be written before.
    """
    canary = nix.state / "canary"
    canary.write_text("to be hidden\n")
    evaluation = await _reason(
        nix,
        evaluation_argv(
            (*_HIDDEN, str(canary)),
            jail=Jail(),
            store=nix.evaluation_root / "nix",
            programs=await own_programs(nix),
            readable=(nix.conf_dir,),
            writable=(nix.cache_dir, nix.home),
            passwd=nix.conf_dir / "passwd",
        ),
        deadline=deadline,
    )
    build = await _reason(nix, _probe_build(nix, canary), deadline=deadline)
    said = [f"{what} cannot be isolated: {why}" for what, why in (("evaluation", evaluation), ("builds", build)) if why]
    return Isolation(evaluation=not evaluation, build=not build, reason="; ".join(said))


def _probe_build(nix: NixEnvironment, canary: Path) -> tuple[str, ...]:
    # A canary just written has a new time, so the derivation is a new one and is built, not remembered.
    expression = _DERIVATION.format(canary=canary, nonce=canary.stat().st_mtime_ns)
    options = ["--option", "sandbox-paths", _SHELL_PATHS]
    if nix.accounts:
        options += ["--option", "build-users-group", BUILD_GROUP]
    argv = ("nix-build", "--no-out-link", *options, "--expr", expression)
    return build_argv(argv, accounts=nix.accounts, root=os.geteuid() == 0)


async def _reason(nix: NixEnvironment, argv: tuple[str, ...], *, deadline: float) -> str:
    """Why `argv`, which succeeds where it is isolated, did not; empty where it did."""
    try:
        await run(argv, deadline=deadline, env=nix.env)
    except CommandFailed as error:
        text = error.stderr.decode(errors="replace").strip()
        saw = not text or "isolation-probe.drv" in text  # our own test failed, and not what was to run it
        return refusal(text) or ("what runs there sees the host's files" if saw else text.rpartition("\n")[2])
    except (NotFound, DeadlineExceeded) as error:
        return error.message
    return ""

"""One function per nix verb, each returning a typed value; what to run when is its callers' business.

Every function takes its `deadline` in seconds and raises what `nix.run.run` raises. A nix that fails raises
`CommandFailed` with a readable stderr; a build `BuildFailed`; a jail or sandbox that cannot be had `NotIsolated`.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nix import argv as argvs
from nix import result
from nix.environment import NixEnvironment
from nix.flake import FlakeRef
from nix.jail import BUILD_GROUP, STORE, Jail, NotIsolated, build_argv, evaluation_argv, refusal
from nix.log import Event, LogDecoder, Problem, readable
from nix.result import Derivation, FlakeMetadata, PathInfo
from nix.run import Completed, run
from schema.errors import CommandFailed, NotFound

MAX_LOG = 64 * 1024 * 1024
"""Bytes of live log of one command; a builder that prints more is ended."""

OnEvent = Callable[[Event], None]


class BuildFailed(CommandFailed):
    """A derivation did not build. `drvs`: those that the errors name, the one that failed first; see `build_log`."""

    drvs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An Ed25519 key in nix's format (`name:base64`)."""

    secret: str
    public: str

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r})"


async def nix_version(nix: NixEnvironment, *, deadline: float = 20) -> tuple[int, int, int]:
    """The version of the nix in PATH."""
    return result.parse_version((await run(argvs.nix_version(), deadline=deadline, env=nix.env)).stdout)


async def eval_json(
    nix: NixEnvironment,
    flake: FlakeRef,
    attribute: str,
    *,
    jail: Jail | None,
    deadline: float,
    on_event: OnEvent | None = None,
) -> Any:
    """The value of an attribute; nothing is built. Without a jail only for flakes of our own."""
    argv = argvs.eval_json(flake, attribute)
    return result.parse_json(await _evaluate(nix, flake, argv, jail=jail, deadline=deadline, on_event=on_event))


async def flake_metadata(
    nix: NixEnvironment, flake: FlakeRef, *, jail: Jail | None, deadline: float, on_event: OnEvent | None = None
) -> FlakeMetadata:
    """What the reference was locked to."""
    argv = argvs.flake_metadata(flake)
    return result.parse_flake_metadata(
        await _evaluate(nix, flake, argv, jail=jail, deadline=deadline, on_event=on_event)
    )


async def check_names(
    nix: NixEnvironment,
    flake: FlakeRef,
    system: str,
    *,
    jail: Jail | None,
    deadline: float,
    on_event: OnEvent | None = None,
) -> tuple[str, ...]:
    """The names under `checks.<system>`; none where the flake has no checks."""
    argv = argvs.check_names(flake, system)
    try:
        return result.parse_names(await _evaluate(nix, flake, argv, jail=jail, deadline=deadline, on_event=on_event))
    except CommandFailed as error:
        if b"does not provide attribute" in error.stderr:
            return ()
        raise


async def instantiate(
    nix: NixEnvironment,
    flake: FlakeRef,
    attribute: str,
    *,
    jail: Jail | None,
    deadline: float,
    on_event: OnEvent | None = None,
) -> Derivation:
    """Evaluate an attribute to its derivation, which is then in the host's store, ready for `realise`.

    `deadline` holds for the evaluation and, from a jail, for the copy out of its store.
    """
    argv = argvs.instantiate(flake, attribute)
    evaluated = await _evaluate(nix, flake, argv, jail=jail, deadline=deadline, on_event=on_event)
    derivation = result.parse_instantiated(evaluated)
    if jail is not None:
        copy = argvs.copy_derivations([derivation.drv], store=nix.evaluation_root)
        await _run_live(nix, copy, deadline=deadline)
    return derivation


async def realise(
    nix: NixEnvironment,
    drvs: Sequence[str],
    *,
    deadline: float,
    network: bool = False,
    root: Path | None = None,
    on_event: OnEvent | None = None,
) -> tuple[str, ...]:
    """Build derivations (sandboxed as `nix` says, and without network unless `network`); their output paths.

    `root` becomes a link (`root-2`, … for further outputs) that keeps them from the collector.
    """
    group = BUILD_GROUP if nix.accounts else ""
    realising = argvs.realise(drvs, root=root, group=group)
    argv = build_argv(realising, network=network, accounts=nix.accounts, root=os.geteuid() == 0)
    done = await _run_live(nix, argv, deadline=deadline, on_event=on_event, failure=BuildFailed)
    if root is None:
        return result.parse_realised(done.stdout)
    links = done.stdout.decode().split("\n")  # with a root, nix-store prints the links instead
    return result.parse_realised("\n".join(os.path.realpath(link) for link in links if link).encode())


async def build(
    nix: NixEnvironment,
    flake: FlakeRef,
    attribute: str,
    *,
    jail: Jail | None,
    deadline: float,
    network: bool = False,
    root: Path | None = None,
    on_event: OnEvent | None = None,
) -> Derivation:
    """`instantiate` in the jail, then `realise` in the sandbox; `deadline` holds for each of the two."""
    derivation = await instantiate(nix, flake, attribute, jail=jail, deadline=deadline, on_event=on_event)
    await realise(nix, [derivation.drv], deadline=deadline, network=network, root=root, on_event=on_event)
    return derivation


async def copy_to_cache(
    nix: NixEnvironment,
    paths: Sequence[str],
    *,
    cache: str,
    secret_key: Path,
    deadline: float,
    netrc: Path | None = None,
    on_event: OnEvent | None = None,
) -> None:
    """Sign closures and upload what the cache lacks. Idempotent: on failure run it again.

    No paths are nothing to do, here and below: to nix they would mean the flake in the working directory.
    """
    if not paths:
        return
    argv = argvs.copy_to_cache(paths, cache=cache, secret_key=secret_key, netrc=netrc)
    await _run_live(nix, argv, deadline=deadline, on_event=on_event)


async def copy_from_cache(
    nix: NixEnvironment,
    paths: Sequence[str],
    *,
    cache: str,
    store: Path,
    trusted_keys: Sequence[str],
    deadline: float,
    on_event: OnEvent | None = None,
) -> None:
    """Pull closures into the chroot store at `store`; a path without a trusted signature fails it."""
    if not paths:
        return
    argv = argvs.copy_from_cache(paths, cache=cache, store=store, trusted_keys=trusted_keys)
    await _run_live(nix, argv, deadline=deadline, on_event=on_event)


async def verify_signatures(
    nix: NixEnvironment, paths: Sequence[str], *, store: Path | None, trusted_keys: Sequence[str], deadline: float
) -> None:
    """Raises `CommandFailed` unless every path of the closures is signed by one of `trusted_keys`."""
    if not paths:
        return
    argv = argvs.verify_signatures(paths, store=store, trusted_keys=trusted_keys)
    await _run_live(nix, argv, deadline=deadline)


async def verify_contents(nix: NixEnvironment, paths: Sequence[str], *, store: Path | None, deadline: float) -> None:
    """Raises `CommandFailed` unless every path of the closures is as it was registered. Reads all of it."""
    if not paths:
        return
    await _run_live(nix, argvs.verify_contents(paths, store=store), deadline=deadline)


async def path_info(
    nix: NixEnvironment, paths: Sequence[str], *, deadline: float, store: Path | None = None, recursive: bool = True
) -> Mapping[str, PathInfo | None]:
    """What is registered of `paths`, or of their closures; None for one that is not valid there."""
    if not paths:
        return {}
    try:
        done = await run(argvs.path_info(paths, store=store, recursive=recursive), deadline=deadline, env=nix.env)
    except CommandFailed as error:
        if b"is not valid" in error.stderr and recursive:  # 2.8 cannot walk the closure of what it does not have
            return await path_info(nix, paths, deadline=deadline, store=store, recursive=False)
        raise
    return result.parse_path_info(done.stdout)


async def build_log(nix: NixEnvironment, path: str, *, deadline: float = 20, store: Path | None = None) -> str:
    """The log of a derivation's build as the builder wrote it. Raises `NotFound` where there is none."""
    done = await run(argvs.build_log(path, store=store), deadline=deadline, env=nix.env, check=False)
    if done.returncode != 0:
        raise NotFound(f"there is no build log of {path}")
    return done.stdout.decode(errors="replace")


async def generate_key(nix: NixEnvironment, name: str, *, deadline: float = 20) -> KeyPair:
    """A new key pair. The secret is in memory only: to whom it goes, and 0600, is the caller's affair."""
    secret = (await run(argvs.generate_key(name), deadline=deadline, env=nix.env)).stdout
    public = await run(argvs.public_of_secret(), deadline=deadline, env=nix.env, stdin=secret)
    return KeyPair(secret.decode().strip(), public.stdout.decode().strip())


async def sign(
    nix: NixEnvironment, paths: Sequence[str], *, secret_key: Path, deadline: float, store: Path | None = None
) -> None:
    """Add a signature to each path of the closures in the store itself."""
    if not paths:
        return
    await run(argvs.sign(paths, secret_key=secret_key, store=store), deadline=deadline, env=nix.env)


async def collect_garbage(nix: NixEnvironment, *, deadline: float, store: Path | None = None) -> int:
    """Delete what no root reaches; how many paths that were."""
    done = await run(argvs.collect_garbage(store=store), deadline=deadline, env=nix.env)
    return result.parse_collected(done.stdout + done.stderr)


async def own_programs(nix: NixEnvironment, *, deadline: float = 20) -> tuple[Path, ...]:
    """The closures of a nix and a git that are in the host's store themselves; none where a distribution has them."""
    found = (shutil.which(program) for program in ("nix", "git"))
    real = [Path(path).resolve() for path in found if path is not None]
    inside = [str(Path(*path.parts[:4])) for path in real if path.is_relative_to(STORE / "store")]
    if not inside:
        return ()
    return tuple(Path(path) for path in sorted(await path_info(nix, inside, deadline=deadline)))


async def _evaluate(
    nix: NixEnvironment,
    flake: FlakeRef,
    argv: tuple[str, ...],
    *,
    jail: Jail | None,
    deadline: float,
    on_event: OnEvent | None,
) -> bytes:
    if jail is not None:
        argv = evaluation_argv(
            argv,
            jail=jail,
            store=nix.evaluation_root / "nix",
            programs=await own_programs(nix),
            readable=(flake.repository, nix.conf_dir),
            writable=(nix.cache_dir, nix.home),
            passwd=nix.conf_dir / "passwd",
        )
    return (await _run_live(nix, argv, deadline=deadline, on_event=on_event)).stdout


async def _run_live(
    nix: NixEnvironment,
    argv: tuple[str, ...],
    *,
    deadline: float,
    on_event: OnEvent | None = None,
    failure: type[CommandFailed] = CommandFailed,
) -> Completed:
    """Run a nix whose stderr is `argvs.LIVE_LOG`, telling `on_event` as it comes."""
    decoder = LogDecoder()

    def tell(line: str) -> None:
        event = decoder.feed(line)
        if event is not None and on_event is not None:
            on_event(event)

    try:
        return await run(argv, deadline=deadline, env=nix.env, on_stderr_line=tell, max_output=MAX_LOG)
    except CommandFailed as error:
        raise _told(error, failure) from error


def _told(error: CommandFailed, failure: type[CommandFailed]) -> CommandFailed | NotIsolated:
    """`error` with the log's JSON made readable, as the kind that it is."""
    decoder = LogDecoder()
    events = [event for line in error.stderr.decode(errors="replace").splitlines() if (event := decoder.feed(line))]
    text = "\n".join(line for event in events if (line := readable(event)))
    reason = refusal(text)
    problems = "\n".join(event.text for event in events if isinstance(event, Problem))
    if reason is not None:
        return NotIsolated(f"cannot be isolated on this machine: {reason}")
    told = failure(
        argv=error.argv, cwd=error.cwd, returncode=error.returncode, stdout=error.stdout, stderr=text.encode()
    )
    if isinstance(told, BuildFailed):
        told.drvs = result.failed_derivations(problems)
    return told

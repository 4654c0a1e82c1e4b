"""The namespaces that evaluations and builds run in, as argv around argv; it runs nothing and looks at no file.

Pure evaluation and restrict-eval do not stop `path:` and `git+file:` inputs, so an evaluation gets a mount namespace
(and pid, ipc, uts, net, without capabilities) that has nothing to find: not the host's store either, where the sources
of other repositories lie and a database names them; a store of the repository's own stands at `/nix`. nix's own build
sandbox does not hide the network from fixed-output derivations, so a build gets a network namespace around it. The
sandbox cannot be made inside the evaluation's jail: the kernel refuses a fresh /proc where part of the visible one is
covered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nix.flake import local_path
from schema.errors import ProcuratorError

STORE = Path("/nix")

PROGRAM_PATHS = tuple(
    Path(path)
    for path in (
        "/usr/bin",
        "/usr/lib",
        "/usr/lib32",
        "/usr/lib64",
        "/usr/libexec",
        "/usr/share/git-core",
        "/bin",
        "/lib",
        "/lib64",
    )
)
"""nix, git, sh and their libraries as distributions place them (a nix in /nix brings its own)."""

NETWORK_PATHS = tuple(
    Path(path)
    for path in (
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/nsswitch.conf",
        "/etc/ssl/certs",
        "/usr/share/ca-certificates",
    )
)


MAX_EVALUATION_BYTES = 4 << 30
"""Memory of one evaluation; a flake that doubles a string for ever must not take the machine's."""

FIRST_TO_GO = ("choom", "--adjust", "1000", "--")
"""Where memory ends all the same, the kernel ends what others wrote before any service or VM."""

BUILD_GROUP = "nixbld"
BUILD_USERS = 32
_FIRST_BUILD_ID = 872415232
"""Where newer nix begins to allocate ids of builders by itself (`start-id`): nobody else has them."""

_WITH_ACCOUNTS = 'mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/group && shift 2 && exec "$@"'


@dataclass(frozen=True, slots=True)
class Accounts:
    """The files that stand at /etc/passwd and /etc/group while nix builds."""

    passwd: Path
    group: Path


def build_accounts() -> tuple[str, str]:
    """The texts of both: root, and users that only builders run as."""
    names = [f"nixbld{number}" for number in range(1, BUILD_USERS + 1)]
    users = [
        f"{name}:x:{_FIRST_BUILD_ID + number}:{_FIRST_BUILD_ID}:a builder:/var/empty:/bin/false"
        for number, name in enumerate(names, 1)
    ]
    passwd = ["root:x:0:0:root:/root:/bin/sh", *users]
    group = ["root:x:0:", f"{BUILD_GROUP}:x:{_FIRST_BUILD_ID}:{','.join(names)}"]
    return "\n".join((*passwd, "")), "\n".join((*group, ""))


@dataclass(frozen=True, slots=True)
class Jail:
    """What an evaluation may see besides its checkout, the store and nix's own files.

    `network` shares the host's network for flakes that fetch inputs: then it also reaches what listens on loopback.
    """

    allowed_paths: tuple[Path, ...] = ()
    network: bool = False


class NotIsolated(ProcuratorError):
    """A namespace or the build sandbox cannot be had here, so nothing was evaluated or built."""

    code = "internal"


def evaluation_argv(
    argv: Sequence[str],
    *,
    jail: Jail,
    store: Path,
    readable: Sequence[Path],
    writable: Sequence[Path],
    passwd: Path,
    programs: Sequence[Path] = (),
) -> tuple[str, ...]:
    """`argv` in the jail: the root holds programs, a store, `readable`, `writable`, `jail.allowed_paths`; no more.

    `store` is the directory that stands at `/nix`, writable; `programs` are paths of the host's store that are shown
    in it. `passwd` stands at /etc/passwd, as git and nix want a name for their uid.
    """
    shared = ("--share-net",) if jail.network else ()
    system = (*PROGRAM_PATHS, *(NETWORK_PATHS if jail.network else ()))
    return (
        *FIRST_TO_GO,
        *("prlimit", f"--data={MAX_EVALUATION_BYTES}", "--"),
        *("bwrap", "--unshare-all", *shared, "--die-with-parent", "--cap-drop", "ALL"),
        *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),  # noqa: S108 - a fresh one inside the namespace
        *_binds("--ro-bind-try", system),
        *("--ro-bind", str(local_path(passwd)), "/etc/passwd"),
        *("--bind", str(local_path(store)), str(STORE)),
        *_binds("--ro-bind", programs),
        *_binds("--ro-bind", (*jail.allowed_paths, *readable)),
        *_binds("--bind", writable),
        *("--chdir", "/", "--", *argv),
    )


def build_argv(
    argv: Sequence[str], *, network: bool = False, accounts: Accounts | None = None, root: bool = True
) -> tuple[str, ...]:
    """`argv`, a nix that builds in its sandbox, in a network namespace of its own unless `network`.

    With `accounts` builders run as users who own nothing: a builder that runs as root owns its inputs, and can write
    to what others build from (tried). The machine itself needs no such users: the accounts are a namespace's. Without
    `root` there are no accounts to be had, and the network namespace needs a user namespace around it.
    """
    if accounts is None:
        own = ("unshare", *(() if root else ("--user", "--map-current-user")), "--net", "--")
        return (*FIRST_TO_GO, *(() if network else own), *argv)
    return (
        *FIRST_TO_GO,
        *("unshare", "--mount", "--propagation", "private", *(() if network else ("--net",)), "--"),
        *("sh", "-c", _WITH_ACCOUNTS, "sh", str(local_path(accounts.passwd)), str(local_path(accounts.group)), *argv),
    )


def refusal(stderr: str) -> str | None:
    """Why the namespace or the sandbox could not be made, if that is what a failure's stderr says."""
    first, _, _ = stderr.partition("\n")
    if first.startswith(("bwrap: ", "unshare: ", "mount: ", "choom: ", "prlimit: ")):
        return first
    for line in stderr.splitlines():
        if "kernel namespaces that are required for sandboxing" in line or "mounting /proc: Operation not" in line:
            return line.strip()
    return None


def _binds(kind: str, paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(word for path in paths for word in (kind, str(local_path(path)), str(path)))

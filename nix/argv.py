"""The exact argv of every nix command that we run, from checked values; it runs none of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nix import flake as forms
from nix.flake import FlakeRef

LIVE_LOG = ("--log-format", "internal-json", "-v")
"""One JSON object a line on stderr, which `nix.log` decodes, beside the result on stdout."""

_UNCHANGED = "--no-write-lock-file"
"""A missing or stale lock is evaluated as it is; the pushed commit is never edited."""

OUTPUTS = (
    "d: { drv = d.drvPath; outputs = builtins.listToAttrs "
    '(map (n: { name = n; value = d.${n}.outPath; }) (d.outputs or [ "out" ])); }'
)
"""What a derivation is and will yield, without building it."""


def nix_version() -> tuple[str, ...]:
    """Prints `nix (Nix) 2.8.0`."""
    return ("nix", "--version")


def eval_json(flake: FlakeRef, attribute: str, *, apply: str | None = None) -> tuple[str, ...]:
    """One attribute as JSON; `apply` is a function of ours that it goes through first. Never builds."""
    applied = () if apply is None else ("--apply", apply)
    return ("nix", "eval", *LIVE_LOG, "--json", _UNCHANGED, flake.attribute(attribute), *applied)


def evaluate_expression(expression: str) -> tuple[str, ...]:
    """An expression of our own as JSON, outside of any flake and jail. Never builds."""
    return ("nix-instantiate", "--eval", "--json", "--strict", "--expr", expression)


def flake_metadata(flake: FlakeRef) -> tuple[str, ...]:
    """What the flake is locked to."""
    return ("nix", "flake", "metadata", *LIVE_LOG, "--json", _UNCHANGED, flake.url)


def flake_lock(directory: Path) -> tuple[str, ...]:
    """Write the lock of a flake of our own in a work tree."""
    return ("nix", "flake", "lock", str(forms.local_path(directory)))


def check_names(flake: FlakeRef, system: str) -> tuple[str, ...]:
    """The attribute names of `checks.<system>`."""
    return eval_json(flake, f"checks.{system}", apply="builtins.attrNames")


def instantiate(flake: FlakeRef, attribute: str) -> tuple[str, ...]:
    """An attribute's derivation and its outputs' paths, with the derivation written to the store."""
    return eval_json(flake, attribute, apply=OUTPUTS)


def build(flake: FlakeRef, attribute: str) -> tuple[str, ...]:
    """Evaluate and build in one; only for flakes of our own, as the evaluation is not in a jail."""
    return ("nix", "build", *LIVE_LOG, "--json", "--no-link", _UNCHANGED, flake.attribute(attribute))


def realise(drvs: Sequence[str], *, root: Path | None = None, group: str = "") -> tuple[str, ...]:
    """Build derivations. `nix-store` means the same by a `.drv` in all versions, `nix build` does not.

    Builders run as members of `group`; where it is empty, as who we are.
    `root` becomes a link that keeps the first output from the collector (`root-2`… the others).
    """
    kept = () if root is None else ("--add-root", str(forms.local_path(root)), "--indirect")
    return (
        "nix-store",
        *LIVE_LOG,
        "--realise",
        "--no-gc-warning",
        *(_options({"build-users-group": group}) if group else ()),
        *kept,
        *(forms.derivation_path(drv) for drv in drvs),
    )


def copy_to_cache(paths: Sequence[str], *, cache: str, secret_key: Path, netrc: Path | None = None) -> tuple[str, ...]:
    """Sign the closures with the key in the file and upload what the cache lacks; zstd."""
    url = f"{forms.cache_url(cache)}?compression=zstd&secret-key={forms.local_path(secret_key)}"
    login = () if netrc is None else ("--option", "netrc-file", str(forms.local_path(netrc)))
    # A cache that lost a path would otherwise be believed to have it for a month.
    asked = ("--option", "narinfo-cache-positive-ttl", "0")
    return ("nix", "copy", *LIVE_LOG, "--to", url, *asked, *login, *_paths(paths))


def copy_from_cache(paths: Sequence[str], *, cache: str, store: Path, trusted_keys: Sequence[str]) -> tuple[str, ...]:
    """Pull the closures into the chroot store at `store`, every path signed by one of `trusted_keys`."""
    options = {
        "trusted-public-keys": _keys(trusted_keys),
        "require-sigs": "true",
        "narinfo-cache-negative-ttl": "0",
        # A cache that does not answer, or stops in the middle, gives way to the next one soon.
        "connect-timeout": "5",
        "stalled-download-timeout": "20",
        "download-attempts": "3",
    }
    url, to = forms.cache_url(cache), chroot_store(store)
    return ("nix", "copy", *LIVE_LOG, "--from", url, "--to", to, *_options(options), *_paths(paths))


def copy_derivations(drvs: Sequence[str], *, store: Path) -> tuple[str, ...]:
    """Take derivations, with all that they are built from, out of the chroot store at `store` into the host's.

    They are content-addressed, so that nix checks each against its own name and asks for no signature.
    """
    wanted = tuple(forms.derivation_path(drv) for drv in drvs)
    return ("nix", "copy", *LIVE_LOG, "--derivation", "--from", chroot_store(store), *wanted)


def verify_signatures(paths: Sequence[str], *, store: Path | None, trusted_keys: Sequence[str]) -> tuple[str, ...]:
    """Fail unless each path of the closures carries a signature by one of `trusted_keys`; contents are not read."""
    options = _options({"trusted-public-keys": _keys(trusted_keys)})
    wanted = ("--recursive", "--no-contents", "--sigs-needed", "1")
    return ("nix", "store", "verify", *LIVE_LOG, *wanted, *_in(store), *options, *_paths(paths))


def verify_contents(paths: Sequence[str], *, store: Path | None) -> tuple[str, ...]:
    """Fail unless each path of the closures still has the hash that it was registered with."""
    return ("nix", "store", "verify", *LIVE_LOG, "--recursive", "--no-trust", *_in(store), *_paths(paths))


def path_info(paths: Sequence[str], *, store: Path | None = None, recursive: bool = True) -> tuple[str, ...]:
    """Registered facts of paths, or of their closures. An unknown path is no failure of this command."""
    every = ("--recursive",) if recursive else ()
    return ("nix", "path-info", "--json", *every, *_in(store), *_paths(paths))


def build_log(path: str, *, store: Path | None = None) -> tuple[str, ...]:
    """The log of a derivation's build, also of a failed one."""
    return ("nix", "log", *_in(store), forms.store_path(path))


def generate_key(name: str) -> tuple[str, ...]:
    """Prints a new secret key, without a newline."""
    return ("nix", "key", "generate-secret", "--key-name", forms.key_name(name))


def public_of_secret() -> tuple[str, ...]:
    """Reads a secret key on stdin and prints its public one, without a newline."""
    return ("nix", "key", "convert-secret-to-public")


def sign(paths: Sequence[str], *, secret_key: Path, store: Path | None = None) -> tuple[str, ...]:
    """Add a signature to each path of the closures, in the store itself."""
    key = ("--key-file", str(forms.local_path(secret_key)))
    return ("nix", "store", "sign", *key, "--recursive", *_in(store), *_paths(paths))


def collect_garbage(*, store: Path | None = None) -> tuple[str, ...]:
    """Delete what no root reaches."""
    return ("nix", "store", "gc", *_in(store))


def chroot_store(root: Path) -> str:
    """The URL of a store of its own below `root`: paths are `root/nix/store/…` on disk, `/nix/store/…` by name."""
    return f"local?root={forms.local_path(root)}"


def _in(store: Path | None) -> tuple[str, ...]:
    return () if store is None else ("--store", chroot_store(store))


def _options(options: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(word for name, value in options.items() for word in ("--option", name, value))


def _keys(keys: Sequence[str]) -> str:
    return " ".join(forms.public_key(key) for key in keys)


def _paths(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(forms.store_path(path) for path in paths)

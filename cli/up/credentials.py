"""Write the keys and tokens of a local cluster, once, each 0600; no key or token is ever overwritten."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from cli.up.layout import StateDir
from cli.up.plan import Trust
from schema.errors import InvalidInput
from schema.signing import PublicKey, SecretKey

TOKENS = ("cache-upload", "ci-hook")


def write_once(path: Path, make: Callable[[], str]) -> None:
    """Write what `make` gives to `path` with mode 0600, durably and whole, unless the file is there."""
    if path.exists():
        _check_private(path)
        return
    replace_durably(path, make())


def replace_durably(path: Path, text: str) -> None:
    """Put `text` in the place of what `path` holds, if anything: 0600, and whole on disk when this returns."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check_private(path: Path) -> None:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise InvalidInput(f"{path} has mode {mode:04o}, so others can read it; run: chmod 600 {path}")


def ensure_secrets(state: StateDir) -> Trust:
    """Make what is missing of `keys/` and `tokens/`; the public keys. Raises InvalidInput for a readable secret."""
    for name in TOKENS:
        write_once(state.tokens / name, lambda: secrets.token_hex(32) + "\n")
    return Trust(ci=_ensure_key(state, "ci"), control_plane=_ensure_key(state, "control-plane"))


def _ensure_key(state: StateDir, name: str) -> PublicKey:
    path = state.keys / name

    def make() -> str:
        return SecretKey.from_seed(f"{name}-{secrets.token_hex(4)}", secrets.token_bytes(32)).reveal() + "\n"

    write_once(path, make)
    public = SecretKey.parse(path.read_text(encoding="utf-8")).public
    write_once(path.with_name(f"{name}.pub"), lambda: f"{public}\n")
    return public

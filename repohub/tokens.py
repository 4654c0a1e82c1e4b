"""Reads the files that hold our tokens, and refuses those that others can read; it keeps none of them."""

from pathlib import Path

from schema.errors import InvalidInput


def read_token(path: Path) -> str:
    """The token in a file that only its owner can read. Raises InvalidInput."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read the token file {path}: {error}") from None
    if mode & 0o077:
        raise InvalidInput(f"the token file {path} can be read by others; run: chmod 600 {path}")
    if not text or not text.isprintable() or " " in text:
        raise InvalidInput(f"the token file {path} holds no token")
    return text

"""Whether an uploaded narinfo may become visible: decided from what was found, and every refusal names the way out."""

from collections.abc import Sequence
from dataclasses import dataclass

from ci_service.cache.base32 import encode
from ci_service.cache.fingerprint import check_signed
from ci_service.cache.narinfo import NarInfo, hash_part_of
from schema.errors import Conflict, HashMismatch, InvalidInput, TooLarge
from schema.signing import PublicKey


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the cache has around a narinfo: its file's size (None: not uploaded) and which references are not there."""

    file_size: int | None
    missing_references: tuple[str, ...] = ()
    earlier: NarInfo | None = None
    """The narinfo that is visible under the same hash."""


def check_claims(info: NarInfo, *, hash_part: str, keys: Sequence[PublicKey], max_nar_bytes: int) -> None:
    """The checks that need no file: name, signature, size. Raises the typed refusal.

    The signature comes before anything is unpacked: only the holder of a pinned key can make this server do work.
    """
    if info.hash_part != hash_part:
        raise InvalidInput(f"{hash_part}.narinfo is about {info.store_path}: it belongs at {info.hash_part}.narinfo")
    check_signed(info, keys)
    if info.nar_size > max_nar_bytes:
        raise TooLarge(f"{info.store_path}: NarSize {info.nar_size} is over the limit, max_nar_bytes = {max_nar_bytes}")


def check_surroundings(info: NarInfo, found: Surroundings) -> None:
    """The checks against what is kept already. Raises the typed refusal."""
    url = info.nar_file.url
    if found.file_size is None:
        raise Conflict(f"{info.store_path}: {url} is not here: upload the nar before its narinfo")
    if found.file_size != info.file_size:
        raise HashMismatch(f"{info.store_path}: FileSize is {info.file_size}, and {url} has {found.file_size} bytes")
    if found.missing_references:
        named = ", ".join(found.missing_references[:5])
        more = f" and {len(found.missing_references) - 5} more" if len(found.missing_references) > 5 else ""
        raise Conflict(
            f"{info.store_path}: refers to {named}{more}, which this cache lacks: copy the whole closure (`nix copy`)"
        )
    if found.earlier and not _same_content(info, found.earlier):
        raise Conflict(
            f"{info.store_path}: is here already with NarHash sha256:{encode(found.earlier.nar_hash)}, and a path's "
            "content never changes: the build is not reproducible, take the cache's (`nix copy --from`)"
        )


def check_nar(info: NarInfo, *, nar_hash: bytes, nar_size: int) -> None:
    """The unpacked nar against what was signed. Raises HashMismatch naming both."""
    if nar_size != info.nar_size:
        raise HashMismatch(f"{info.store_path}: NarSize is {info.nar_size}, and the nar unpacks to {nar_size} bytes")
    if nar_hash != info.nar_hash:
        raise HashMismatch(
            f"{info.store_path}: NarHash is sha256:{encode(info.nar_hash)}, and the nar's is sha256:{encode(nar_hash)}"
        )


def references_to_check(info: NarInfo) -> tuple[str, ...]:
    """The hash parts that must be visible before `info` is; a path may refer to itself."""
    return tuple(hash_part_of(name) for name in info.references if name != info.base_name)


def _same_content(one: NarInfo, other: NarInfo) -> bool:
    mine = (one.store_path, one.nar_hash, one.nar_size, one.references)
    return mine == (other.store_path, other.nar_hash, other.nar_size, other.references)

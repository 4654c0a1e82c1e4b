"""What a narinfo's signature covers, and which pinned key made it; it reads no keys from files."""

from collections.abc import Sequence
from dataclasses import replace

from ci_service.cache.base32 import encode
from ci_service.cache.narinfo import STORE_DIR, NarInfo
from schema.errors import BadSignature
from schema.signing import PublicKey, check_signature


def fingerprint(info: NarInfo) -> bytes:
    """`1;<StorePath>;<NarHash>;<NarSize>;<references as full paths, by comma>` (nix's `ValidPathInfo::fingerprint`).

    Deriver, URL, compression and the file's hash and size are not in it: those are the server's to check.
    """
    references = ",".join(f"{STORE_DIR}/{name}" for name in sorted(info.references))
    return f"1;{info.store_path};sha256:{encode(info.nar_hash)};{info.nar_size};{references}".encode()


def check_signed(info: NarInfo, keys: Sequence[PublicKey]) -> PublicKey:
    """The pinned key that signed `info`.

    One valid signature is enough; others (of caches that the path came from) are not looked at. A content-addressed
    path needs one as well: nix would take it from anybody. Raises BadSignature with every signature's reason.
    """
    message = fingerprint(info)
    reasons = []
    for signature in info.signatures:
        try:
            return check_signature(message=message, signature=signature, keys=keys, what=info.store_path)
        except BadSignature as error:
            reasons.append(error.message)
    pinned = ", ".join(sorted({key.name for key in keys})) or "none"
    raise BadSignature("; ".join(reasons) or f"{info.store_path} is not signed (pinned keys: {pinned})")


def with_signatures_of(info: NarInfo, earlier: NarInfo, keys: Sequence[PublicKey]) -> NarInfo:
    """`info` with those signatures of `earlier` that a pinned key made: signing anew never takes one away.

    Both must have the same fingerprint.
    """
    kept = tuple(
        signature
        for signature in earlier.signatures
        if signature not in info.signatures and _is_good(replace(earlier, signatures=(signature,)), keys)
    )
    return replace(info, signatures=info.signatures + kept)


def _is_good(info: NarInfo, keys: Sequence[PublicKey]) -> bool:
    try:
        check_signed(info, keys)
    except BadSignature:
        return False
    return True

"""What a URL's path names in a binary cache; it looks at no file."""

import re
from dataclasses import dataclass

from ci_service.cache.base32 import ALPHABET
from ci_service.cache.narinfo import NarFile
from schema.errors import InvalidInput, NotFound

_NARINFO = re.compile(rf"/([{ALPHABET}]{{32}})\.narinfo")


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """`/nix-cache-info`."""


@dataclass(frozen=True, slots=True)
class Health:
    """`/healthz`."""


@dataclass(frozen=True, slots=True)
class NarInfoFile:
    """`/<hash part of a store path>.narinfo`."""

    hash_part: str


Resource = CacheInfo | Health | NarInfoFile | NarFile


def resource_of(path: str) -> Resource:
    """What `path` (percent-decoded) names. Raises NotFound for all else: only these four forms ever reach a file."""
    if found := _NARINFO.fullmatch(path):
        return NarInfoFile(found[1])
    if path.startswith("/nar/"):
        try:
            return NarFile.parse(path.removeprefix("/nar/"))
        except InvalidInput as error:
            raise NotFound(error.message) from error
    match path:
        case "/nix-cache-info":
            return CacheInfo()
        case "/healthz":
            return Health()
    raise NotFound(
        f"{path[:200]!r} is nothing that this cache keeps: it has /nix-cache-info, /<hash>.narinfo and /nar/<file>; "
        "nar listings, logs and realisations are not kept (leave write-nar-listing off)"
    )

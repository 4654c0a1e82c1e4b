"""The text of a `.narinfo`, read strictly and printed as nix prints it; it checks no signature and opens no file."""

import re
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from ci_service.cache.base32 import decode, encode
from schema.errors import InvalidInput, TooLarge
from schema.names import STORE_PATH_PATTERN

STORE_DIR = "/nix/store"
MAX_NARINFO_BYTES = 1 << 20
"""1 MiB: about 15,000 references."""
MAX_SIGNATURES = 32

_STORE_PATH = re.compile(STORE_PATH_PATTERN)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
_SIGNATURE = re.compile(r"[^\s:]{1,255}:[A-Za-z0-9+/]{86}==")
_SYSTEM = re.compile(r"[A-Za-z0-9_]+-[A-Za-z0-9_-]+")
_CONTENT_ADDRESS = re.compile(r"(?:text|fixed):(?:r:|git:)?(?:md5|sha1|sha256|sha512):[0-9a-z]{26,103}")
_TEXT = re.compile(rb"[\x20-\x7e\n]*")


class Compression(Enum):
    """How a nar's file is packed. The value is narinfo's word for it."""

    NONE = "none"
    XZ = "xz"
    ZSTD = "zstd"

    @property
    def suffix(self) -> str:
        """What the file's name ends with."""
        return {Compression.NONE: ".nar", Compression.XZ: ".nar.xz", Compression.ZSTD: ".nar.zst"}[self]


@dataclass(frozen=True, slots=True)
class NarFile:
    """The name of a packed nar: the SHA-256 of the file's bytes (32 bytes) and its compression."""

    sha256: bytes
    compression: Compression

    @property
    def name(self) -> str:
        """Its file name: `<nix base 32>.nar.zst`."""
        return encode(self.sha256) + self.compression.suffix

    @property
    def url(self) -> str:
        """What a narinfo's URL says, and the path below the server's root."""
        return f"nar/{self.name}"

    @classmethod
    def parse(cls, name: str) -> "NarFile":
        """Read a file name. Raises InvalidInput for any but the one spelling that `name` prints."""
        stem, _, suffix = name.partition(".")
        for compression in Compression:
            if compression.suffix == f".{suffix}":
                return cls(decode(stem, size=32), compression)
        known = ", ".join(f"<hash>{compression.suffix}" for compression in Compression)
        raise InvalidInput(
            f"{name[:200]!r} names no nar that this cache keeps ({known}): upload with ?compression=zstd"
        )


@dataclass(frozen=True, slots=True)
class NarInfo:
    """What a narinfo says. Sizes are bytes; hashes are SHA-256 (32 bytes); references are base names, sorted."""

    store_path: str
    nar_file: NarFile
    file_size: int
    nar_hash: bytes
    nar_size: int
    references: tuple[str, ...] = ()
    deriver: str | None = None
    system: str | None = None
    signatures: tuple[str, ...] = ()
    content_address: str | None = None

    @property
    def hash_part(self) -> str:
        """The 32 characters by which clients ask for it."""
        return hash_part_of(self.base_name)

    @property
    def base_name(self) -> str:
        """The store path without `/nix/store/`."""
        return self.store_path.removeprefix(STORE_DIR + "/")


def hash_part_of(base_name: str) -> str:
    """The 32 characters of a base name (`<hash>-<name>`) that are unique to it."""
    return base_name[:32]


def parse_narinfo(data: bytes) -> NarInfo:
    """Read a narinfo from outside.

    Everything that nix ignores or guesses is refused: unknown and repeated fields (but `Sig`), other hashes than
    sha256 in nix's base 32, another store directory, a URL that is not `nar/<FileHash>.nar[.xz|.zst]`, unsorted or
    repeated references. Raises InvalidInput and TooLarge, naming the field.
    """
    fields, signatures = _fields(data)
    store_path = _store_path(_required(fields, "StorePath"))
    nar_file = _nar_file(fields)
    return NarInfo(
        store_path=store_path,
        nar_file=nar_file,
        file_size=_number(fields, "FileSize"),
        nar_hash=_sha256(_required(fields, "NarHash"), field="NarHash"),
        nar_size=_number(fields, "NarSize"),
        references=_references(_required(fields, "References")),
        deriver=_deriver(fields.get("Deriver")),
        system=_matching(fields, "System", _SYSTEM),
        signatures=signatures,
        content_address=_matching(fields, "CA", _CONTENT_ADDRESS),
    )


def print_narinfo(info: NarInfo) -> bytes:
    """The text that nix writes (`NarInfo::to_string`), in its order of fields."""
    lines = [
        f"StorePath: {info.store_path}",
        f"URL: {info.nar_file.url}",
        f"Compression: {info.nar_file.compression.value}",
        f"FileHash: sha256:{encode(info.nar_file.sha256)}",
        f"FileSize: {info.file_size}",
        f"NarHash: sha256:{encode(info.nar_hash)}",
        f"NarSize: {info.nar_size}",
        f"References: {' '.join(info.references)}",
        *([f"Deriver: {info.deriver}"] if info.deriver else []),
        *([f"System: {info.system}"] if info.system else []),
        *(f"Sig: {signature}" for signature in info.signatures),
        *([f"CA: {info.content_address}"] if info.content_address else []),
    ]
    return "".join(f"{line}\n" for line in lines).encode()


_KNOWN = frozenset({"StorePath", "URL", "Compression", "FileHash", "FileSize", "NarHash", "NarSize"})
_KNOWN |= {"References", "Deriver", "System", "Sig", "CA"}


def _fields(data: bytes) -> tuple[dict[str, str], tuple[str, ...]]:
    if len(data) > MAX_NARINFO_BYTES:
        raise TooLarge(f"the narinfo has {len(data)} bytes, more than {MAX_NARINFO_BYTES}")
    if not _TEXT.fullmatch(data):
        raise InvalidInput("the narinfo has bytes that are not printable ASCII")
    if not data.endswith(b"\n"):
        raise InvalidInput("the narinfo is cut off: its last line has no end")
    fields: dict[str, str] = {}
    signatures: list[str] = []
    for line in data.decode("ascii")[:-1].split("\n"):
        key, colon, value = line.partition(": ")
        if not colon or key not in _KNOWN:
            raise InvalidInput(f"the narinfo has a line that is none of its fields: {line[:80]!r}")
        if key == "Sig":
            signatures.append(_signature(value))
        elif key in fields:
            raise InvalidInput(f"the narinfo has {key} twice")
        else:
            fields[key] = value
    if len(signatures) > MAX_SIGNATURES or len(set(signatures)) != len(signatures):
        raise InvalidInput(f"the narinfo has a signature twice, or more than {MAX_SIGNATURES}")
    return fields, tuple(signatures)


def _required(fields: dict[str, str], key: str) -> str:
    if key not in fields:
        raise InvalidInput(f"the narinfo has no {key}")
    return fields[key]


def _matching(fields: dict[str, str], key: str, form: re.Pattern[str]) -> str | None:
    value = fields.get(key)
    if value is not None and not form.fullmatch(value):
        raise InvalidInput(f"{key} is malformed: {value[:120]!r}")
    return value


def _number(fields: dict[str, str], key: str) -> int:
    value = _required(fields, key)
    if not _NUMBER.fullmatch(value) or int(value) > 2**53 - 1:
        raise InvalidInput(f"{key} is not a size in bytes: {value[:80]!r}")
    return int(value)


def _store_path(value: str) -> str:
    if not value.startswith(STORE_DIR + "/"):
        raise InvalidInput(f"StorePath {value[:120]!r} is not in this cache's StoreDir {STORE_DIR}")
    if not _STORE_PATH.fullmatch(value) or _is_dotted(value.removeprefix(STORE_DIR + "/")):
        raise InvalidInput(f"StorePath is malformed: {value[:250]!r}")
    return value


def _is_dotted(base_name: str) -> bool:
    name = base_name[33:]
    return name in {".", ".."} or name.startswith((".-", "..-"))


def _base_name(value: str, *, field: str) -> str:
    if not _STORE_PATH.fullmatch(f"{STORE_DIR}/{value}") or _is_dotted(value):
        raise InvalidInput(f"{field} names no store path: {value[:250]!r}")
    return value


def _sha256(value: str, *, field: str) -> bytes:
    algorithm, _, digits = value.partition(":")
    if algorithm != "sha256":
        raise InvalidInput(f"{field} is not sha256:<nix base 32>: {value[:80]!r}")
    try:
        return decode(digits, size=32)
    except InvalidInput as error:
        raise InvalidInput(f"{field}: {error.message}") from error


def _nar_file(fields: dict[str, str]) -> NarFile:
    file_hash = _sha256(_required(fields, "FileHash"), field="FileHash")
    word, url = _required(fields, "Compression"), _required(fields, "URL")
    offered = [compression for compression in Compression if compression.value == word]
    if not offered:
        known = ", ".join(compression.value for compression in Compression)
        raise InvalidInput(f"Compression {word[:40]!r} is none of {known}: upload with ?compression=zstd")
    nar_file = NarFile(file_hash, offered[0])
    if url != nar_file.url:
        raise InvalidInput(f"URL {url[:200]!r} is not {nar_file.url!r}, which FileHash and Compression stand for")
    return nar_file


def _references(value: str) -> tuple[str, ...]:
    names = tuple(_base_name(name, field="References") for name in value.split(" ")) if value else ()
    if any(one >= following for one, following in pairwise(names)):
        raise InvalidInput("References are not sorted, or name a path twice")
    return names


def _deriver(value: str | None) -> str | None:
    if value is None or value == "unknown-deriver":
        return value
    return _base_name(value, field="Deriver")


def _signature(value: str) -> str:
    if not _SIGNATURE.fullmatch(value):
        raise InvalidInput(f"Sig is not name:base64 of 64 bytes: {value[:120]!r}")
    return value

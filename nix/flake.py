"""References to a flake at one commit, and the allow-listed forms of what is put into argv; it runs nothing."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from schema.errors import InvalidInput
from schema.names import STORE_PATH_PATTERN

_REF = re.compile(r"refs/[A-Za-z0-9_][A-Za-z0-9._+-]*(/[A-Za-z0-9_][A-Za-z0-9._+-]*){1,15}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PATH = re.compile(r"/[A-Za-z0-9._/+@=:-]{1,1000}")
_DIRECTORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]{0,100}(\.[A-Za-z_0-9][A-Za-z0-9_'-]{0,100}){0,15}")
_STORE_PATH = re.compile(STORE_PATH_PATTERN)
_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
_PUBLIC_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}:[A-Za-z0-9+/]{43}=")
_CACHE_URL = re.compile(r"(?:https?|file)://[A-Za-z0-9._:/\[\]-]{1,500}")


@dataclass(frozen=True, slots=True)
class FlakeRef:
    """A flake in a git repository on this machine, bare or not, at exactly one commit.

    `ref` is a full one (`refs/…`) that reaches `rev`: nix 2.8 finds a commit of another branch only so. `directory` is
    the flake's in the repository.
    """

    repository: Path
    ref: str
    rev: str
    directory: str = "."

    def __post_init__(self) -> None:
        local_path(self.repository)
        _checked(_REF, self.ref, "a full git ref")
        if ".." in self.ref or self.ref.endswith(".lock"):
            raise InvalidInput(f"not a full git ref: {self.ref!r}")
        _checked(_COMMIT, self.rev, "a full git commit")
        if self.directory != ".":
            _checked(_DIRECTORY, self.directory, "a directory in a repository")

    @property
    def url(self) -> str:
        """`git+file://…?ref=…&rev=…`, with `dir=…` for a flake that is not at the repository's root."""
        inside = "" if self.directory == "." else f"&dir={self.directory}"
        return f"git+file://{self.repository}?ref={self.ref}&rev={self.rev}{inside}"

    def attribute(self, attribute: str) -> str:
        """The installable of one of its attributes."""
        return f"{self.url}#{attribute_path(attribute)}"


def attribute_path(text: str) -> str:
    """`text` if it is an attribute path of plain names (`checks.x86_64-linux.page`)."""
    return _checked(_ATTRIBUTE, text, "an attribute path")


def store_path(text: str) -> str:
    """`text` if it is a store path without anything behind it."""
    return _checked(_STORE_PATH, text, "a store path")


def derivation_path(text: str) -> str:
    """`text` if it is the store path of a derivation."""
    if not text.endswith(".drv"):
        raise InvalidInput(f"not the path of a derivation: {text!r}")
    return store_path(text)


def key_name(text: str) -> str:
    """`text` if it can name a signing key."""
    return _checked(_KEY_NAME, text, "a key's name")


def public_key(text: str) -> str:
    """`text` if it is `name:base64` of an Ed25519 public key."""
    return _checked(_PUBLIC_KEY, text, "a public key (name:base64)")


def cache_url(text: str) -> str:
    """`text` if it is an http, https or file URL without user, query and fragment (credentials go by netrc)."""
    _checked(_CACHE_URL, text, "a cache's URL (http, https or file, nothing behind the path)")
    if urlsplit(text).scheme != "file" and not urlsplit(text).hostname:
        raise InvalidInput(f"not a cache's URL, as it names no host: {text!r}")
    return text.rstrip("/")


def local_path(path: Path) -> Path:
    """`path` if it is absolute, has no `..` and only characters that need no quoting in a URL."""
    _checked(_PATH, str(path), "an absolute path of plain characters")
    if ".." in path.parts:
        raise InvalidInput(f"a path with '..' is not taken: {str(path)!r}")
    return path


def _checked(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise InvalidInput(f"not {what}: {text[:200]!r}")
    return text

"""What repositories may be called and where a request's path points to; it looks at no disk."""

import re
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from schema.errors import InvalidInput
from schema.names import BranchName, RepositoryName

RESERVED_OWNERS = frozenset(
    {"admin", "api", "cluster", "docs", "events", "healthz", "help", "live", "login", "logout"}
    | {"metrics", "new", "people", "projects", "readyz", "settings", "static", "v1"}
)
"""First path segments that pages and APIs use or may come to use."""

_REPOSITORY: TypeAdapter[str] = TypeAdapter(RepositoryName)
_BRANCH: TypeAdapter[str] = TypeAdapter(BranchName)
_GIT_PATH = re.compile(r"/(?P<name>[^/]+/[^/]+?)(?:\.git)?/(?P<service>info/refs|git-upload-pack|git-receive-pack)")


@dataclass(frozen=True, slots=True)
class GitPath:
    """A request of a git client: which repository, and which of the three smart services."""

    repository: str
    service: str


def repository_name(text: str) -> str:
    """`text` as an allow-listed `owner/name`.

    Raises InvalidInput, naming the rule that is broken.
    """
    try:
        name = _REPOSITORY.validate_python(text)
    except ValidationError:
        raise InvalidInput(
            "a repository is named owner/name: lower-case letters, digits, '.', '_' and '-', each part starting "
            "with a letter or digit and at most 63 characters"
        ) from None
    owner, _, rest = name.partition("/")
    if owner in RESERVED_OWNERS:
        raise InvalidInput(f"{owner!r} is taken by a page of repohub; choose another owner")
    if ".." in name or any(part.endswith((".git", ".lock", ".")) for part in (owner, rest)):
        raise InvalidInput("no part of a repository's name may contain '..' or end with '.git', '.lock' or '.'")
    return name


def branch_name(text: str) -> str:
    """`text` as a branch that git accepts too (git-check-ref-format).

    Raises InvalidInput.
    """
    try:
        name = _BRANCH.validate_python(text)
    except ValidationError:
        name = ""
    parts = name.split("/")
    if not name or ".." in name or any(not p or p.startswith(".") or p.endswith((".", ".lock")) for p in parts):
        raise InvalidInput("a default branch is made of letters, digits and . _ / + -, as git-check-ref-format has it")
    return name


def git_path(path: str) -> GitPath | None:
    """Which repository and service a smart-HTTP path names, with or without `.git`; None for every other path.

    The name is not yet checked: `repository_name` does that.
    """
    match = _GIT_PATH.fullmatch(path)
    return GitPath(repository=match["name"], service=match["service"]) if match else None

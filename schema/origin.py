"""Where a realm's desired state comes from; it reads no repository."""

from typing import Annotated

from pydantic import StringConstraints

from schema.names import BranchName, RepositoryName, StrictModel

FlakeDirectory = Annotated[
    str, StringConstraints(pattern=r"^(\.|[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)$")
]
"""A relative path without dot segments, or `.`."""


class Origin(StrictModel):
    """Where a realm's desired state comes from: `path` is the flake's directory in the repository."""

    repository: RepositoryName
    branch: BranchName
    path: Annotated[
        str, StringConstraints(pattern=r"^(\.|[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)$")
    ] = "."

    def __str__(self) -> str:
        return f"{self.repository} {self.branch}" + ("" if self.path == "." else f" {self.path}")

"""Analysis → the two files that `pcr init` writes, with a header that tells our own output from a person's edits.

The header's second line carries the SHA-256 of all that follows it. A file whose hash holds is autonix' own and may be
written over; any other is a person's.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from autonix.emit.cluster import cluster_tree
from autonix.emit.flake import Inputs, flake_tree
from autonix.findings import Analysis, Ecosystem
from autonix.nixast import Node
from autonix.printer import comment_lines, show

FLAKE: Final = "flake.nix"
CLUSTER: Final = "cluster.nix"
_FIRST: Final = "# Written by autonix (`pcr init`), which writes it again as long as nobody edits it."
_HASH = re.compile(r"# autonix: sha256 ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Generated:
    """Both texts, as they are to be on disk."""

    flake: str
    cluster: str

    def files(self) -> tuple[tuple[str, str], ...]:
        """Names and texts."""
        return ((FLAKE, self.flake), (CLUSTER, self.cluster))


def generated(analysis: Analysis, inputs: Inputs | None = None) -> Generated:
    """The files for an analysis; the same analysis and inputs give the same bytes."""
    analysis = bare(analysis)
    cluster = cluster_tree(analysis)
    return Generated(
        flake=sealed(show(flake_tree(analysis, inputs or Inputs()))), cluster=sealed_with(cluster.notes, cluster.tree)
    )


def bare(analysis: Analysis) -> Analysis:
    """Without flakes: our own files are a part of the tree once they are written, and must not change what we write."""
    return replace(analysis, projects=tuple(each for each in analysis.projects if each.ecosystem is not Ecosystem.NIX))


def sealed_with(notes: Sequence[str], tree: Node) -> str:
    """A cluster's text, under what is not in it."""
    lines = ("Not in the cluster:", *(f"- {note}" for note in notes)) if notes else ()
    return sealed("".join(f"{line}\n" for line in comment_lines("\n".join(lines))) + show(tree))


def sealed(body: str) -> str:
    """`body` under the header."""
    return f"{_FIRST}\n# autonix: sha256 {_digest(body)}\n{body}"


def is_ours(text: str) -> bool:
    """Whether a file is exactly what autonix once wrote."""
    first, _, rest = text.partition("\n")
    line, _, body = rest.partition("\n")
    found = _HASH.fullmatch(line)
    return first == _FIRST and found is not None and found[1] == _digest(body)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()

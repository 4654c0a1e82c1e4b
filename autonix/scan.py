"""A directory in, its analysis out: the shell that reads the tree and hands it to the pure rules; it writes nothing."""

from pathlib import Path

from autonix.findings import Analysis
from autonix.tree import list_tree, read_files
from autonix.understand import counted, further, understand, wanted

_DEEPEST = 4
"""How often a file that was read may lead to further ones (`include` of an `include`)."""


async def analyse(root: Path) -> Analysis:
    """What is known of the tree under `root`, a git repository or a plain directory; nothing in it is run.

    The same tree gives an equal analysis. Raises `NotFound` where `root` is not a directory.
    """
    listing = await list_tree(root)
    paths = counted(listing.paths)
    contents = await read_files(listing, [path for path in paths if wanted(path)])
    texts, skipped = contents.texts, contents.skipped
    for _ in range(_DEEPEST):
        known = {each.file for each in skipped}
        if not (more := [path for path in further(paths, texts) if path not in known]):
            break
        contents = await read_files(listing, more)
        texts, skipped = texts | contents.texts, (*skipped, *contents.skipped)
    return understand(listing.root.name, paths, texts, skipped)

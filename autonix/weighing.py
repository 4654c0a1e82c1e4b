"""What files weigh by language; it reads `.gitattributes`, and asks git for nothing.

Languages are those of the last commit; before the first, the files that are to be in it are weighed as they lie there.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from mmap import mmap
from pathlib import Path

import trio

from autonix.contents import Contents
from autonix.languages import attributes
from autonix.languages.aside import directory_is_aside
from autonix.languages.shares import Tally, tallied, tallied_names
from autonix.paths import safe_ones
from autonix.sizes import Sizes
from autonix.tree import file_sizes, read_files


async def tally_of_files(root: Path, tracked: Sequence[str], head: bytes | mmap | None) -> Tally:
    """By language, of a directory, from what git lists."""
    read = partial(read_files, root)
    if head is not None:
        sizes = Sizes(head)
        texts = await attribute_texts(sizes.named(attributes.NAME), read)
        return await trio.to_thread.run_sync(tally_of, sizes, texts)
    found = await file_sizes(root, tracked)
    texts = await attribute_texts([path for path in found if path.rpartition("/")[2] == attributes.NAME], read)
    return tallied(found.items(), attributes.rules_of(texts))


def tally_of(sizes: Sizes, texts: Mapping[str, str]) -> Tally:
    """By language, of a commit with these `.gitattributes`."""
    if rules := attributes.rules_of(texts):
        return tallied(sizes, rules)
    return tallied_names(sizes.by_name(directory_is_aside))


async def attribute_texts(
    named: Sequence[str], read: Callable[[Collection[str]], Awaitable[Contents]]
) -> dict[str, str]:
    """The texts of those `.gitattributes` that speak of languages."""
    texts = (await read(safe_ones("\0".join(named).encode()))).texts if named else {}
    return {path: text for path, text in texts.items() if "linguist-" in text}

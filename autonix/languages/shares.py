"""Sizes of tracked files in, bytes by language out; it reads nothing and looks into no file.

`Tally` can be added to and taken from, so that the tally of a commit follows from its parent's and their difference.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from autonix.findings import Share
from autonix.languages.aside import directory_is_aside, name_is_aside
from autonix.languages.attributes import Rule, said_of
from autonix.languages.names import HEADER, language_of

_OF_HEADERS = ("C", "C++", "Objective-C")


@dataclass(frozen=True, slots=True)
class Tally:
    """Bytes by language, `.h` still apart."""

    sizes: Mapping[str, int]

    def changed(self, gone: Iterable[tuple[str, int]], new: Iterable[tuple[str, int]]) -> "Tally":
        """Without the files (language, bytes) of `gone`, and with those of `new`."""
        sizes = dict(self.sizes)
        for language, size in new:
            sizes[language] = sizes.get(language, 0) + size
        for language, size in gone:
            sizes[language] = sizes.get(language, 0) - size
        return Tally({language: size for language, size in sorted(sizes.items()) if size > 0})


def counted_as(paths: Iterable[str], rules: Sequence[Rule] = ()) -> Iterator[tuple[str, str]]:
    """Each path that counts, with its language."""
    aside: dict[str, bool] = {}
    names: dict[str, tuple[str | None, bool]] = {}
    for path in paths:
        directory, _, name = path.rpartition("/")
        if (of_name := names.get(name)) is None:
            of_name = names[name] = (language_of(name), name_is_aside(name))
        language, named_aside = of_name
        said = None
        if rules:
            said, named = said_of(path, rules)
            language = named or language
        if language is None or said:
            continue
        if said is None:
            if (known := aside.get(directory)) is None:
                known = aside[directory] = directory_is_aside(directory)
            if known or named_aside:
                continue
        yield path, language


def tallied(files: Iterable[tuple[str, str]], rules: Sequence[Rule] = ()) -> Tally:
    """The bytes of files, given as digits and path."""
    sizes: dict[str, int] = {}
    pairs = {path: size for size, path in files}
    for path, language in counted_as(pairs, rules):
        sizes[language] = sizes.get(language, 0) + int(pairs[path])
    return Tally(dict(sorted(sizes.items())))


def settled(tally: Tally) -> tuple[Share, ...]:
    """Each language's bytes, most first; headers are of that one of C, C++ and Objective-C which has most else."""
    sizes = dict(tally.sizes)
    headers = sizes.pop(HEADER, 0)
    if headers:
        owner = max(_OF_HEADERS, key=lambda language: (sizes.get(language, 0), language == "C"))
        sizes[owner] = sizes.get(owner, 0) + headers
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Share(language, size) for language, size in ordered)

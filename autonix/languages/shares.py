"""Sizes of tracked files in, bytes by language out; it reads nothing and looks into no file.

`Tally` can be added to and taken from, so that the tally of a commit follows from its parent's and their difference.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    language_for = classifier(rules)
    return ((path, language) for path in paths if (language := language_for(path)) is not None)


def tallied(files: Iterable[tuple[str, int]], rules: Sequence[Rule]) -> Tally:
    """The bytes of files, given with their paths."""
    language_for = classifier(rules)
    sizes: dict[str, int] = {}
    for path, size in files:
        if (language := language_for(path)) is not None:
            sizes[language] = sizes.get(language, 0) + size
    return Tally(dict(sorted(sizes.items())))


def tallied_names(names: Mapping[str, int]) -> Tally:
    """The same without rules, of what all files of a name have together, but for those in directories set aside."""
    sizes: dict[str, int] = {}
    for name, size in names.items():
        if not name_is_aside(name) and (language := language_of(name)) is not None:
            sizes[language] = sizes.get(language, 0) + size
    return Tally(dict(sorted(sizes.items())))


def classifier(rules: Sequence[Rule]) -> Callable[[str], str | None]:
    """What tells the language that a path counts for; it remembers names and directories, as they come again."""
    names: dict[str, str | None] = {}
    directories: dict[str, bool] = {}

    def plain(path: str) -> str | None:
        directory, _, name = path.rpartition("/")
        try:
            language = names[name]
        except KeyError:
            language = names[name] = None if name_is_aside(name) else language_of(name)
        if language is None:
            return None
        try:
            aside = directories[directory]
        except KeyError:
            aside = directories[directory] = directory_is_aside(directory)
        return None if aside else language

    def ruled(path: str) -> str | None:
        aside, said = said_of(path, rules)
        if aside:
            return None
        if aside is None and said is None:
            return plain(path)
        if aside is None and (directory_is_aside(path.rpartition("/")[0]) or name_is_aside(path.rpartition("/")[2])):
            return None
        return said or language_of(path.rpartition("/")[2])

    return ruled if rules else plain


def settled(tally: Tally) -> tuple[Share, ...]:
    """Each language's bytes, most first; headers are of that one of C, C++ and Objective-C which has most else."""
    sizes = dict(tally.sizes)
    headers = sizes.pop(HEADER, 0)
    if headers:
        owner = max(_OF_HEADERS, key=lambda language: (sizes.get(language, 0), language == "C"))
        sizes[owner] = sizes.get(owner, 0) + headers
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Share(language, size) for language, size in ordered)

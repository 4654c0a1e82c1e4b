"""What `.gitattributes` says on languages: `linguist-vendored`, `linguist-language` and the like, by pattern.

A pattern is translated as git matches it, without its quoting; macros and other attributes are passed over.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from posixpath import dirname
from typing import Final

NAME: Final = ".gitattributes"
_ASIDE: Final = ("linguist-vendored", "linguist-generated", "linguist-documentation")
_MOST: Final = 2000
"""Lines of one file that are looked at."""
_MOST_STARS: Final = 8
"""Of one pattern, so that none takes long to match; a line with more counts for nothing."""
_PIECE = re.compile(r"\*\*/|/\*\*$|\*+|\?|\[[^\]/]{1,100}\]|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """What one line says of the paths that it matches; None: nothing."""

    matches: re.Pattern[str]
    aside: bool | None
    language: str | None


def rules_of(texts: Mapping[str, str]) -> tuple[Rule, ...]:
    """The rules of all `.gitattributes` by path, outermost first, so that the last that matches counts."""
    found: list[Rule] = []
    for path in sorted(texts, key=lambda path: (path.count("/"), path)):
        for line in texts[path].split("\n")[:_MOST]:
            if (rule := _rule(dirname(path), line.split())) is not None:
                found.append(rule)
    return tuple(found)


def said_of(path: str, rules: Sequence[Rule]) -> tuple[bool | None, str | None]:
    """Whether `path` is set aside, and its language; each None where no rule says it."""
    aside = next((rule.aside for rule in reversed(rules) if rule.aside is not None and rule.matches.match(path)), None)
    language = next((rule.language for rule in reversed(rules) if rule.language and rule.matches.match(path)), None)
    return aside, language


def _rule(directory: str, words: Sequence[str]) -> Rule | None:
    if len(words) < 2 or words[0].startswith(("#", "[", '"', "!")):
        return None
    aside: bool | None = None
    language: str | None = None
    for word in words[1:]:
        name, _, value = word.partition("=")
        if name.lstrip("-!") in _ASIDE:
            aside = not (word.startswith(("-", "!")) or value == "false")
        elif word.startswith("-linguist-detectable") or word == "linguist-detectable=false":
            aside = True
        elif name == "linguist-language" and value.isprintable():
            language = value[:60].replace("-", " ")
    pattern = re.sub(r"(?:\*\*/)+", "**/", re.sub(r"\*{3,}", "**", words[0]))
    if (aside is None and language is None) or pattern.count("*") > _MOST_STARS:
        return None
    return Rule(re.compile(_pattern(directory, pattern)), aside, language)


def _pattern(directory: str, pattern: str) -> str:
    """A pattern of git as a regular expression on paths from the root of the tree."""
    base = f"{re.escape(directory)}/" if directory else ""
    anywhere = "/" not in pattern.rstrip("/")
    parts = []
    for piece in _PIECE.findall(pattern.lstrip("/")[:200]):
        if piece == "**/":
            parts.append("(?:.*/)?")
        elif piece == "/**":
            parts.append("/.*")
        elif piece.startswith("*"):
            parts.append("[^/]*")
        elif piece == "?":
            parts.append("[^/]")
        else:
            parts.append(re.escape(piece))
    return rf"{base}{'(?:.*/)?' if anywhere else ''}{''.join(parts)}\Z"

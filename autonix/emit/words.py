"""Names that nix, NixOS and DNS accept, made from whatever a repository calls things; and reasons as comments."""

import re
from collections.abc import Iterable
from typing import Any

from autonix.explain import reason
from autonix.findings import Finding


def dns_label(name: str, *, otherwise: str = "app") -> str:
    """`name` as a DNS label: lower case, at most 40 characters, so that a number fits behind it."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return label or otherwise


def distinct(name: str, taken: Iterable[str]) -> str:
    """`name`, or with `-b`, `-c` … `-b2` behind it: never a number alone, as `web-0` is an instance of `web`."""
    known = set(taken)
    if name not in known and not re.search(r"-[0-9]+$", name):
        return name
    candidates = (
        f"{name}-{letter}{'' if round_ == 1 else round_}" for round_ in range(1, 10_000) for letter in "bcdef"
    )
    return next(candidate for candidate in candidates if candidate not in known)


def store_name(name: str, *, otherwise: str = "app") -> str:
    """`name` as part of a store path's name (nix: letters, digits and `+-._?=`, no leading dot)."""
    return re.sub(r"[^A-Za-z0-9+._?=-]+", "-", name).strip("-.")[:100] or otherwise


def python_name(name: str) -> str:
    """A distribution's normalised name (PEP 503), which is also how nixpkgs calls it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    """The name at the head of a requirement such as `setuptools>=61` (PEP 508)."""
    found = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return python_name(found[1]) if found else ""


def reasons(findings: Iterable[Finding[Any]]) -> str:
    """The first of several facts, and how many more there are of its rule."""
    known = list(findings)
    if not known:
        return ""
    return reason(known[0]) + (f" and {len(known) - 1} more" if len(known) > 1 else "")


def below(directory: str, name: str) -> str:
    """A path relative to the root: `name` in a project's `directory` ("." is the root)."""
    return name if directory in ("", ".") else f"{directory}/{name}"

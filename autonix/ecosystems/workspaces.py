"""Which project belongs to which workspace, by the globs that the workspace's root names; it reads no file."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from autonix.findings import Finding, Project
from autonix.reader import beside


def assigned_workspaces(projects: Sequence[Project]) -> tuple[Project, ...]:
    """`projects` of one ecosystem; each root's `members` are globs, which become directories, known to both sides.

    A glob that begins with `!` takes out what an earlier one took in.
    """
    directories = [project.path for project in projects]
    found: dict[str, tuple[Finding[str], ...]] = {}
    owner: dict[str, str] = {}
    for project in projects:
        members = _resolved(project, directories)
        found[project.path] = members
        for member in members:
            owner.setdefault(member.value, project.path)
    return tuple(
        replace(project, members=found[project.path], workspace=project.workspace or owner.get(project.path))
        for project in projects
    )


def _resolved(root: Project, directories: Iterable[str]) -> tuple[Finding[str], ...]:
    taken: dict[str, Finding[str]] = {}
    for glob in root.members:
        excluded = glob.value.startswith("!")
        pattern = glob_pattern(beside(root.path, glob.value.lstrip("!")))
        for directory in directories:
            if directory == root.path or pattern.fullmatch(directory) is None:
                continue
            if excluded:
                taken.pop(directory, None)
            else:
                taken.setdefault(directory, replace(glob, value=directory))
    return tuple(taken[directory] for directory in sorted(taken))


def glob_pattern(glob: str) -> re.Pattern[str]:
    """`packages/*` matches one level, `packages/**` any, as package managers read it; the rest stands for itself.

    A glob with more than eight wildcards, which no project needs and which is slow to match, matches nothing.
    """
    pieces = re.split(r"(\*\*/?|\*|\?)", glob.rstrip("/"))
    if len(pieces) > 17:
        return re.compile(r"(?!)")
    meaning = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(piece, re.escape(piece)) for piece in pieces))

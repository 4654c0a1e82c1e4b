"""Gemfiles and gemspecs of a tree as far as their text shows, with Gemfile.lock; no Ruby is run.

Both are Ruby programs: only `gem`, `ruby`, `group … do` and assignments of literals are understood, the rest is not.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from autonix.ecosystems.merge import distinct
from autonix.findings import Confidence, Dependency, Ecosystem, EntryPoint, Finding, Group, Lock, Project, Toolchain
from autonix.reader import Reader, beside, folder

_STRING = r"""["']([^"'#{}\n]*)["']"""
_GEM = re.compile(rf"^\s*gem[\s(]+{_STRING}(?P<rest>.*)")
_CONSTRAINT = re.compile(rf"\s*,\s*{_STRING}")
_RUBY = re.compile(rf"^\s*ruby[\s(]+{_STRING}")
_GROUP = re.compile(r"^\s*group[\s(]+(?P<names>.+?)\)?\s+do\b")
_INLINE_GROUP = re.compile(r"\bgroups?(?::\s*|\s*=>\s*)(?P<names>\[[^\]]*\]|:\w+|%[wi]\[[^\]]*\])")
_BLOCK = re.compile(r"\bdo\b(\s*\|[^|]*\|)?\s*$|^\s*(if|unless|case)\b")
_END = re.compile(r"^\s*end\b")
_LOCKED = re.compile(r"^    ([A-Za-z0-9._-]+) \(([0-9][^)\s-]*)[^)]*\)$")
_ASSIGNED = re.compile(
    rf"^\s*\w+\.(name|version|summary|license|required_ruby_version)\s*=\s*{_STRING}(?:\.freeze)?\s*$"
)
_ADDED = re.compile(rf"^\s*\w+\.add_(?P<kind>runtime_|development_)?dependency[\s(]+{_STRING}(?P<rest>.*)")
_RUNTIME_GROUPS = frozenset(("default", "production"))


def ruby_projects(reader: Reader) -> tuple[Project, ...]:
    """Every directory with a Gemfile or one gemspec."""
    gemspecs = {folder(path): path for path in reader.named("*.gemspec")}
    directories = sorted({folder(path) for path in reader.named("Gemfile", "gems.rb")} | set(gemspecs))
    return tuple(_project(reader, directory, gemspecs.get(directory)) for directory in directories)


def _project(reader: Reader, directory: str, gemspec: str | None) -> Project:
    gemfile = beside(directory, "Gemfile" if reader.has(beside(directory, "Gemfile")) else "gems.rb")
    lock_path = beside(directory, "Gemfile.lock")
    versions = _versions(reader, lock_path)
    said = dict(_assigned(reader, gemspec)) if gemspec else {}
    ruby = said.get("required_ruby_version")
    dependencies = [*_gems(reader, gemfile, is_library=gemspec is not None)]
    dependencies += _spec_gems(reader, gemspec) if gemspec else ()
    manifest = gemfile if reader.has(gemfile) else gemspec or gemfile
    return Project(
        path=directory,
        ecosystem=Ecosystem.RUBY,
        manifest=manifest,
        name=said.get("name"),
        version=said.get("version"),
        description=said.get("summary"),
        license=said.get("license"),
        manager=Finding("bundler", manifest, 1, "ruby.manager"),
        entry_points=tuple(_entry_points(reader, directory)),
        toolchain=(
            *_ruby_version(reader, directory, gemfile),
            *((Finding(Toolchain("ruby", ruby.value), ruby.file, ruby.line, ruby.rule),) if ruby else ()),
        ),
        dependencies=tuple(
            replace(item, value=replace(item.value, locked=versions.get(item.value.name)))
            for item in distinct(dependencies)
        ),
        lock=Finding(Lock("bundler"), lock_path, 1, "ruby.lock") if reader.has(lock_path) else None,
    )


def _entry_points(reader: Reader, directory: str) -> Iterator[Finding[EntryPoint]]:
    for name in ("bin/rails", "config.ru"):
        path = beside(directory, name)
        if reader.has(path):
            yield Finding(EntryPoint(name, name), path, 1, "ruby.entry", Confidence.LIKELY)


def _ruby_version(reader: Reader, directory: str, gemfile: str) -> Iterator[Finding[Toolchain]]:
    path = beside(directory, ".ruby-version")
    text = (reader.text(path) or "").strip().removeprefix("ruby-")
    if text[:1].isdigit():
        yield Finding(Toolchain("ruby", text), path, 1, "ruby.ruby-version")
    for number, line in reader.numbered(gemfile):
        if match := _RUBY.match(line):
            yield Finding(Toolchain("ruby", match[1]), gemfile, number, "ruby.gemfile.ruby")


def _gems(reader: Reader, path: str, *, is_library: bool) -> Iterator[Finding[Dependency]]:
    """Each `gem`, in the group of the blocks around it or of its own option; a gem's own Gemfile is for its tests."""
    usual = Group.DEVELOPMENT if is_library else Group.RUNTIME
    blocks: list[Group | None] = []
    for number, line in reader.numbered(path):
        if len(line) > 1000:
            continue
        if match := _GEM.match(line):
            own = _INLINE_GROUP.search(match["rest"])
            outer = next((group for group in reversed(blocks) if group is not None), usual)
            found = Dependency(match[1], _constraint(match["rest"]), _group(own["names"]) if own else outer)
            yield Finding(found, path, number, "ruby.gemfile.gem")
        if match := _GROUP.match(line):
            blocks.append(_group(match["names"]))
        elif _END.match(line):
            blocks = blocks[:-1]
        elif _BLOCK.search(line.partition("#")[0]):
            blocks.append(None)


def _group(names: str) -> Group:
    words = set(re.findall(r"\w+", names)) - {"w", "i"}
    return Group.RUNTIME if words & _RUNTIME_GROUPS else Group.DEVELOPMENT


def _constraint(rest: str) -> str:
    found: list[str] = []
    while match := _CONSTRAINT.match(rest):
        found.append(match[1])
        rest = rest[match.end() :]
    return ", ".join(found)


def _assigned(reader: Reader, path: str) -> Iterator[tuple[str, Finding[str]]]:
    for number, line in reader.numbered(path):
        if len(line) <= 1000 and (match := _ASSIGNED.match(line)):
            yield match[1], Finding(match[2], path, number, f"ruby.gemspec.{match[1]}")


def _spec_gems(reader: Reader, path: str) -> Iterator[Finding[Dependency]]:
    for number, line in reader.numbered(path):
        if len(line) <= 1000 and (match := _ADDED.match(line)):
            group = Group.DEVELOPMENT if match["kind"] == "development_" else Group.RUNTIME
            yield Finding(Dependency(match[2], _constraint(match["rest"]), group), path, number, "ruby.gemspec.gem")


def _versions(reader: Reader, path: str) -> dict[str, str]:
    return {
        match[1]: match[2] for _, line in reader.numbered(path) if len(line) <= 500 and (match := _LOCKED.match(line))
    }

"""Mix projects and umbrellas of a tree as far as their text shows, with mix.lock; no Elixir is run."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from autonix.ecosystems.merge import distinct
from autonix.ecosystems.workspaces import assigned_workspaces
from autonix.findings import Dependency, Ecosystem, EntryPoint, Finding, Group, Lock, Project, Toolchain
from autonix.reader import Reader, beside, folder

_APP = re.compile(r"^[ \t]*app:\s*:(\w+)", re.MULTILINE)
_VERSION = re.compile(r'^[ \t]*version:\s*"([^"#{}]+)"', re.MULTILINE)
_USES_ATTRIBUTE = re.compile(r"^[ \t]*(version|elixir):\s*@(\w+)\b", re.MULTILINE)
_ELIXIR = re.compile(r'^[ \t]*elixir:\s*"([^"#{}]+)"', re.MULTILINE)
_DEPENDENCY = re.compile(r"^[ \t]*\{\s*:(\w+)\s*,(?P<rest>[^\n]*)", re.MULTILINE)
_APPS = re.compile(r'^[ \t]*apps_path:\s*"([^"#{}]+)"', re.MULTILINE)
_MODULE = re.compile(r"^[ \t]*\[?[ \t]*mod:\s*\{\s*([A-Z][\w.]*)\s*,", re.MULTILINE)
_CONSTRAINT = re.compile(r'\s*"([^"]*)"')
_ONLY = re.compile(r"\bonly:\s*(\[[^\]]*\]|:\w+)")
_DEPS = re.compile(r"^[ \t]*defp?\s+deps\b.*?^[ \t]*end\b", re.MULTILINE | re.DOTALL)
_LOCKED = re.compile(r'^[ \t]*"(\w+)":\s*\{:hex,\s*:\w+,\s*"([^"]+)"')


def elixir_projects(reader: Reader) -> tuple[Project, ...]:
    """Every mix.exs that names an application or the directory of an umbrella's."""
    found = [_project(reader, path, reader.text(path) or "") for path in reader.named("mix.exs")]
    joined = assigned_workspaces([project for project in found if project.name is not None or project.members])
    roots = {project.path: project for project in joined}
    return tuple(_with_lock(reader, project, roots.get(project.workspace or "")) for project in joined)


def _with_lock(reader: Reader, project: Project, root: Project | None) -> Project:
    """An application of an umbrella has the umbrella's lock."""
    if root is None or root.lock is None or project.lock is not None:
        return project
    versions = _versions(reader, root.lock.file)
    return replace(
        project,
        lock=root.lock,
        dependencies=tuple(
            replace(item, value=replace(item.value, locked=versions.get(item.value.name)))
            for item in project.dependencies
        ),
    )


def _project(reader: Reader, path: str, text: str) -> Project:
    directory = folder(path)
    lock_path = beside(directory, "mix.lock")
    versions = _versions(reader, lock_path)
    elixir = _said(_ELIXIR, path, text, "elixir.mix.elixir") or _attribute("elixir", path, text)
    version = _said(_VERSION, path, text, "elixir.mix.version") or _attribute("version", path, text)
    name, started = _said(_APP, path, text, "elixir.mix.app"), _said(_MODULE, path, text, "elixir.mix.mod")
    apps = _said(_APPS, path, text, "elixir.mix.apps_path")
    return Project(
        path=directory,
        ecosystem=Ecosystem.ELIXIR,
        manifest=path,
        name=name,
        version=version if apps is None else None,
        members=(replace(apps, value=f"{apps.value.strip('/')}/*"),) if apps else (),
        entry_points=(replace_value(started, EntryPoint(name.value, started.value)),) if name and started else (),
        manager=Finding("mix", path, 1, "elixir.manager"),
        toolchain=(Finding(Toolchain("elixir", elixir.value), path, elixir.line, elixir.rule),) if elixir else (),
        dependencies=distinct(list(_dependencies(path, text, versions))),
        lock=Finding(Lock("mix"), lock_path, 1, "elixir.lock") if reader.has(lock_path) else None,
    )


def replace_value(finding: Finding[str], value: EntryPoint) -> Finding[EntryPoint]:
    """The same place, another value."""
    return Finding(value, finding.file, finding.line, finding.rule, finding.confidence)


def _said(pattern: re.Pattern[str], path: str, text: str, rule: str) -> Finding[str] | None:
    match = pattern.search(text)
    return Finding(match[1], path, text.count("\n", 0, match.start(1)) + 1, rule) if match else None


def _attribute(key: str, path: str, text: str) -> Finding[str] | None:
    """`version: @version`, where the module gives the attribute a literal once."""
    for use in _USES_ATTRIBUTE.finditer(text):
        if use[1] == key:
            pattern = re.compile(rf'^[ \t]*@{use[2]}\s+"([^"#{{}}]+)"', re.MULTILINE)
            return _said(pattern, path, text, f"elixir.mix.{key}") if len(pattern.findall(text)) == 1 else None
    return None


def _dependencies(path: str, text: str, versions: Mapping[str, str]) -> Iterator[Finding[Dependency]]:
    """Tuples inside the function `deps`; `only:` without `:prod` is for development."""
    block = _DEPS.search(text)
    for match in _DEPENDENCY.finditer(block[0]) if block else ():
        constraint, only = _CONSTRAINT.match(match["rest"]), _ONLY.search(match["rest"])
        group = Group.DEVELOPMENT if only and "prod" not in only[1] else Group.RUNTIME
        line = text.count("\n", 0, (block.start() if block else 0) + match.start(1)) + 1
        found = Dependency(match[1], constraint[1] if constraint else "", group)
        yield Finding(replace(found, locked=versions.get(match[1])), path, line, "elixir.mix.deps")


def _versions(reader: Reader, path: str) -> dict[str, str]:
    return {match[1]: match[2] for _, line in reader.numbered(path) if (match := _LOCKED.match(line))}

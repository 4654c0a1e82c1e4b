"""setup.cfg, and setup.py read through `ast`: only what is written as a literal is believed, and nothing is run."""

import ast
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from autonix.ecosystems.python.requirement import dependency
from autonix.findings import Dependency, Ecosystem, EntryPoint, Finding, Group, Project, Toolchain
from autonix.formats.document import Document
from autonix.reader import folder
from schema.errors import InvalidInput


def from_setup_cfg(document: Document) -> Project:
    """What `[metadata]` and `[options]` say; `attr:` and `file:` are resolved elsewhere."""
    rule = "python.setup-cfg"
    lists = {"install_requires": Group.RUNTIME, "tests_require": Group.DEVELOPMENT, "setup_requires": Group.BUILD}
    dependencies = [
        found for option, group in lists.items() for found in _listed(document, "options", option, group=group)
    ]
    for extra in document.table("options.extras_require"):
        dependencies += _listed(document, "options.extras_require", extra, group=Group.OPTIONAL)
    python = document.text("options", "python_requires")
    return Project(
        path=folder(document.path),
        ecosystem=Ecosystem.PYTHON,
        manifest=document.path,
        name=document.said("metadata", "name", rule=f"{rule}.name"),
        version=_literal_version(document),
        description=document.said("metadata", "description", rule=f"{rule}.description"),
        license=document.said("metadata", "license", rule=f"{rule}.license"),
        entry_points=tuple(_cfg_entry_points(document)),
        toolchain=(
            (document.finding(Toolchain("python", python), "options", "python_requires", rule=f"{rule}.python"),)
            if python
            else ()
        ),
        dependencies=tuple(found for found in dependencies if found.value.group is not Group.BUILD),
    )


def version_source(document: Document) -> str:
    """The `attr: x.y` or `file: z` of a setup.cfg's version, else empty."""
    text = document.text("metadata", "version")
    return text if text.startswith(("attr:", "file:")) else ""


def _literal_version(document: Document) -> Finding[str] | None:
    found = document.said("metadata", "version", rule="python.setup-cfg.version")
    return None if found is None or version_source(document) else found


def _listed(document: Document, section: str, option: str, *, group: Group) -> Iterator[Finding[Dependency]]:
    start = document.line(section, option)
    for offset, line in enumerate(document.text(section, option).split("\n"), 1):
        if (parsed := dependency(line.strip(), group)) is not None:
            yield Finding(parsed, document.path, start + offset, f"python.setup-cfg.{option}")


def _cfg_entry_points(document: Document) -> Iterator[Finding[EntryPoint]]:
    section = "options.entry_points"
    for option in ("console_scripts", "gui_scripts"):
        for offset, line in enumerate(document.text(section, option).split("\n"), 1):
            if (point := entry_point(line)) is not None:
                line_number = document.line(section, option) + offset
                yield Finding(point, document.path, line_number, "python.setup-cfg.entry-points")


def entry_point(text: str) -> EntryPoint | None:
    """`name = module:function` as setuptools writes it."""
    name, equals, target = text.partition("=")
    return EntryPoint(name.strip(), target.strip()) if equals and name.strip() and target.strip() else None


def parse_python(text: str) -> ast.Module:
    """The syntax tree of Python source. Raises InvalidInput where this Python cannot read it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in other people's strings
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidInput(f"not Python: {error}") from error


def constants(tree: ast.Module) -> dict[str, tuple[Any, int]]:
    """Names that the module's top level binds to a literal, with the line."""
    found: dict[str, tuple[Any, int]] = {}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if targets and isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            value = _literal(node.value, {})
            for target in targets:
                if isinstance(target, ast.Name) and value is not None:
                    found[target.id] = (value, node.lineno)
    return found


def from_setup_py(path: str, text: str) -> Project | None:
    """The literal arguments of `setup(…)`; None where it is not called. Raises InvalidInput."""
    tree = parse_python(text)
    known = {name: value for name, (value, _) in constants(tree).items()}
    call = next((node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_setup(node.func)), None)
    if call is None:
        return None
    arguments: dict[str, tuple[Any, int]] = {}
    for keyword in call.keywords:
        if keyword.arg is not None and (value := _literal(keyword.value, known)) is not None:
            arguments[keyword.arg] = (value, keyword.value.lineno)
    return _project_of_call(path, arguments)


def _project_of_call(path: str, arguments: Mapping[str, tuple[Any, int]]) -> Project:
    def said(name: str) -> Finding[str] | None:
        value, line = arguments.get(name, (None, 0))
        return Finding(value.strip(), path, line, f"python.setup-py.{name}") if isinstance(value, str) else None

    python = said("python_requires")
    points, line = arguments.get("entry_points", ({}, 0))
    written = points.get("console_scripts", []) if isinstance(points, dict) else []
    return Project(
        path=folder(path),
        ecosystem=Ecosystem.PYTHON,
        manifest=path,
        name=said("name"),
        version=said("version"),
        description=said("description"),
        license=said("license"),
        entry_points=tuple(
            Finding(point, path, line, "python.setup-py.entry-points")
            for item in (written if isinstance(written, list) else [written])
            if isinstance(item, str) and (point := entry_point(item)) is not None
        ),
        toolchain=(Finding(Toolchain("python", python.value), path, python.line, python.rule),) if python else (),
        dependencies=tuple(_call_dependencies(path, arguments)),
    )


def _call_dependencies(path: str, arguments: Mapping[str, tuple[Any, int]]) -> Iterator[Finding[Dependency]]:
    for name, group in (("install_requires", Group.RUNTIME), ("tests_require", Group.DEVELOPMENT)):
        value, line = arguments.get(name, ([], 0))
        yield from _specifiers(path, value, line, name, group)
    extras, line = arguments.get("extras_require", ({}, 0))
    for value in extras.values() if isinstance(extras, dict) else ():
        yield from _specifiers(path, value, line, "extras_require", Group.OPTIONAL)


def _specifiers(path: str, value: Any, line: int, name: str, group: Group) -> Iterator[Finding[Dependency]]:
    for item in [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else []:
        if isinstance(item, str) and (parsed := dependency(item, group)) is not None:
            yield Finding(parsed, path, line, f"python.setup-py.{name}")


def _is_setup(function: ast.expr) -> bool:
    return (isinstance(function, ast.Name) and function.id == "setup") or (
        isinstance(function, ast.Attribute) and function.attr == "setup"
    )


def _literal(node: ast.expr, known: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return known.get(node.id)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None

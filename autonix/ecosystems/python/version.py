"""Versions that pyproject.toml or setup.cfg leave to another file: found by reading it, never by importing it."""

import re
from collections.abc import Iterator

from autonix.ecosystems.python.setuptools import constants, parse_python, version_source
from autonix.findings import Finding
from autonix.formats.document import Document
from autonix.reader import Reader, beside, folder
from schema.errors import InvalidInput

_ASSIGNED = re.compile(r"""(?im)^(?:__version__|VERSION)(?:\s*:\s*str)?\s*=\s*(['"])v?(?P<version>[^'"\n]+)\1""")
_VERSION = re.compile(r"[0-9]+(\.[0-9A-Za-z]+)*([-+._!][0-9A-Za-z.]+)*")


def pyproject_version(reader: Reader, document: Document) -> Finding[str] | None:
    """The dynamic version of a pyproject.toml as setuptools, hatch, pdm or flit resolve it, else None."""
    directory = folder(document.path)
    attribute = document.text("tool", "setuptools", "dynamic", "version", "attr")
    if attribute:
        return _of_attribute(reader, directory, attribute)
    file = document.get("tool", "setuptools", "dynamic", "version", "file")
    if isinstance(file, list) and len(file) == 1:
        file = file[0]
    if isinstance(file, str):
        return _of_file(reader, beside(directory, file))
    for keys in (("tool", "hatch", "version", "path"), ("tool", "pdm", "version", "path")):
        if path := document.text(*keys):
            return _assigned(reader, beside(directory, path))
    if document.text("build-system", "build-backend").startswith("flit_core"):
        module = document.text("tool", "flit", "module", "name") or document.text("project", "name")
        return _of_attribute(reader, directory, f"{module.replace('-', '_')}.__version__")
    return None


def setup_cfg_version(reader: Reader, document: Document) -> Finding[str] | None:
    """The `attr:` or `file:` version of a setup.cfg, else None."""
    kind, _, rest = version_source(document).partition(":")
    if kind == "attr":
        return _of_attribute(reader, folder(document.path), rest.strip())
    return _of_file(reader, beside(folder(document.path), rest.strip())) if kind == "file" else None


def _of_attribute(reader: Reader, directory: str, attribute: str) -> Finding[str] | None:
    module, _, name = attribute.rpartition(".")
    for path in _module_files(directory, module):
        if (text := reader.text(path)) is None:
            continue
        try:
            value, line = constants(parse_python(text)).get(name, (None, 0))
        except InvalidInput:
            return None
        if isinstance(value, str) and _VERSION.fullmatch(value):
            return Finding(value, path, line, "python.version.attr")
    return None


def _module_files(directory: str, module: str) -> Iterator[str]:
    inner = module.replace(".", "/")
    for root in ("", "src/"):
        yield beside(directory, f"{root}{inner}.py")
        yield beside(directory, f"{root}{inner}/__init__.py")


def _of_file(reader: Reader, path: str) -> Finding[str] | None:
    text = (reader.text(path) or "").strip()
    return Finding(text, path, 1, "python.version.file") if _VERSION.fullmatch(text) else None


def _assigned(reader: Reader, path: str) -> Finding[str] | None:
    text = reader.text(path) or ""
    match = _ASSIGNED.search(text)
    if match is None or not _VERSION.fullmatch(match["version"]):
        return None
    line = text.count("\n", 0, match.start()) + 1
    return Finding(match["version"], path, line, "python.version.path")

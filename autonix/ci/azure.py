"""Azure's pipelines: scripts and the tasks that install tools, in stages, jobs or alone; templates are not followed."""

import re
from collections.abc import Iterator, Mapping

from autonix.ci.words import Seen, beside, image_tool, step, versions
from autonix.formats.document import Document, Key
from autonix.reader import Reader

PATTERNS = ("azure-pipelines.yml", "azure-pipelines.yaml", "azure-pipelines-*.yml", ".azure-pipelines.yml")
_SHELLS = ("script", "bash", "pwsh", "powershell")
_TASKS: Mapping[str, tuple[str, str]] = {
    "UsePythonVersion": ("python", "versionSpec"),
    "NodeTool": ("node", "versionSpec"),
    "UseNode": ("node", "version"),
    "GoTool": ("go", "version"),
    "UseDotNet": ("dotnet", "version"),
    "DotNetCoreInstaller": ("dotnet", "version"),
    "JavaToolInstaller": ("java", "versionSpec"),
    "UseRubyVersion": ("ruby", "versionSpec"),
}
_AT = re.compile(r"@\d+$")
_NESTED = ("stages", "jobs", "steps")
_STRATEGIES = ("runOnce", "rolling", "canary")


def read(reader: Reader) -> Iterator[Seen]:
    """All that the pipelines say, in the order of files and steps."""
    for path in reader.named(*PATTERNS):
        document = reader.yaml(path)
        if document is not None:
            yield from _resources(document)
            yield from _within(document, (), "pipeline")


def _resources(document: Document) -> Iterator[Seen]:
    for index in range(len(document.array("resources", "containers"))):
        yield from beside(document, "resources", "containers", index, "image")


def _within(document: Document, keys: tuple[Key, ...], job: str) -> Iterator[Seen]:
    """Stages hold jobs, jobs hold steps; a file may begin with any of them."""
    for table in _NESTED:
        for index in range(len(document.array(*keys, table))):
            where: tuple[Key, ...] = (*keys, table, index)
            if table == "steps":
                yield from _step(document, where, job)
                continue
            name = document.text(*where, "job") or document.text(*where, "deployment") or job
            for image in ((*where, "container"), (*where, "container", "image")):
                yield from image_tool(document, "azure", *image)
            yield from _within(document, where, name)
            for strategy in _STRATEGIES:
                yield from _within(document, (*where, "strategy", strategy, "deploy"), name)


def _step(document: Document, keys: tuple[Key, ...], job: str) -> Iterator[Seen]:
    for shell in _SHELLS:
        yield from step(document, "azure", job, *keys, shell)
    task = _AT.sub("", document.text(*keys, "task"))
    if task in _TASKS:
        tool, argument = _TASKS[task]
        yield from versions(document, "azure", tool, *keys, "inputs", argument)

"""All CI systems together: what they run, what they run it with, and the services beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from autonix.ci import azure, buildkite, circleci, drone, github, gitlab, jenkins, travis
from autonix.ci.words import Beside, System
from autonix.findings import Finding, Setup, Step
from autonix.reader import Reader
from autonix.services import Evidence, image_evidence

SYSTEMS: tuple[System, ...] = (
    github.read,
    gitlab.read,
    circleci.read,
    travis.read,
    azure.read,
    drone.read,
    buildkite.read,
    jenkins.read,
)
PATTERNS = (
    *(gitlab.GITLAB, travis.TRAVIS, *azure.PATTERNS, *jenkins.PATTERNS),
    *(path.rpartition("/")[2] for path in (*drone.DRONE, *circleci.CIRCLECI, *buildkite.BUILDKITE)),
)
"""Names of the files that are read, with `*`."""


@dataclass(frozen=True, slots=True)
class Pipelines:
    """What CI says of a tree."""

    steps: tuple[Finding[Step], ...]
    tools: tuple[Finding[Setup], ...]
    beside: tuple[Beside, ...]

    def evidence(self) -> Iterator[Evidence]:
        """Its service images: they know a version."""
        return (image_evidence(each.image, each.kind) for each in self.beside)


def pipelines(reader: Reader) -> Pipelines:
    """Everything that any system of `SYSTEMS` says, in their order; each tool's version once for a system."""
    seen = list(chain.from_iterable(system(reader) for system in SYSTEMS))
    steps: list[Finding[Step]] = []
    tools: dict[Setup, Finding[Setup]] = {}
    images: list[Beside] = []
    for each in seen:
        if isinstance(each, Beside):
            images.append(each)
        elif isinstance(each.value, Step):
            steps.append(Finding(each.value, each.file, each.line, each.rule, each.confidence))
        else:
            found = Finding(each.value, each.file, each.line, each.rule, each.confidence)
            tools.setdefault(each.value, found)
    return Pipelines(tuple(steps), tuple(tools.values()), tuple(images))

"""What GitHub's and GitLab's CI files run, and the service images beside it; other CI systems are not read yet."""

import re
from collections.abc import Iterator

from autonix.findings import Confidence, Finding, Step
from autonix.formats.document import Document, Key
from autonix.mapping.purposes import purpose_of
from autonix.mapping.services import kind_of_image
from autonix.reader import Reader
from autonix.services import Evidence, image_evidence

_WORKFLOW = re.compile(r"\.github/workflows/[^/]+\.ya?ml")
GITLAB = ".gitlab-ci.yml"
_KEYWORDS = frozenset(
    ("stages", "variables", "default", "include", "workflow", "image", "services", "cache", "before_script", "spec")
)


def ci_steps(reader: Reader) -> tuple[Finding[Step], ...]:
    """Every shell step in the order of files and jobs; steps that only use an action say nothing here."""
    found = [step for document in _workflows(reader) for step in _github_steps(document)]
    gitlab = reader.yaml(GITLAB)
    return (*found, *(_gitlab_steps(gitlab) if gitlab is not None else ()))


def ci_evidence(reader: Reader) -> Iterator[Evidence]:
    """Service images of CI jobs that are of a known kind."""
    for document in _workflows(reader):
        for job in document.table("jobs"):
            for name in document.table("jobs", job, "services"):
                keys: tuple[Key, ...] = ("jobs", job, "services", name)
                yield from _image(document, (*keys, "image") if document.text(*keys, "image") else keys)
    gitlab = reader.yaml(GITLAB)
    for owner in ("", *gitlab.table()) if gitlab is not None else ():
        base: tuple[Key, ...] = (owner, "services") if owner else ("services",)
        for index in range(len(gitlab.array(*base)) if gitlab is not None else 0):
            if gitlab is not None:
                inner = (*base, index)
                yield from _image(gitlab, (*inner, "name") if gitlab.text(*inner, "name") else inner)


def _image(document: Document, keys: tuple[Key, ...]) -> Iterator[Evidence]:
    reference = document.text(*keys)
    kind = kind_of_image(reference) if reference and "${{" not in reference else None
    if kind is not None:
        image = document.finding(reference, *keys, rule="ci.service", confidence=Confidence.LIKELY)
        yield image_evidence(image, kind.kind)


def _workflows(reader: Reader) -> Iterator[Document]:
    for path in reader.named("*.yml", "*.yaml"):
        if _WORKFLOW.fullmatch(path) and (document := reader.yaml(path)) is not None:
            yield document


def _github_steps(document: Document) -> Iterator[Finding[Step]]:
    for job in document.table("jobs"):
        for index, _ in enumerate(document.array("jobs", job, "steps")):
            keys: tuple[Key, ...] = ("jobs", job, "steps", index, "run")
            if text := document.text(*keys):
                step = Step("github", job, text, purpose_of("", text))
                yield document.finding(step, *keys, rule="ci.github.run")


def _gitlab_steps(document: Document) -> Iterator[Finding[Step]]:
    for job in document.table():
        if job in _KEYWORDS or job.startswith("."):
            continue
        for said in document.strings(job, "script", rule="ci.gitlab.script"):
            step = Step("gitlab", job, said.value, purpose_of("", said.value))
            yield Finding(step, said.file, said.line, said.rule)

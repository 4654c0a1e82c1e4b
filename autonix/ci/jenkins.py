"""Jenkinsfiles as far as their text shows: the literal commands of `sh`, and docker images; no Groovy is run."""

import re
from collections.abc import Iterator

from autonix.ci.words import Beside, Seen, tool_of_image
from autonix.findings import Confidence, Finding, Setup, Step
from autonix.mapping.purposes import purpose_of
from autonix.mapping.services import kind_of_image
from autonix.reader import Reader

PATTERNS = ("Jenkinsfile", "Jenkinsfile.*", "*.jenkinsfile")
_STRING = (
    r"(?:'''(?P<{0}long>(?:\\.|[^\\])*?)'''|\"\"\"(?P<{0}wide>(?:\\.|[^\\])*?)\"\"\""
    r"|'(?P<{0}one>(?:\\.|[^'\\\n])*)'|\"(?P<{0}two>(?:\\.|[^\"\\\n])*)\")"
)
_TOKEN = re.compile(
    r"(?P<comment>//[^\n]*|/\*.*?\*/)"
    r"|(?P<call>\b(?:sh|bat|image))\b(?P<between>[\s(:]{1,20}(?:(?:label|returnStatus|returnStdout|script|encoding)\s*:"
    r"\s*(?:(?:true|false)\s*,\s*|(?:'[^'\n]*'|\"[^\"\n]*\")\s*,\s*)?){0,4})"
    + _STRING.format("")
    + r"|"
    + _STRING.format("other"),
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\([\\'\"$])")


def read(reader: Reader) -> Iterator[Seen]:
    """Every such step, in the order of files and lines."""
    for path in reader.named(*PATTERNS):
        text = (reader.text(path) or "")[:400_000]
        for match in _TOKEN.finditer(text):
            if match["call"]:
                line = text.count("\n", 0, match.start("call")) + 1
                said = next(match[name] for name in ("long", "wide", "one", "two") if match[name] is not None)
                yield from _said(path, line, match["call"], _ESCAPE.sub(r"\1", said).strip())


def _said(path: str, line: int, call: str, text: str) -> Iterator[Seen]:
    if call != "image":
        if text:
            yield Finding(Step("jenkins", "", text, purpose_of("", text)), path, line, "ci.jenkins.step")
        return
    rule, likely = "ci.jenkins.image", Confidence.LIKELY
    if (tool := tool_of_image(text)) is not None:
        yield Finding(Setup("jenkins", *tool), path, line, rule, likely)
    elif "$" not in text and (kind := kind_of_image(text)) is not None:
        yield Beside(kind.kind, Finding(text, path, line, rule, likely))

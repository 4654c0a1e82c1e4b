"""A Dockerfile as a list of instructions with their lines, continuations joined; it gives them no meaning."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ESCAPE = re.compile(r"^#\s*escape\s*=\s*(\S)\s*$", re.IGNORECASE)
_HEREDOC = re.compile(r"<<-?\s*([\"']?)([A-Za-z_][A-Za-z0-9_]*)\1")
_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_WITH_HEREDOCS = ("RUN", "COPY", "ADD")


@dataclass(frozen=True, slots=True)
class Instruction:
    """`keyword` in capitals and the text after it, on one line; `line` is that of the keyword."""

    keyword: str
    text: str
    line: int


def parse_dockerfile(text: str) -> tuple[Instruction, ...]:
    """Every instruction in order; lines that are none are passed over."""
    return tuple(_instructions(text.split("\n")))


def _instructions(lines: list[str]) -> Iterator[Instruction]:
    escape = match[1] if lines and (match := _ESCAPE.match(lines[0])) else "\\"
    number = 0
    while number < len(lines):
        start = number
        parts: list[str] = []
        while number < len(lines):
            line = lines[number]
            number += 1
            if line.lstrip().startswith("#") or (parts and not line.strip()):
                if not parts:
                    start = number
                continue
            continued = line.rstrip().endswith(escape)
            parts.append(line.rstrip().removesuffix(escape) if continued else line)
            if not continued:
                break
        match = _INSTRUCTION.fullmatch(" ".join(part.strip() for part in parts))
        if match is None:
            continue
        keyword, rest = match[1].upper(), match[2].strip()
        yield Instruction(keyword, rest, start + 1)
        for _, end in _HEREDOC.findall(rest) if keyword in _WITH_HEREDOCS else ():
            while number < len(lines) and lines[number].strip() != end:
                number += 1
            number += 1

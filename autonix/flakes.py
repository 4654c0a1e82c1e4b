"""Flakes that are already there, as far as their text and lock show; no Nix is evaluated."""

import re
from collections.abc import Iterator

from autonix.findings import Confidence, Finding, Flake
from autonix.reader import Reader, beside, folder

_COMMENT = re.compile(r"/\*.*?\*/|(?<![\"':/\w])#[^\n]*", re.DOTALL)
_DESCRIPTION = re.compile(r'\bdescription\s*=\s*"((?:\\.|[^"\\])*)"')
_OUTPUTS = re.compile(r"\boutputs\s*=")
_NAMES = (
    *("packages", "apps", "devShells", "devShell", "checks", "formatter", "overlays", "overlay", "nixosModules"),
    *("nixosConfigurations", "homeManagerModules", "darwinConfigurations", "lib", "templates", "hydraJobs"),
    *("defaultPackage", "legacyPackages", "blueprintJSON", "blueprint", "nixosModule"),
)
_NAME = re.compile(rf"(?<![\w.'-])({'|'.join(_NAMES)})(?:\.[^\s=;]+)?\s*=(?!=)")


def flakes(reader: Reader) -> tuple[Finding[Flake], ...]:
    """Every flake.nix of the tree."""
    return tuple(_flakes(reader))


def _flakes(reader: Reader) -> Iterator[Finding[Flake]]:
    for path in reader.named("flake.nix"):
        text = _blank_comments(reader.text(path) or "")
        outputs = _OUTPUTS.search(text)
        description = _DESCRIPTION.search(text)
        found = Flake(
            path=path,
            description=description[1] if description else "",
            inputs=_locked_inputs(reader, beside(folder(path), "flake.lock")),
            outputs=tuple(dict.fromkeys(_NAME.findall(text, outputs.end()))) if outputs else (),
        )
        line = text.count("\n", 0, outputs.start()) + 1 if outputs else 1
        yield Finding(found, path, line, "nix.flake", Confidence.LIKELY)


def _blank_comments(text: str) -> str:
    """The text with comments emptied, line breaks kept."""
    return _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)


def _locked_inputs(reader: Reader, path: str) -> tuple[str, ...]:
    document = reader.json(path)
    if document is None:
        return ()
    root = document.text("root") or "root"
    return tuple(sorted(document.table("nodes", root, "inputs")))

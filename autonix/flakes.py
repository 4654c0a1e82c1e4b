"""Flakes that are already there: their outline from the text, their inputs from text and lock; no Nix is evaluated."""

from collections.abc import Iterator, Sequence

from autonix.findings import Confidence, Finding, Flake
from autonix.formats.nix import NixBinding, nix_tokens, sets_of
from autonix.reader import Reader, beside, folder
from schema.errors import InvalidInput

OUTPUTS = frozenset(
    (
        *("packages", "apps", "devShells", "devShell", "checks", "formatter", "overlays", "overlay", "nixosModules"),
        *("nixosConfigurations", "homeManagerModules", "darwinConfigurations", "darwinModules", "lib", "templates"),
        *("hydraJobs", "defaultPackage", "defaultApp", "legacyPackages", "blueprintJSON", "blueprint", "nixosModule"),
        *("homeConfigurations", "homeModules", "flakeModules", "flakeModule", "bundlers"),
    )
)
"""Names of outputs that nix, its tools or Procurator give a meaning."""
_OF_PARTS = frozenset(("perSystem", "flake"))
"""flake-parts' options whose values hold outputs again."""


def flakes(reader: Reader) -> tuple[Finding[Flake], ...]:
    """Every flake.nix of the tree."""
    return tuple(_flake(reader, path) for path in reader.named("flake.nix"))


def _flake(reader: Reader, path: str) -> Finding[Flake]:
    try:
        said = next(sets_of(nix_tokens(reader.text(path) or "")), ())
    except InvalidInput as error:
        reader.note(path, error.message)
        said = ()
    outputs = [each for each in said if each.names == ("outputs",)]
    locked = _locked_inputs(reader, beside(folder(path), "flake.lock"))
    found = Flake(
        path=path,
        description=_description(said),
        inputs=tuple(sorted({*_inputs(said), *locked})),
        outputs=tuple(dict.fromkeys(name for each in outputs for name in _outputs(each, 0))),
    )
    return Finding(found, path, outputs[0].line if outputs else 1, "nix.flake", Confidence.LIKELY)


def _description(said: Sequence[NixBinding]) -> str:
    for each in said:
        if each.names == ("description",) and len(each.value) == 1 and each.value[0].kind == "text":
            return each.value[0].value
    return ""


def _inputs(said: Sequence[NixBinding]) -> Iterator[str]:
    for each in said:
        if each.names[:1] != ("inputs",):
            continue
        if len(each.names) > 1:
            yield each.names[1]
        else:
            yield from (inner.names[0] for group in sets_of(each.value) for inner in group if inner.names)


def _outputs(binding: NixBinding, depth: int) -> Iterator[str]:
    for group in sets_of(binding.value):
        for each in group:
            if each.names and each.names[0] in _OF_PARTS and depth < 2:
                yield from (name for name in each.names[1:2] if name in OUTPUTS)
                yield from _outputs(each, depth + 1)
            elif each.names and each.names[0] in OUTPUTS:
                yield each.names[0]


def _locked_inputs(reader: Reader, path: str) -> tuple[str, ...]:
    document = reader.json(path)
    if document is None:
        return ()
    root = document.text("root") or "root"
    return tuple(sorted(document.table("nodes", root, "inputs")))

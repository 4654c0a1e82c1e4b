"""Several repositories → one flake of them all and one cluster, as syntax trees; what they share is `joint.py`'s.

Each repository is an input. One that has a flake of its own gives that one's outputs; of the others the packages,
apps, checks and shells are written here, from the input's files. An output's name is `<repository>_<its name>`: a
repository's label has no `_`, so that no two are the same; the default one is `<repository>`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

from autonix.emit.cluster import guest, vms_of
from autonix.emit.files import Generated, bare, sealed, sealed_with
from autonix.emit.flake import (
    Inputs,
    mkcluster,
    procurator_input,
    project_definitions,
    project_outputs,
    shared_definitions,
)
from autonix.emit.graph import graph_of
from autonix.emit.joint import Member, Shared, joined
from autonix.emit.recipe import interpolated
from autonix.emit.recipes import named_projects
from autonix.emit.words import distinct, dns_label
from autonix.findings import Analysis
from autonix.nixast import (
    AttrSet,
    Binding,
    Formal,
    If,
    Inherit,
    Lambda,
    Let,
    ListOf,
    Node,
    Op,
    Path,
    Pattern,
    Select,
    Var,
    bind,
    call,
    text,
)
from autonix.printer import show

T = TypeVar("T")
_OUTPUTS = ("packages", "apps", "checks", "devShells")


@dataclass(frozen=True, slots=True)
class Repository:
    """One of the repositories. `url` is a flake reference to it; `has_flake`: it has one that a person wrote."""

    name: str
    analysis: Analysis
    url: str
    has_flake: bool = False


def generated_master(name: str, repositories: Sequence[Repository], inputs: Inputs) -> Generated:
    """Both files; `name` is the directory's. The same values give the same bytes."""
    labels: list[str] = []
    for each in repositories:
        labels.append(distinct(dns_label(each.name), (*labels, "nixpkgs", "procurator", "self")))
    members = [
        Member(label, bare(each.analysis))
        for label, each in zip(labels, repositories, strict=True)
        if not each.has_flake
    ]
    parts, shared = joined(members)
    vms = [(members[n].label, *found) for n, found in enumerate(vms_of(parts))]
    own = [
        f"{label}: it has a flake of its own, whose outputs are taken; its applications are that flake's"
        for label, each in zip(labels, repositories, strict=True)
        if each.has_flake
    ]
    notes = [
        *own,
        *(f"{member.label}: {note}" for member, part in zip(members, parts, strict=True) for note in part.notes),
        *(f"{label}: {note}" for label, _, missing in vms for note in missing),
    ]
    needs = _needs(labels, repositories, shared)
    return Generated(
        flake=sealed(show(_flake(name, labels, repositories, inputs, needs))),
        cluster=sealed_with(notes, _cluster(name, vms)),
    )


def _needs(
    labels: Sequence[str], repositories: Sequence[Repository], shared: Sequence[Shared]
) -> dict[str, dict[str, str]]:
    """Which repository needs which other, and why: a library by its name, or a VM that its variables name."""
    analyses = [replace(each.analysis, root_name=label) for label, each in zip(labels, repositories, strict=True)]
    graph = graph_of(analyses)
    owner = {node.id: node.repository for node in graph.nodes}
    label_of = {node.id: node.label for node in graph.nodes}
    found: dict[str, dict[str, str]] = {label: {} for label in labels}
    for edge in graph.edges:
        source, target = owner[edge.source], owner[edge.target]
        if source != target:
            found[source].setdefault(target, f"{label_of[edge.target]}: {edge.because}")
    for each in shared:
        found[each.source].setdefault(each.target, f"the VM {each.vm}: {each.because}")
    return found


def _flake(
    name: str,
    labels: Sequence[str],
    repositories: Sequence[Repository],
    inputs: Inputs,
    needs: dict[str, dict[str, str]],
) -> Node:
    pattern = Pattern((Formal("self"), Formal("nixpkgs"), Formal("procurator")), is_open=True, whole="inputs")
    sources = []
    for label, each in zip(labels, repositories, strict=True):
        reference = (bind("url", text(each.url)), *(() if each.has_flake else (bind("flake", Var("false")),)))
        sources.append(Binding(("inputs", label), AttrSet(reference)))
    blocks = tuple(
        Binding((label,), _theirs(label) if each.has_flake else _block(label, each.analysis))
        for label, each in zip(labels, repositories, strict=True)
    )
    definitions = (
        *shared_definitions(),
        bind("repositories", AttrSet(blocks)),
        _together(),
        *mkcluster(("nixpkgs", "procurator", "system", "repositories")),
    )
    return AttrSet(
        (
            bind("description", text(f"{name}: {len(labels)} repositories, as autonix found them")),
            bind("inputs.nixpkgs.url", text(inputs.nixpkgs)),
            procurator_input(inputs),
            *sources,
            bind("outputs", Lambda(pattern, Let(definitions, _outputs(needs)))),
        )
    )


def _outputs(needs: dict[str, dict[str, str]]) -> Node:
    dependencies = [
        Binding((source,), ListOf(tuple(map(text, targets))), "; ".join(f"{to}: {why}" for to, why in targets.items()))
        for source, targets in needs.items()
    ]
    return AttrSet(
        (
            *(Binding((output, Var("system")), call("together", text(output))) for output in _OUTPUTS),
            bind("lib.dependencies", AttrSet(tuple(dependencies)), comment="Which repository needs which other."),
            Inherit(("blueprint", "blueprintJSON", "nixosConfigurations"), Var("cluster")),
        )
    )


def _block(label: str, analysis: Analysis) -> Node:
    """What autonix found in one repository: its outputs, from the input's files."""
    projects = named_projects(bare(analysis))
    source = bind("src", Select(Var("inputs"), (label, "outPath")))
    body = AttrSet((*project_outputs(projects, bare(analysis)), Inherit(("runtimes",))))
    return Let((source, *map(_moved, project_definitions(projects))), _moved(body))


def _theirs(label: str) -> Node:
    """The outputs of a repository's own flake."""
    own = tuple(
        Binding((output,), Select(Var("inputs"), (label, output, Var("system")), AttrSet(()))) for output in _OUTPUTS
    )
    return AttrSet((*own, bind("runtimes", AttrSet(()))))


def _moved(node: T) -> T:
    """The same with each path below `src` instead of below the flake."""
    return _moved_any(node)  # type: ignore[no-any-return] # only paths become another node


def _moved_any(node: Any) -> Any:
    match node:
        case Path(relative=""):
            return Var("src")
        case Path():
            return Op("+", Var("src"), text(f"/{node.relative}"))
        case tuple():
            return tuple(map(_moved_any, node))
    if is_dataclass(node) and not isinstance(node, type):
        return replace(node, **{field.name: _moved_any(getattr(node, field.name)) for field in fields(node)})
    return node


def _together() -> Binding:
    """`together`: the name of an output → that of all repositories, each under its repository's name."""
    repository, name = Var("repository"), Var("name")
    outputs = Select(Var("repositories"), (repository, Var("output")))
    called = If(Op("==", name, text("default")), repository, interpolated(repository, "_", name))
    pair = AttrSet((bind("name", called), bind("value", Select(outputs, (name,)))))
    of_one = call("map", Lambda("name", pair), call("builtins.attrNames", outputs))
    of_all = call("builtins.concatMap", Lambda("repository", of_one), call("builtins.attrNames", Var("repositories")))
    return bind(
        "together",
        Lambda("output", call("builtins.listToAttrs", of_all)),
        comment="An output of all repositories: `<repository>_<name>`, and `<repository>` for its default.",
    )


def _cluster(name: str, vms: Sequence[tuple[str, tuple[Binding, ...], tuple[str, ...]]]) -> Node:
    arguments = Pattern(tuple(map(Formal, ("nixpkgs", "procurator", "system", "repositories"))))
    whole: Node = AttrSet(())
    blocks = [
        Let((Inherit(("packages", "runtimes"), Select(Var("repositories"), (label,))),), AttrSet(found))
        for label, found, _ in vms
        if found
    ]
    if blocks:
        whole = blocks[0]
        for block in blocks[1:]:
            whole = Op("//", whole, block)
    body = AttrSet((bind("cluster", text(dns_label(name))), bind("vms", whole)))
    return Lambda(arguments, Let((guest(),), body))

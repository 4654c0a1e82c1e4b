"""A dependency graph as Graphviz' dot or as Mermaid; every name in it is only text there; it computes no edge."""

import re

from autonix.emit.graph import Graph
from cli.render.text import cell


def as_dot(graph: Graph) -> str:
    """A digraph with a cluster for each repository."""
    ids = {node.id: f"n{number}" for number, node in enumerate(graph.nodes)}
    rows = ["digraph repositories {", "  rankdir=LR;", "  node [shape=box];"]
    for number, repository in enumerate(dict.fromkeys(node.repository for node in graph.nodes)):
        rows += [f"  subgraph cluster_{number} {{", f"    label={_dot(repository)};"]
        for node in graph.nodes:
            if node.repository == repository:
                shape = ", shape=cylinder" if node.kind == "service" else ""
                rows.append(f"    {ids[node.id]} [label={_dot(f'{node.label} ({node.what})')}{shape}];")
        rows.append("  }")
    rows += [f"  {ids[edge.source]} -> {ids[edge.target]} [tooltip={_dot(edge.because)}];" for edge in graph.edges]
    return "\n".join((*rows, "}"))


def as_mermaid(graph: Graph) -> str:
    """A flowchart with a subgraph for each repository."""
    ids = {node.id: f"n{number}" for number, node in enumerate(graph.nodes)}
    rows = ["flowchart LR"]
    for number, repository in enumerate(dict.fromkeys(node.repository for node in graph.nodes)):
        rows.append(f"  subgraph r{number}[{_mermaid(repository)}]")
        for node in graph.nodes:
            if node.repository == repository:
                text = _mermaid(f"{node.label} ({node.what})")
                rows.append(f"    {ids[node.id]}" + (f"[({text})]" if node.kind == "service" else f"[{text}]"))
        rows.append("  end")
    rows += [f"  {ids[edge.source]} --> {ids[edge.target]}" for edge in graph.edges]
    return "\n".join(rows)


def _dot(text: str) -> str:
    escaped = cell(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _mermaid(text: str) -> str:
    """Quoted, with all that Mermaid might read as its own as `#<code>;`."""
    safe = re.sub(r"[^\w .,:/@()+=-]", lambda found: f"#{ord(found[0])};", cell(text))
    return f'"{safe}"'

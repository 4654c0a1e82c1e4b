"""Several analyses → one graph of who needs whom: projects, the services they use, and dependencies between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from autonix.emit.words import python_name, reasons
from autonix.explain import reason
from autonix.findings import Analysis, Ecosystem, Project


@dataclass(frozen=True, slots=True)
class GraphNode:
    """`id` is `<repository>/<project's directory>` or `<repository>/<service>`, unique in the graph."""

    id: str
    kind: Literal["project", "service"]
    repository: str
    label: str
    what: str


@dataclass(frozen=True, slots=True)
class Edge:
    """`source` needs `target`, and the fact that says so."""

    source: str
    target: str
    because: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and edges in a stable order."""

    nodes: tuple[GraphNode, ...]
    edges: tuple[Edge, ...]


def graph_of(analyses: Sequence[Analysis]) -> Graph:
    """The graph of repositories whose `root_name`s differ."""
    nodes: dict[str, GraphNode] = {}
    edges: dict[tuple[str, str], Edge] = {}
    published = {
        (project.ecosystem, _normal(project.ecosystem, project.name.value)): _project_id(analysis, project)
        for analysis in analyses
        for project in analysis.projects
        if project.name is not None
    }
    for analysis in analyses:
        for project in analysis.projects:
            node = _project_id(analysis, project)
            label = project.name.value if project.name else project.path
            nodes[node] = GraphNode(node, "project", analysis.root_name, label, project.ecosystem.value)
            for dependency in project.dependencies:
                target = published.get((project.ecosystem, _normal(project.ecosystem, dependency.value.name)))
                if target is not None and target != node:
                    edges.setdefault((node, target), Edge(node, target, reason(dependency)))
        for service in analysis.services:
            node = f"{analysis.root_name}/service:{service.name}"
            nodes[node] = GraphNode(node, "service", analysis.root_name, service.name, service.kind.value)
            for project in analysis.projects:
                if project.path in service.used_by:
                    source = _project_id(analysis, project)
                    why = reasons(service.evidence) or reason(service.kind)
                    edges.setdefault((source, node), Edge(source, node, why))
    return Graph(
        nodes=tuple(nodes[key] for key in sorted(nodes)),
        edges=tuple(edges[key] for key in sorted(edges)),
    )


def _project_id(analysis: Analysis, project: Project) -> str:
    return f"{analysis.root_name}/{project.path}:{project.ecosystem.value}"


def _normal(ecosystem: Ecosystem, name: str) -> str:
    return python_name(name) if ecosystem is Ecosystem.PYTHON else name

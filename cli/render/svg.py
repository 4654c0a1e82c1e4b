"""A dependency graph as SVG: layers from left to right, drawn by nothing but this; every name in it is only text.

The layout is Sugiyama's: cycles are cut where a depth-first walk meets itself, each node stands one column behind the
furthest that needs it, and each column is ordered by where its neighbours in the one before stand. The same graph
gives the same bytes. There is no script, no link and no foreign object in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from autonix.emit.graph import Edge, Graph, GraphNode
from cli.render.text import cell

WIDTH: Final = 220
HEIGHT: Final = 46
"""Of a node, in pixels."""
_ACROSS: Final = 90
_DOWN: Final = 18
_MARGIN: Final = 20
_LONGEST: Final = 26
"""Letters that fit into a node; the whole name is its title."""
_PASSES: Final = 4
_STYLE: Final = (
    "text{font:13px sans-serif;fill:#1b1f24}.r{font-size:10px;fill:#57606a}"
    "rect{fill:#f6f8fa;stroke:#57606a}.service{fill:#ddf4ff}path{fill:none;stroke:#57606a}"
)


@dataclass(frozen=True, slots=True)
class Place:
    """The upper left corner of a node, in pixels."""

    x: int
    y: int


def as_svg(graph: Graph) -> str:
    """The whole document."""
    places = layout(graph)
    wide = max((place.x for place in places.values()), default=0) + WIDTH + _MARGIN
    high = max((place.y for place in places.values()), default=0) + HEIGHT + _MARGIN
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}">',
            f"<style>{_STYLE}</style>",
            '<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0L8 4L0 8z" style="fill:#57606a"/></marker></defs>',
            *(_edge(edge, places) for edge in graph.edges),
            *(_node(node, places[node.id]) for node in graph.nodes),
            "</svg>",
        )
    )


def layout(graph: Graph) -> dict[str, Place]:
    """Where each node stands; no two overlap."""
    columns: dict[int, list[str]] = {}
    for node, column in _columns(graph).items():
        columns.setdefault(column, []).append(node)
    neighbours: dict[str, list[str]] = {node.id: [] for node in graph.nodes}
    for edge in graph.edges:
        neighbours[edge.source].append(edge.target)
        neighbours[edge.target].append(edge.source)
    for turn in range(_PASSES):
        order = sorted(columns) if turn % 2 == 0 else sorted(columns, reverse=True)
        for before, column in pairwise(order):
            at = {node: index for index, node in enumerate(columns[before])}
            columns[column] = _ordered(columns[column], neighbours, at)
    return {
        node: Place(_MARGIN + column * (WIDTH + _ACROSS), _MARGIN + row * (HEIGHT + _DOWN))
        for column, nodes in columns.items()
        for row, node in enumerate(nodes)
    }


def _ordered(nodes: list[str], neighbours: Mapping[str, list[str]], at: Mapping[str, int]) -> list[str]:
    """By the middle of their neighbours in the column before; one that has none keeps its place."""
    weights = {}
    for index, node in enumerate(nodes):
        near = [at[each] for each in neighbours[node] if each in at]
        weights[node] = sum(near) / len(near) if near else float(index)
    return sorted(nodes, key=lambda node: (weights[node], node))


def _columns(graph: Graph) -> dict[str, int]:
    """The longest way to each node from one that nobody needs, over the edges that close no cycle."""
    targets: dict[str, list[str]] = {node.id: [] for node in graph.nodes}
    for edge in graph.edges:
        targets[edge.source].append(edge.target)
    finished: dict[str, None] = {}
    forward: list[tuple[str, str]] = []
    for start, first in targets.items():
        if start in finished:
            continue
        path = {start: iter(first)}
        while path:
            node = next(reversed(path))
            target = next(path[node], None)
            if target is None:
                finished[node] = None
                del path[node]
            elif target not in path:
                forward.append((node, target))
                if target not in finished:
                    path[target] = iter(targets[target])
    leading: dict[str, list[str]] = {}
    for source, target in forward:
        leading.setdefault(source, []).append(target)
    columns = dict.fromkeys(targets, 0)
    for node in reversed(finished):
        for target in leading.get(node, ()):
            columns[target] = max(columns[target], columns[node] + 1)
    return columns


def _node(node: GraphNode, place: Place) -> str:
    label = f"{node.label} ({node.what})"
    shape = ' class="service" rx="22"' if node.kind == "service" else ' rx="4"'
    return (
        f"<g><title>{_text(f'{node.repository}: {label}')}</title>"
        f'<rect x="{place.x}" y="{place.y}" width="{WIDTH}" height="{HEIGHT}"{shape}/>'
        f'<text class="r" x="{place.x + 12}" y="{place.y + 17}">{_text(_short(node.repository))}</text>'
        f'<text x="{place.x + 12}" y="{place.y + 35}">{_text(_short(label))}</text></g>'
    )


def _edge(edge: Edge, places: Mapping[str, Place]) -> str:
    source, target = places[edge.source], places[edge.target]
    x, y = source.x + WIDTH, source.y + HEIGHT // 2
    to_x, to_y = target.x, target.y + HEIGHT // 2
    bend = max(_ACROSS // 2, abs(to_x - x) // 3)
    line = f"M{x} {y}C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"
    ends = f"data-from={quoteattr(_plain(edge.source))} data-to={quoteattr(_plain(edge.target))}"
    return f'<path d="{line}" marker-end="url(#end)" {ends}><title>{_text(edge.because)}</title></path>'


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _text(text: str) -> str:
    return escape(_plain(text))


def _plain(text: str) -> str:
    """On one line, without what a terminal would act on and the two characters that XML has not."""
    return cell(text).translate({0xFFFE: None, 0xFFFF: None})

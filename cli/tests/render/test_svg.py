"""The drawing of a graph: well-formed, whole, without overlaps, and harmless whatever the names are."""

from itertools import combinations
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from autonix.emit.graph import Edge, Graph, GraphNode
from cli.render.svg import HEIGHT, WIDTH, as_svg, layout

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>alert("x")</script>&amp;\x1b[2J\u202e]]>\'"--><!-- \ud800 \x00\ufffe'


def a_graph(nodes: int, edges: list[tuple[int, int]], label: str = "n") -> Graph:
    names = [f"{label}{number}" for number in range(nodes)]
    return Graph(
        nodes=tuple(
            GraphNode(name, "service" if n % 3 == 0 else "project", "r", name, "go") for n, name in enumerate(names)
        ),
        edges=tuple(Edge(names[a], names[b], f"{label}:1") for a, b in edges),
    )


def drawn(graph: Graph) -> tuple[list[str], list[tuple[str, str]]]:
    """Titles of the nodes, and ends of the edges."""
    root = ElementTree.fromstring(as_svg(graph))  # noqa: S314 - our own text
    titles = [title.text or "" for title in root.iterfind(f"{SVG}g/{SVG}title")]
    edges = [(path.attrib["data-from"], path.attrib["data-to"]) for path in root.iterfind(f"{SVG}path")]
    return titles, edges


def test_every_node_and_edge_is_in_it() -> None:
    graph = a_graph(5, [(0, 1), (1, 2), (0, 2), (3, 2), (2, 0)])
    titles, edges = drawn(graph)
    assert titles == [f"r: n{number} (go)" for number in range(5)]
    assert edges == [(edge.source, edge.target) for edge in graph.edges]


def test_who_needs_stands_left_of_what_it_needs() -> None:
    places = layout(a_graph(4, [(0, 1), (1, 2), (0, 3), (3, 2)]))
    assert places["n0"].x < places["n1"].x == places["n3"].x < places["n2"].x


def test_a_cycle_is_drawn_as_well() -> None:
    places = layout(a_graph(3, [(0, 1), (1, 2), (2, 0)]))
    assert len({place.x for place in places.values()}) == 3


def test_hostile_names_are_text() -> None:
    graph = a_graph(2, [(0, 1)], label=HOSTILE)
    text = as_svg(graph)
    titles, edges = drawn(graph)
    assert len(titles) == 2
    assert len(edges) == 1
    assert all("alert" in title for title in titles)
    root = ElementTree.fromstring(text)  # noqa: S314 - our own text
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "style", "defs", "marker", "path", "g", "title", "rect", "text")
    }
    assert "\x1b" not in text
    assert "\u202e" not in text
    text.encode()


def test_nothing_is_a_drawing_too() -> None:
    assert drawn(Graph((), ())) == ([], [])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 14).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30))
    )
)
def test_no_two_nodes_overlap_and_the_same_graph_gives_the_same_bytes(case: tuple[int, list[tuple[int, int]]]) -> None:
    graph = a_graph(*case)
    places = layout(graph)
    for one, other in combinations(places.values(), 2):
        assert abs(one.x - other.x) >= WIDTH or abs(one.y - other.y) >= HEIGHT
    assert as_svg(graph) == as_svg(graph)
    assert len(drawn(graph)[1]) == len(case[1])

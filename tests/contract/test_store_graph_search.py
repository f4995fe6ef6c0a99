"""How every GraphRepository finds nodes: the fake in memory and PostgreSQL."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from store.graph import Node
from store.repositories.graph import GraphRepository, NodeFilter, NodePage
from tests.conftest import NewDatabase
from tests.fixtures_graph import ROOM, empty_graph, find, node


@pytest_asyncio.fixture(params=["memory", "postgres"])
async def graph(request: pytest.FixtureRequest, new_database: NewDatabase) -> AsyncIterator[GraphRepository]:
    """An empty graph."""
    async with empty_graph(request.param, new_database) as empty:
        yield empty


LABELS = [
    "json.decoder.JSONDecoder.decode",
    "json.decoder.JSONDecoder.raw_decode",
    "json.decoder.JSONDecoder",
    "json.loads",
    "json.load",
    "decode",
    "base64.decode",
    "http.parseHTTPHeader",
    "http.server.parse_http_header",
    "Décoder.Été",
    "operator.+",
]


FOUND: list[tuple[str, list[str]]] = [
    (
        "decode",
        [
            "decode",
            "base64.decode",
            "json.decoder.JSONDecoder.decode",
            "json.decoder.JSONDecoder.raw_decode",
        ],
    ),
    ("JSONDecoder.decode", ["json.decoder.JSONDecoder.decode", "json.decoder.JSONDecoder.raw_decode"]),
    ("jsondecoder", []),
    ("json decoder raw", ["json.decoder.JSONDecoder.raw_decode"]),
    ("json.loads", ["json.loads"]),
    ("LOADS", ["json.loads"]),
    ("parse http header", ["http.parseHTTPHeader", "http.server.parse_http_header"]),
    ("parseHTTPHeader", ["http.parseHTTPHeader", "http.server.parse_http_header"]),
    ("été", ["Décoder.Été"]),
    ("+", []),
    ("%", []),
    ("decod", []),
]


async def test_nodes_are_found_by_the_words_of_their_labels(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(number, label) for number, label in enumerate(LABELS, 1)])

    assert [(query, await find(graph, query)) for query, _ in FOUND] == FOUND


async def test_found_nodes_are_those_of_the_filter(graph: GraphRepository) -> None:
    await graph.upsert_nodes(
        [
            node(1, "a run", type="x"),
            node(2, "b run", type="y", namespace="n", properties={"k": [1, 2], "deep": {"a": 1}}),
            node(3, "c", type="y", properties={"k": [True]}),
        ]
    )

    for query in ("", "run"):
        assert await find(graph, query, namespace="n") == ["b run"]
        assert await find(graph, query, types=("x", "z")) == ["a run"]
        assert await find(graph, query, properties={"k": [2], "deep": {}}) == ["b run"]
        assert await find(graph, query, namespace="n", types=("x",)) == []
    assert await find(graph, namespace="") == ["a run", "c"]
    assert await find(graph, properties={"k": [1]}) == ["b run"]


@pytest.mark.parametrize("query", ["", "w"])
async def test_pages_of_nodes_neither_repeat_nor_leave_out(graph: GraphRepository, query: str) -> None:
    long = "w " + "z" * 990
    labels = [f"w {'x' * (one % 5)}{one % 3}" for one in range(40)] + [f"{long}{one}" for one in range(5)]
    await graph.upsert_nodes([node(one, label, namespace=f"n{one % 2}") for one, label in enumerate(labels, 1)])
    matching = NodeFilter(query)
    whole = (await graph.page(matching, None, 1000, ROOM)).nodes

    pages: list[Node] = []
    page = NodePage([], None)
    while True:
        page = await graph.page(matching, page.next, 7, ROOM)
        pages += page.nodes
        if page.next is None:
            break
        await graph.delete_nodes([page.nodes[-1].id])  # what the position is of may go meanwhile

    assert pages == whole
    assert len(whole) == 45


async def test_a_page_of_large_nodes_ends_early_and_one_always_fits(graph: GraphRepository) -> None:
    await graph.upsert_nodes([node(one, properties={"bulk": "x" * 1000}) for one in range(1, 6)])

    page = await graph.page(NodeFilter(), None, 5, 2500)

    assert len(page.nodes) == 2
    assert len((await graph.page(NodeFilter(), page.next, 5, 100)).nodes) == 1
    last = await graph.page(NodeFilter(), page.next, 3, ROOM)
    assert (len(last.nodes), last.next) == (3, None)

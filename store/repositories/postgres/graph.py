"""Nodes and edges in PostgreSQL."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

from servicekit.errors import AbortedError
from store.database import Connection, Database
from store.graph import Edge, Node
from store.repositories.graph import (
    GraphCounts,
    NodeFilter,
    NodePage,
    NodePosition,
    Path,
    Route,
    Walk,
    Walked,
    always,
)
from store.repositories.postgres import graph_replace, graph_write
from store.repositories.postgres.graph_path import path
from store.repositories.postgres.graph_rows import NODE_BYTES, NODE_COLUMNS, node_of
from store.repositories.postgres.graph_walk import walk
from store.repositories.postgres.rows import Row
from store.repositories.postgres.time_left import milliseconds_left
from store.repositories.postgres.transact import transact

T = TypeVar("T")

# What nodes are searched and walked in is one state of the graph, whatever is written meanwhile.
SETTINGS = """
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
    SET LOCAL statement_timeout = {timeout};
    SET LOCAL work_mem = '32MB'
"""

GET = f"SELECT {NODE_COLUMNS} FROM nodes WHERE node_id = $1"

_MATCHING = """
    ($1::text IS NULL OR namespace = $1)
      AND ($2::text[] IS NULL OR node_type = ANY($2))
      AND ($3::jsonb IS NULL OR properties @> $3)
"""

LISTED = f"""
    SELECT *, 0 AS rank, 0 AS length, label_place(label) AS place
    FROM nodes
    WHERE {_MATCHING} AND ($5::text IS NULL OR (namespace, label_place(label), node_id) > ($5, $6::text, $7::uuid))
    ORDER BY namespace, label_place(label), node_id
    LIMIT $4
"""

# A label ends with a query as a whole name: `json.loads` with `loads`, and not with `oads`. Letters are compared as
# label_words makes them small.
FOUND = f"""
    SELECT * FROM (
        SELECT nodes.*, char_length(label) AS length, label_place(label) AS place,
            CASE
                WHEN small = query THEN 0
                WHEN "right"(small, char_length(query)) = query
                    AND "left"("right"(small, char_length(query) + 1), 1) !~ '[[:alnum:]_]' THEN 1
                ELSE 2
            END AS rank
        FROM nodes, LATERAL (
            SELECT lower(label COLLATE pg_c_utf8) AS small, lower($8::text COLLATE pg_c_utf8) AS query
        ) AS texts
        WHERE {_MATCHING} AND label_words(label) @> label_words($8) AND label_words($8) <> '{{}}'
    ) AS nodes
    WHERE $9::int IS NULL OR (rank, length, namespace, place, node_id) > ($9, $10::int, $5::text, $6::text, $7::uuid)
    ORDER BY rank, length, namespace, place, node_id
    LIMIT $4
"""


def _within_room(ordered: str, room: str) -> str:
    order = "rank, length, namespace, place, node_id"
    return f"""
        SELECT * FROM (
            SELECT {NODE_COLUMNS}, rank, length, place, count(*) OVER () AS found,
                row_number() OVER (ORDER BY {order}) AS number, sum({NODE_BYTES}) OVER (ORDER BY {order}) AS bytes
            FROM ({ordered}) AS nodes
        ) AS nodes
        WHERE number < $4 AND (bytes <= {room} OR number = 1)
        ORDER BY number
    """


LIST = _within_room(LISTED, "$8")
FIND = _within_room(FOUND, "$11")


class PostgresGraph:
    """See GraphRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, node_id: UUID) -> Node | None:
        """See GraphRepository."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(GET, node_id)
        return None if row is None else node_of(row)

    async def page(self, matching: NodeFilter, after: NodePosition | None, limit: int, room: int) -> NodePage:
        """See GraphRepository."""
        # One more than asked for tells that there are more.
        arguments = (matching.namespace, list(matching.types) or None, matching.properties or None, limit + 1)
        place = (None, None, None) if after is None else (after.namespace, after.label, after.id)
        rank = (None, None) if after is None else (after.rank, after.length)
        async with self._database.reading(SETTINGS.format(timeout=milliseconds_left())) as connection:
            if matching.query:
                rows = await connection.fetch(FIND, *arguments, *place, matching.query, *rank, room)
            else:
                rows = await connection.fetch(LIST, *arguments, *place, room)
        more = bool(rows) and len(rows) < rows[0]["found"]
        return NodePage([node_of(row) for row in rows], _position(rows[-1]) if more else None)

    async def walk(self, asked: Walk, room: int) -> Walked:
        """See GraphRepository."""
        async with self._database.reading(SETTINGS.format(timeout=milliseconds_left())) as connection:
            return await walk(connection, asked, room)

    async def path(self, route: Route) -> Path:
        """See GraphRepository."""
        async with self._database.reading(SETTINGS.format(timeout=milliseconds_left())) as connection:
            return await path(connection, route)

    async def upsert_nodes(self, nodes: Sequence[Node]) -> list[Node]:
        """See GraphRepository."""
        return await self._write(partial(graph_write.upsert_nodes, nodes=nodes)) if nodes else []

    async def upsert_edges(self, edges: Sequence[Edge]) -> list[Edge]:
        """See GraphRepository."""
        return await self._write(partial(graph_write.upsert_edges, edges=edges)) if edges else []

    async def delete_nodes(self, ids: Sequence[UUID]) -> GraphCounts:
        """See GraphRepository."""
        return await self._write(partial(graph_write.delete_nodes, ids=ids))

    async def delete_namespace(self, namespace: str) -> GraphCounts:
        """See GraphRepository."""
        nodes = edges = 0
        while (part := await self._write(partial(graph_write.delete_part, namespace=namespace))) != GraphCounts(0, 0):
            nodes += part.nodes
            edges += part.edges
        return GraphCounts(nodes, edges)

    async def replace_namespace(
        self,
        namespace: str,
        nodes: Sequence[Node],
        edges: Sequence[Edge],
        *,
        require_allowed: Callable[[], Awaitable[None]] = always,
    ) -> GraphCounts:
        """See GraphRepository."""

        async def replace(connection: Connection) -> GraphCounts:
            await connection.execute(graph_replace.ALONE, namespace)
            await require_allowed()
            return await graph_replace.replace_namespace(connection, namespace, nodes, edges)

        return await self._write(replace)

    async def _write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await transact(self._database, work, AbortedError("others keep changing the graph", retry_after=1))


def _position(row: Row) -> NodePosition:
    return NodePosition(row["rank"], row["length"], row["namespace"], row["place"], row["node_id"])

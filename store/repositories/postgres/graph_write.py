"""Writing nodes and edges in PostgreSQL.

Everybody locks nodes before edges, and each in the order of their ids: calls wait for each other, not in a circle.
"""

from collections.abc import Container, Sequence
from uuid import UUID

from store.database import Connection
from store.errors import EndNotFoundError, NamespaceReservedError
from store.graph import CODE_NAMESPACE, Edge, Node
from store.repositories.graph import GraphCounts
from store.repositories.postgres.graph_rows import EDGE_COLUMNS, NODE_COLUMNS, count_of, edge_of, node_of
from store.repositories.postgres.rows import Row

#: Milliseconds that a write waits for what others hold.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = 2000"

_NOT_OF_CODE = f"NOT starts_with({{table}}.namespace, '{CODE_NAMESPACE}')"

# What is written again as it is keeps its time, so that a retry changes nothing.
UPSERT_NODES = f"""
    INSERT INTO nodes (node_id, node_type, label, namespace, properties, created_at, updated_at)
    SELECT new.*, now(), now()
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::jsonb[])
        AS new (id, type, label, namespace, properties)
    ORDER BY new.id
    ON CONFLICT (node_id) DO UPDATE SET
        node_type = excluded.node_type, label = excluded.label, namespace = excluded.namespace,
        properties = excluded.properties,
        updated_at = CASE
            WHEN (nodes.node_type, nodes.label, nodes.namespace, nodes.properties)
                IS DISTINCT FROM (excluded.node_type, excluded.label, excluded.namespace, excluded.properties)
            THEN now() ELSE nodes.updated_at
        END
    WHERE {_NOT_OF_CODE.format(table="nodes")}
    RETURNING {NODE_COLUMNS}
"""

# Held until the edges are written: a node cannot be deleted beside that. The lock does not hinder changes of a node.
HOLD_ENDS = "SELECT node_id FROM nodes WHERE node_id = ANY($1::uuid[]) ORDER BY node_id FOR KEY SHARE"

UPSERT_EDGES = f"""
    INSERT INTO edges (
        edge_id, source_node_id, target_node_id, relation_type, namespace, confidence, properties,
        created_at, updated_at
    )
    SELECT new.*, now(), now()
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::jsonb[])
        AS new (id, source, target, type, namespace, confidence, properties)
    ORDER BY new.id
    ON CONFLICT (edge_id) DO UPDATE SET
        source_node_id = excluded.source_node_id, target_node_id = excluded.target_node_id,
        relation_type = excluded.relation_type, namespace = excluded.namespace, confidence = excluded.confidence,
        properties = excluded.properties,
        updated_at = CASE
            WHEN (
                edges.source_node_id, edges.target_node_id, edges.relation_type, edges.namespace, edges.confidence,
                edges.properties
            ) IS DISTINCT FROM (
                excluded.source_node_id, excluded.target_node_id, excluded.relation_type, excluded.namespace,
                excluded.confidence, excluded.properties
            )
            THEN now() ELSE edges.updated_at
        END
    WHERE {_NOT_OF_CODE.format(table="edges")}
    RETURNING {EDGE_COLUMNS}
"""

NAMESPACE_OF_NODE = "SELECT namespace FROM nodes WHERE node_id = $1"
NAMESPACE_OF_EDGE = "SELECT namespace FROM edges WHERE edge_id = $1"

HOLD_NODES = "SELECT node_id, namespace FROM nodes WHERE node_id = ANY($1::uuid[]) ORDER BY node_id FOR UPDATE"
HOLD_NODES_OF_NAMESPACE = """
    SELECT node_id, namespace FROM nodes WHERE namespace = $1 ORDER BY node_id LIMIT $2 FOR UPDATE
"""

# Edges at nodes stay in the database: there may be any number of them.
_AT = "source_node_id = ANY($1::uuid[]) OR target_node_id = ANY($1::uuid[])"
HOLD_EDGES_AT = f"""
    SELECT count(*) FROM (SELECT FROM edges WHERE {_AT} ORDER BY edge_id FOR UPDATE) AS held
"""
DELETE_EDGES_AT = f"DELETE FROM edges WHERE {_AT}"

HOLD_EDGES_OF_NAMESPACE = "SELECT edge_id FROM edges WHERE namespace = $1 ORDER BY edge_id LIMIT $2 FOR UPDATE"
DELETE_NODES = "DELETE FROM nodes WHERE node_id = ANY($1::uuid[])"
DELETE_EDGES = "DELETE FROM edges WHERE edge_id = ANY($1::uuid[])"

#: Nodes, and edges, of a namespace that go in one transaction.
_PART = 5000


async def upsert_nodes(connection: Connection, nodes: Sequence[Node]) -> list[Node]:
    """See GraphRepository.upsert_nodes."""
    await connection.execute(LOCK_TIMEOUT)
    columns = [(one.id, one.type, one.label, one.namespace, one.properties) for one in nodes]
    rows = await connection.fetch(UPSERT_NODES, *zip(*columns, strict=True))
    written = {row["node_id"]: node_of(row) for row in rows}
    await _require_written(connection, NAMESPACE_OF_NODE, [one.id for one in nodes], written.keys())
    return [written[one.id] for one in nodes]


async def upsert_edges(connection: Connection, edges: Sequence[Edge]) -> list[Edge]:
    """See GraphRepository.upsert_edges."""
    await connection.execute(LOCK_TIMEOUT)
    ends = [end for one in edges for end in (one.source_id, one.target_id)]
    there = {row["node_id"] for row in await connection.fetch(HOLD_ENDS, ends)}
    for end in ends:
        if end not in there:
            raise EndNotFoundError(end)
    columns = [
        (
            one.id,
            one.source_id,
            one.target_id,
            one.type,
            one.namespace,
            None if one.confidence is None else one.confidence.value,
            one.properties,
        )
        for one in edges
    ]
    rows = await connection.fetch(UPSERT_EDGES, *zip(*columns, strict=True))
    written = {row["edge_id"]: edge_of(row) for row in rows}
    await _require_written(connection, NAMESPACE_OF_EDGE, [one.id for one in edges], written.keys())
    return [written[one.id] for one in edges]


async def delete_nodes(connection: Connection, ids: Sequence[UUID]) -> GraphCounts:
    """See GraphRepository.delete_nodes."""
    await connection.execute(LOCK_TIMEOUT)
    rows = await connection.fetch(HOLD_NODES, ids)
    for row in rows:
        if row["namespace"].startswith(CODE_NAMESPACE):
            raise NamespaceReservedError(row["node_id"], row["namespace"])
    return await _delete_nodes(connection, rows, with_edges=True)


async def delete_part(connection: Connection, namespace: str) -> GraphCounts:
    """Some of the nodes of a namespace, with their edges unless it is of code; when none are left, some of its edges.

    What others connect with code is theirs, and leads there again when the node is back.
    """
    await connection.execute(LOCK_TIMEOUT)
    if rows := await connection.fetch(HOLD_NODES_OF_NAMESPACE, namespace, _PART):
        return await _delete_nodes(connection, rows, with_edges=not namespace.startswith(CODE_NAMESPACE))
    if rows := await connection.fetch(HOLD_EDGES_OF_NAMESPACE, namespace, _PART):
        await connection.execute(DELETE_EDGES, [row["edge_id"] for row in rows])
    return GraphCounts(0, len(rows))


async def _delete_nodes(connection: Connection, rows: Sequence[Row], *, with_edges: bool) -> GraphCounts:
    """Delete nodes that are held."""
    nodes = [row["node_id"] for row in rows]
    edges = 0
    if with_edges:
        # Statements of their own, after the nodes are held: they see the edges that others were writing until then.
        await connection.execute(HOLD_EDGES_AT, nodes)
        edges = await count_of(connection, DELETE_EDGES_AT, nodes)
    return GraphCounts(await count_of(connection, DELETE_NODES, nodes), edges)


async def _require_written(
    connection: Connection, namespace_of: str, ids: Sequence[UUID], written: Container[UUID]
) -> None:
    """Raise NamespaceReservedError for the first that was not written: it is of code."""
    for one in ids:
        if one not in written:
            raise NamespaceReservedError(one, await connection.fetchval(namespace_of, one))

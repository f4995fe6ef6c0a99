"""Making nodes and edges all that a namespace has, by writing what is different and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from store.database import Connection
from store.graph import Edge, Node
from store.repositories.graph import GraphCounts
from store.repositories.postgres.graph_rows import count_of

#: Rows that are copied before others get their turn: asyncpg does not pause by itself while the database keeps up.
_BETWEEN_PAUSES = 500

#: Rows after which plans that were good are none any more. PostgreSQL looks by itself, but a minute later.
_MANY = 10_000
ANALYZE = "ANALYZE nodes; ANALYZE edges"

_NODE_COLUMNS = ("node_id", "node_type", "label", "properties")
_EDGE_COLUMNS = ("edge_id", "source_node_id", "target_node_id", "relation_type", "confidence", "properties")

# Until the end of the transaction.
ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('trimem graph ' || $1, 0))"

STAGING = """
    CREATE TEMPORARY TABLE new_nodes (node_id uuid, node_type text, label text, properties jsonb) ON COMMIT DROP;
    CREATE TEMPORARY TABLE new_edges (
        edge_id uuid, source_node_id uuid, target_node_id uuid, relation_type text, confidence text, properties jsonb
    ) ON COMMIT DROP
"""


def _remove(table: str, key: str) -> str:
    return f"""
        DELETE FROM {table} AS old
        WHERE namespace = $1 AND NOT EXISTS (SELECT FROM new_{table} AS new WHERE new.{key} = old.{key})
    """


def _write(table: str, key: str, columns: Sequence[str]) -> str:
    old = ", ".join(f"old.{one}" for one in columns)
    new = ", ".join(f"new.{one}" for one in columns)
    # What is there as it should be is left out before ON CONFLICT: that would lock it, which writes to its page.
    changes = ", ".join(f"{one} = excluded.{one}" for one in (*columns, "namespace", "updated_at"))
    return f"""
        INSERT INTO {table} ({key}, {", ".join(columns)}, namespace, created_at, updated_at)
        SELECT new.{key}, {new}, $1, now(), now()
        FROM new_{table} AS new LEFT JOIN {table} AS old ON old.{key} = new.{key}
        WHERE old.{key} IS NULL OR ({old}, old.namespace) IS DISTINCT FROM ({new}, $1)
        ORDER BY new.{key}
        ON CONFLICT ({key}) DO UPDATE SET {changes}
    """


REMOVE_NODES = _remove("nodes", "node_id")
REMOVE_EDGES = _remove("edges", "edge_id")
WRITE_NODES = _write("nodes", "node_id", _NODE_COLUMNS[1:])
WRITE_EDGES = _write("edges", "edge_id", _EDGE_COLUMNS[1:])

T = TypeVar("T")


async def replace_namespace(
    connection: Connection, namespace: str, nodes: Sequence[Node], edges: Sequence[Edge]
) -> GraphCounts:
    """See GraphRepository.replace_namespace."""
    await connection.execute(STAGING)
    await connection.copy_records_to_table("new_nodes", columns=_NODE_COLUMNS, records=_paced(_nodes(nodes)))
    await connection.copy_records_to_table("new_edges", columns=_EDGE_COLUMNS, records=_paced(_edges(edges)))
    await connection.execute("ANALYZE new_nodes; ANALYZE new_edges")
    counts = GraphCounts(
        nodes=await count_of(connection, REMOVE_NODES, namespace) + await count_of(connection, WRITE_NODES, namespace),
        edges=await count_of(connection, REMOVE_EDGES, namespace) + await count_of(connection, WRITE_EDGES, namespace),
    )
    if counts.nodes + counts.edges > _MANY:
        await connection.execute(ANALYZE)
    return counts


def _nodes(nodes: Sequence[Node]) -> list[tuple[object, ...]]:
    return [(one.id, one.type, one.label, one.properties) for one in {one.id: one for one in nodes}.values()]


def _edges(edges: Sequence[Edge]) -> list[tuple[object, ...]]:
    return [
        (
            one.id,
            one.source_id,
            one.target_id,
            one.type,
            None if one.confidence is None else one.confidence.value,
            one.properties,
        )
        for one in {one.id: one for one in edges}.values()
    ]


async def _paced(rows: Sequence[T]) -> AsyncIterator[T]:
    for number, row in enumerate(rows, 1):
        yield row
        if number % _BETWEEN_PAUSES == 0:
            await asyncio.sleep(0)

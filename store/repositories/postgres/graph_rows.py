"""From rows of `nodes` and `edges` to dataclasses. Rows from before Trimem have NULL for much, and any JSON."""

from store.database import Connection
from store.events import Json
from store.graph import Edge, EdgeConfidence, Node
from store.json_bytes import LARGER, MORE_BYTES
from store.repositories.postgres.rows import Row, object_of

#: What `node_of` reads.
NODE_COLUMNS = """
    node_id, node_type, label, nodes.namespace, nodes.properties, nodes.created_at,
    coalesce(nodes.updated_at, nodes.created_at) AS updated_at
"""

#: What `edge_of` reads.
EDGE_COLUMNS = """
    edges.edge_id, edges.source_node_id, edges.target_node_id, edges.relation_type, edges.namespace, edges.confidence,
    edges.properties, edges.created_at, coalesce(edges.updated_at, edges.created_at) AS updated_at
"""


def _bytes(table: str, fixed: int, *texts: str) -> str:
    """At least as many bytes as one has in an answer: ids, times and tags, what is as long as it is, and properties."""
    text = f"{table}.properties::text"
    sizes = [f"octet_length({one})" for one in texts]
    sizes.append(f"octet_length({text}) + {MORE_BYTES} * regexp_count({text}, '{LARGER}')")
    return " + ".join([str(fixed), *(f"coalesce({one}, 0)" for one in sizes)])


#: Of an edge with nothing to it.
LEAST_EDGE_BYTES = 180

NODE_BYTES = _bytes("nodes", 120, "node_type", "label", "nodes.namespace")
EDGE_BYTES = _bytes("edges", LEAST_EDGE_BYTES, "edges.relation_type", "edges.namespace")


def node_of(row: Row) -> Node:
    return Node(
        id=row["node_id"],
        type=row["node_type"],
        label=row["label"] or "",
        namespace=row["namespace"],
        properties=_object_of(row),
        create_time=row["created_at"],
        update_time=row["updated_at"],
    )


def edge_of(row: Row) -> Edge:
    return Edge(
        id=row["edge_id"],
        source_id=row["source_node_id"],
        target_id=row["target_node_id"],
        type=row["relation_type"],
        namespace=row["namespace"],
        confidence=None if row["confidence"] is None else EdgeConfidence(row["confidence"]),
        properties=_object_of(row),
        create_time=row["created_at"],
        update_time=row["updated_at"],
    )


async def count_of(connection: Connection, statement: str, *arguments: object) -> int:
    """Rows that a statement wrote or removed: the last word of `INSERT 0 17` and `DELETE 17`."""
    return int((await connection.execute(statement, *arguments)).split()[-1])


def _object_of(row: Row) -> Json:
    return {} if row["properties"] is None else object_of(row["properties"])

"""Following edges in PostgreSQL."""

from collections.abc import Sequence
from uuid import UUID

from store.database import Connection
from store.errors import NodeNotFoundError
from store.graph import EdgeConfidence, EdgeDirection
from store.repositories.graph import EdgeFilter, Walk, Walked
from store.repositories.postgres.graph_rows import (
    EDGE_BYTES,
    EDGE_COLUMNS,
    LEAST_EDGE_BYTES,
    NODE_BYTES,
    NODE_COLUMNS,
    edge_of,
    node_of,
)

#: Most edges that one call looks at: half a second's worth.
MOST_LOOKED_AT = 500_000

#: Nodes that one step of a walk goes on from.
_STEP_NODES = 500

#: When nodes would fill an answer, edges get one part of it in so many.
_FOR_EDGES = 3

_SOURCE, _TARGET = "source_node_id", "target_node_id"

#: The ends of an edge, the one that is come from first, for each way that edges are followed.
WAYS = {
    EdgeDirection.OUT: [(_SOURCE, _TARGET)],
    EdgeDirection.IN: [(_TARGET, _SOURCE)],
    EdgeDirection.BOTH: [(_SOURCE, _TARGET), (_TARGET, _SOURCE)],
}

#: Parameters as `edge_conditions` gives them.
EDGE_MATCHES = """
    ($1::text[] IS NULL OR edges.relation_type = ANY($1))
      AND ($2::text[] IS NULL OR edges.confidence IS NULL OR edges.confidence = ANY($2))
"""

EXISTING = "SELECT node_id FROM nodes WHERE node_id = ANY($1::uuid[])"

NODES = f"""
    SELECT * FROM (
        SELECT {NODE_COLUMNS}, at.depth, at.place, sum({NODE_BYTES}) OVER (ORDER BY at.place) AS bytes
        FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS at (id, depth, place)
        JOIN nodes ON node_id = at.id
    ) AS nodes
    WHERE bytes <= $3 OR place = 1
    ORDER BY place
"""


def _neighbours(near: str, far: str) -> str:
    return f"""
        SELECT edges.{far} AS id
        FROM unnest(walk.seen[walk.done + 1 : step.done]) AS come (id) JOIN edges ON edges.{near} = come.id
        WHERE {EDGE_MATCHES}
    """


def _walk(direction: EdgeDirection) -> str:
    # A queue: `seen` in the order of coming, `done` of it gone on from. What was seen is not gone through again, so a
    # cycle ends by itself. (CYCLE goes through a node once for each way to it, UNION once for each depth.) A row for
    # each step, which goes on from some nodes of one level: edges of thousands need not be looked at to find the few
    # nodes that an answer has room for. One node more than asked for tells that there are more.
    neighbours = " UNION ALL ".join(_neighbours(*way) for way in WAYS[direction])
    return f"""
        WITH RECURSIVE walk (depth, found, seen, done, level_end, looked_at) AS (
            SELECT 0, $3::uuid[], $3::uuid[], 0, 0, 0::bigint
          UNION ALL
            SELECT
                step.depth, next.found, walk.seen || next.found, step.done, step.level_end,
                walk.looked_at + next.looked_at
            FROM walk
            CROSS JOIN LATERAL (
                SELECT depth, level_end, least(walk.done + {_STEP_NODES}, level_end) AS done
                FROM (
                    SELECT
                        walk.depth + (walk.done = walk.level_end)::int AS depth,
                        CASE WHEN walk.done = walk.level_end THEN cardinality(walk.seen) ELSE walk.level_end END
                            AS level_end
                ) AS level
            ) AS step
            CROSS JOIN LATERAL (
                WITH near AS MATERIALIZED ({neighbours} LIMIT $7 - walk.looked_at)
                SELECT
                    (SELECT count(*) FROM near) AS looked_at,
                    ARRAY(
                        SELECT node_id
                        FROM (SELECT id FROM near EXCEPT SELECT unnest(walk.seen)) AS fresh
                        JOIN nodes ON node_id = fresh.id
                        WHERE ($4::text[] IS NULL OR node_type = ANY($4))
                        ORDER BY node_id
                        LIMIT $6 + 1 - cardinality(walk.seen)
                    ) AS found
            ) AS next
            WHERE step.depth <= $5 AND walk.done < step.done
              AND cardinality(walk.seen) <= $6 AND walk.looked_at < $7
        )
        SELECT depth, found, looked_at FROM walk ORDER BY done
    """


def _between(near: str, far: str, condition: str) -> str:
    # OFFSET 0 keeps the planner from asking the index of the other end, where a node may have any number of edges that
    # nobody followed. As many edges are looked at as the walk may have looked at, from the nearest nodes on: more are
    # there only when it was stopped by a bound itself.
    return f"""
        SELECT edges.*, least(edges.come_depth, gone.depth) AS depth
        FROM (
            SELECT edges.*, come.depth AS come_depth
            FROM reached AS come
            CROSS JOIN LATERAL (SELECT * FROM edges WHERE edges.{near} = come.id AND {EDGE_MATCHES} OFFSET 0) AS edges
            WHERE come.depth < $5
            LIMIT $8
        ) AS edges
        JOIN reached AS gone ON gone.id = edges.{far}
        {condition}
    """


def _edges(direction: EdgeDirection) -> str:
    """Edges between nodes of the answer, from those that were gone through. Both ways: those of the other end once."""
    ways = [
        _between(*way, "" if number == 0 else "WHERE gone.depth >= $5") for number, way in enumerate(WAYS[direction])
    ]
    order = "depth, source_node_id, target_node_id, relation_type, edge_id"
    return f"""
        WITH reached AS (SELECT * FROM unnest($3::uuid[], $4::int[]) AS at (id, depth))
        SELECT * FROM (
            SELECT {EDGE_COLUMNS}, count(*) OVER () AS found,
                row_number() OVER (ORDER BY {order}) AS place, sum({EDGE_BYTES}) OVER (ORDER BY {order}) AS bytes
            FROM (SELECT * FROM ({" UNION ALL ".join(ways)}) AS edges ORDER BY {order} LIMIT $6 + 1) AS edges
        ) AS edges
        WHERE place <= $6 AND (bytes <= $7 OR place = 1)
        ORDER BY place
    """


WALK = {direction: _walk(direction) for direction in EdgeDirection}
EDGES = {direction: _edges(direction) for direction in EdgeDirection}


def edge_conditions(edges: EdgeFilter) -> tuple[list[str] | None, list[str] | None]:
    """The parameters of EDGE_MATCHES."""
    sure = list(EdgeConfidence)
    least = edges.min_confidence
    return list(edges.types) or None, None if least is None else [one.value for one in sure[sure.index(least) :]]


async def require_nodes(connection: Connection, ids: Sequence[UUID]) -> None:
    """Raise NodeNotFoundError for the first that does not exist."""
    found = {row["node_id"] for row in await connection.fetch(EXISTING, ids)}
    for one in ids:
        if one not in found:
            raise NodeNotFoundError(one)


async def walk(connection: Connection, asked: Walk, room: int) -> Walked:
    """See GraphRepository.walk."""
    await require_nodes(connection, asked.start_ids)
    matching = edge_conditions(asked.edges)
    steps = await connection.fetch(
        WALK[asked.edges.direction],
        *matching,
        asked.start_ids,
        list(asked.node_types) or None,
        asked.max_depth,
        asked.max_nodes,
        MOST_LOOKED_AT,
    )
    reached = [(one, step["depth"]) for step in steps for one in step["found"]][: asked.max_nodes + 1]
    kept = reached[: asked.max_nodes]
    nodes = await connection.fetch(NODES, *zip(*kept, strict=True), room - room // _FOR_EDGES)
    room = max(0, room - int(nodes[-1]["bytes"]))
    edges = await connection.fetch(
        EDGES[asked.edges.direction],
        *matching,
        [row["node_id"] for row in nodes],
        [row["depth"] for row in nodes],
        asked.max_depth,
        min(asked.max_edges, room // LEAST_EDGE_BYTES + 1),  # those that cannot fit are not weighed
        room,
        MOST_LOOKED_AT,
    )
    return Walked(
        [(node_of(row), row["depth"]) for row in nodes],
        [edge_of(row) for row in edges],
        complete=len(nodes) == len(reached)
        and steps[-1]["looked_at"] < MOST_LOOKED_AT
        and (not edges or len(edges) == edges[0]["found"]),
    )

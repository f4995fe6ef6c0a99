"""The shortest way between two nodes in PostgreSQL: from both ends, level by level, the smaller side first."""

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from store.database import Connection
from store.graph import EdgeDirection
from store.repositories.graph import Path, Route
from store.repositories.postgres.graph_rows import EDGE_COLUMNS, NODE_COLUMNS, edge_of, node_of
from store.repositories.postgres.graph_walk import (
    EDGE_MATCHES,
    MOST_LOOKED_AT,
    WAYS,
    edge_conditions,
    require_nodes,
)

_OTHER_WAY = {
    EdgeDirection.OUT: EdgeDirection.IN,
    EdgeDirection.IN: EdgeDirection.OUT,
    EdgeDirection.BOTH: EdgeDirection.BOTH,
}


def _level(direction: EdgeDirection) -> str:
    # Of several ways to a node the one from the least node by the least type of edge, so that a path does not change.
    near = " UNION ALL ".join(
        f"""
        SELECT edges.{far} AS id, come.id AS via, edge_id, relation_type
        FROM unnest($3::uuid[]) AS come (id) JOIN edges ON edges.{near} = come.id
        WHERE {EDGE_MATCHES}
        """
        for near, far in WAYS[direction]
    )
    return f"""
        WITH near AS MATERIALIZED ({near} LIMIT $4)
        SELECT DISTINCT ON (near.id) near.id, via, edge_id, (SELECT count(*) FROM near) AS looked_at
        FROM near JOIN nodes ON node_id = near.id
        ORDER BY near.id, via, relation_type, edge_id
        LIMIT $5
    """


LEVEL = {direction: _level(direction) for direction in EdgeDirection}

NODES = f"""
    SELECT {NODE_COLUMNS} FROM unnest($1::uuid[]) WITH ORDINALITY AS at (id, place) JOIN nodes ON node_id = at.id
    ORDER BY place
"""
EDGES = f"""
    SELECT {EDGE_COLUMNS} FROM unnest($1::uuid[]) WITH ORDINALITY AS at (id, place) JOIN edges ON edge_id = at.id
    ORDER BY place
"""


class _Step(NamedTuple):
    """How a node was come to."""

    via: UUID
    edge_id: UUID


@dataclass(slots=True)
class _Side:
    """What was seen from one end."""

    direction: EdgeDirection
    #: Found last.
    frontier: list[UUID]
    steps: dict[UUID, _Step | None] = field(init=False)

    def __post_init__(self) -> None:
        self.steps = dict.fromkeys(self.frontier)

    def way_to(self, node: UUID) -> tuple[list[UUID], list[UUID]]:
        """Nodes and edges from this end to a node that it has seen."""
        nodes, edges = [node], []
        while (step := self.steps[node]) is not None:
            node = step.via
            nodes.append(node)
            edges.append(step.edge_id)
        return nodes[::-1], edges[::-1]


async def path(connection: Connection, route: Route) -> Path:
    """See GraphRepository.path."""
    await require_nodes(connection, [route.source_id, route.target_id])
    matching = edge_conditions(route.edges)
    direction = route.edges.direction
    sides = (_Side(direction, [route.source_id]), _Side(_OTHER_WAY[direction], [route.target_id]))
    room = MOST_LOOKED_AT
    met = {route.source_id} & {route.target_id}
    for _ in range(route.max_depth):
        if met or not all(side.frontier for side in sides):
            break
        side, other = sorted(sides, key=lambda one: len(one.frontier))
        rows = await connection.fetch(LEVEL[side.direction], *matching, side.frontier, room, route.max_nodes + 1)
        side.frontier = [row["id"] for row in rows if row["id"] not in side.steps]
        side.steps |= {row["id"]: _Step(row["via"], row["edge_id"]) for row in rows if row["id"] not in side.steps}
        room -= rows[0]["looked_at"] if rows else 0
        if room <= 0 or sum(len(one.steps) for one in sides) > route.max_nodes:
            return Path([], [], complete=False)
        # Neither side had come to one of the other before, so all that they meet at now are as far away.
        met = set(side.frontier) & other.steps.keys()
    return await _read(connection, *sides, min(met)) if met else Path([], [], complete=True)


async def _read(connection: Connection, source: _Side, target: _Side, met: UUID) -> Path:
    nodes, edges = source.way_to(met)
    more_nodes, more_edges = target.way_to(met)
    return Path(
        [node_of(row) for row in await connection.fetch(NODES, nodes + more_nodes[-2::-1])],
        [edge_of(row) for row in await connection.fetch(EDGES, edges + more_edges[::-1])],
        complete=True,
    )

"""Code that is indexed, and its callers: what Traverse says agrees with what people find by reading."""

from store.repositories.postgres.graph import PostgresGraph
from tests.code_graph import Call, code_graph_files, hand_checked_calls
from tests.fixtures_code import COMMIT, REPOSITORY, index
from tests.fixtures_graph import serving
from tests.fixtures_store import StoreUnderTest, open_database
from trimem.store.v1 import graph_service_pb2 as pb


async def test_callers_and_callees_are_those_of_the_hand_checked_sample(store: StoreUnderTest) -> None:
    await index(store, dict(code_graph_files("shop")), COMMIT)
    async with open_database(store.database_url) as database, serving(PostgresGraph(database)) as stub:
        asked = pb.SearchNodesRequest(namespace=f"code/{REPOSITORY}", page_size=1000)
        labels = {node.id: node.label for node in (await stub.SearchNodes(asked)).nodes}

        async def calls(direction: "pb.EdgeDirection.ValueType") -> set[Call]:
            """Of each node, those that lead to it or from it."""
            found = set()
            for start in labels:
                one_step = pb.TraverseRequest(start_ids=[start], max_depth=1, direction=direction, edge_types=["calls"])
                for edge in (await stub.Traverse(one_step)).edges:
                    if start in {edge.source_id, edge.target_id}:
                        confidence = pb.EdgeConfidence.Name(edge.confidence).removeprefix("EDGE_CONFIDENCE_")
                        found.add((labels[edge.source_id], labels[edge.target_id], confidence))
            return found

        expected = hand_checked_calls("python")
        assert await calls(pb.EDGE_DIRECTION_IN) == expected
        assert await calls(pb.EDGE_DIRECTION_OUT) == expected

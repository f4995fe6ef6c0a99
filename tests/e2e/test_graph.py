"""The graph through the gateway: over gRPC, and the same as JSON over HTTP."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import pytest_asyncio

from deploy.local.stack import Stack
from trimem.store.v1 import graph_service_pb2 as pb
from trimem.store.v1 import graph_service_pb2_grpc as rpc


@pytest_asyncio.fixture(scope="session")
async def graph(stack: Stack) -> AsyncIterator["rpc.GraphServiceAsyncStub"]:
    """GraphService of the stack."""
    async with grpc.aio.insecure_channel(stack.address("GATEWAY_PORT")) as channel:
        yield rpc.GraphServiceStub(channel)


async def test_what_is_written_over_grpc_is_followed_over_http(
    stack: Stack, graph: "rpc.GraphServiceAsyncStub"
) -> None:
    mine = f"e2e/{uuid.uuid4().hex}"
    written = await graph.UpsertNodes(
        pb.UpsertNodesRequest(nodes=[pb.Node(type="step", label=f"step {one}", namespace=mine) for one in range(4)])
    )
    ids = [one.id for one in written.nodes]
    wired = [pb.Edge(source_id=a, target_id=b, type="then") for a, b in zip(ids, [*ids[1:], ids[0]], strict=True)]
    await graph.UpsertEdges(pb.UpsertEdgesRequest(edges=wired))

    async with aiohttp.ClientSession(f"http://{stack.address('GATEWAY_HTTP_PORT')}") as http:

        async def ask(path: str, **body: Any) -> Any:
            async with http.post(path, json=body) as response:
                return response.status, await response.json()

        async with http.get(f"/v1/graph/nodes/{ids[2]}") as response:
            assert (await response.json())["label"] == "step 2"
        async with http.get("/v1/graph/nodes", params={"query": "step 3", "namespace": mine}) as response:
            assert [one["id"] for one in (await response.json())["nodes"]] == [ids[3]]
        status, walked = await ask("/v1/graph:traverse", startIds=[ids[0]], maxDepth=20)
        assert status == 200
        assert [(one["node"]["id"], one.get("depth", 0)) for one in walked["nodes"]] == [
            (one, depth) for depth, one in enumerate(ids)
        ]
        assert len(walked["edges"]) == 4  # round once, and no further
        status, path = await ask("/v1/graph:findPath", sourceId=ids[0], targetId=ids[3], direction="EDGE_DIRECTION_IN")
        assert [one["id"] for one in path["nodes"]] == [ids[0], ids[3]]
        status, refused = await ask(
            "/v1/graph/nodes:upsert", nodes=[{"type": "t"}, {"type": "t", "namespace": "code/x"}]
        )
        assert status == 400
        assert "nodes[1].namespace" in str(refused)
        status, gone = await ask("/v1/graph/nodes:delete", namespace=mine)
        assert (int(gone["node_count"]), int(gone["edge_count"])) == (4, 4)

"""The methods of the API on a channel, sync or async."""

from collections.abc import Mapping
from typing import Any

from grpc_health.v1 import health_pb2_grpc

from trimem.embedding.v1 import embedding_pb2_grpc
from trimem.store.v1 import code_service_pb2_grpc, event_service_pb2_grpc, graph_service_pb2_grpc


def methods_on(channel: Any) -> Mapping[str, Any]:
    """By name, all methods that a client calls. No two services have one of the same name."""
    stubs = (
        event_service_pb2_grpc.EventServiceStub(channel),
        code_service_pb2_grpc.CodeServiceStub(channel),
        graph_service_pb2_grpc.GraphServiceStub(channel),
        embedding_pb2_grpc.EmbeddingServiceStub(channel),
        health_pb2_grpc.HealthStub(channel),
    )
    return {name: method for stub in stubs for name, method in vars(stub).items()}

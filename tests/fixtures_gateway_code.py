"""CodeService and GraphService of a fake store."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from servicekit.streams import complete
from trimem.store.v1 import code_service_pb2, graph_service_pb2

CODE: ServiceDescriptor = code_service_pb2.DESCRIPTOR.services_by_name["CodeService"]
GRAPH: ServiceDescriptor = graph_service_pb2.DESCRIPTOR.services_by_name["GraphService"]


def code_handlers(fake: Any) -> list[grpc.GenericRpcHandler]:
    """Handlers of both that give `fake`, a Fake, all their calls; of a stream the list of its messages."""
    return [handlers_of(service, fake) for service in (CODE, GRAPH)]


def handlers_of(service: ServiceDescriptor, fake: Any) -> grpc.GenericRpcHandler:
    """The same of one service."""
    return grpc.method_handlers_generic_handler(
        service.full_name, {method.name: _handler(fake, method) for method in service.methods}
    )


def _handler(fake: Any, method: MethodDescriptor) -> Any:
    request_class, response_class = GetMessageClass(method.input_type), GetMessageClass(method.output_type)

    async def one(request: Any, context: Any) -> Any:
        return await fake.answer(request, context, response_class())

    async def many(requests: AsyncIterator[Any], context: Any) -> Any:
        messages = [request async for request in complete(requests, context.cancelled)]
        return await fake.answer(messages, context, response_class())

    coders: Any = {
        "request_deserializer": request_class.FromString,
        "response_serializer": response_class.SerializeToString,
    }
    if method.client_streaming:
        return grpc.stream_unary_rpc_method_handler(many, **coders)
    return grpc.unary_unary_rpc_method_handler(one, **coders)

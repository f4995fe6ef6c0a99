"""`POST /v1/embeddings`, `GET /v1/models` and `GET /v1/models/{id}`."""

from collections.abc import Iterable
from typing import Any

import grpc
from aiohttp import web

from gateway.auth.scopes import Scope
from gateway.backends import Backend
from gateway.calls import own_error, time_left
from gateway.http.admission import ADMISSION
from gateway.http.body import BodyReader
from gateway.http.openai.errors import openai_error
from gateway.http.openai.models import DOMAINS, described, domain_of, listed
from gateway.http.openai.request import EmbeddingsRequest
from gateway.http.openai.response import embeddings_json
from gateway.http.query import decode
from gateway.http.routes import Endpoint, Route
from gateway.http.templates import PathTemplate
from gateway.http.writing import json_response, json_text
from servicekit.context import REQUEST_ID_KEY, request_id
from servicekit.off_loop import off_loop
from trimem.embedding.v1 import embedding_pb2

_SERVICE = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]


def openai_routes(backends: Iterable[Backend], bodies: BodyReader) -> list[Route]:
    """The routes, when one of the backends is the embedder."""
    return [
        route for backend in backends if _SERVICE in backend.services for route in _OpenAi(backend, bodies).routes()
    ]


class _OpenAi:
    """Answers clients of OpenAI."""

    def __init__(self, embedder: Backend, bodies: BodyReader) -> None:
        self._embedder = embedder.name
        self._bodies = bodies
        channel = embedder.channel
        # Responses are bytes to gRPC, so that large ones are decoded in the right thread.
        self._embed: Any = channel.unary_unary(f"/{_SERVICE.full_name}/Embed")
        self._list_models: Any = channel.unary_unary(f"/{_SERVICE.full_name}/ListModels")

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            _route("POST", "/v1/embeddings", self.embeddings),
            _route("GET", "/v1/models", self.models),
            _route("GET", "/v1/models/{id=**}", self.model),  # names of models have slashes
        ]

    async def embeddings(self, request: web.BaseRequest, _variables: dict[str, str]) -> web.Response:
        """Embed texts."""
        body = await self._bodies.read(request)
        asked = await off_loop(len(body), lambda: EmbeddingsRequest.parse(body))
        request[ADMISSION].charge_texts(len(asked.inputs))
        domain = await self._domain(asked.model)
        message = embedding_pb2.EmbedRequest(
            inputs=asked.inputs, domain=domain, kind=asked.kind, dimensions=asked.dimensions
        )
        raw = await self._call(self._embed, message.SerializeToString())
        return json_response(
            await off_loop(
                len(raw),
                lambda: embeddings_json(embedding_pb2.EmbedResponse.FromString(raw), domain, as_base64=asked.as_base64),
            )
        )

    async def models(self, _request: web.BaseRequest, _variables: dict[str, str]) -> web.Response:
        """All models."""
        return json_response(json_text(listed(await self._models())))

    async def model(self, _request: web.BaseRequest, variables: dict[str, str]) -> web.Response:
        """One model."""
        name = decode(variables["id"], "model")
        await self._domain(name)
        return json_response(json_text(described(name)))

    async def _domain(self, name: str) -> embedding_pb2.Domain.ValueType:
        # Which model has a name can change at any time, so that it is asked for each time.
        return domain_of(name, [] if name in DOMAINS else await self._models())

    async def _models(self) -> list[embedding_pb2.ModelInfo]:
        raw = await self._call(self._list_models, b"")
        return list(embedding_pb2.ListModelsResponse.FromString(raw).models)

    async def _call(self, method: Any, message: bytes) -> bytes:
        try:
            response: bytes = await method(
                message, timeout=time_left(None), metadata=((REQUEST_ID_KEY, request_id.get()),)
            )
        except grpc.aio.AioRpcError as error:
            if own := own_error(error, self._embedder):
                raise own from error
            raise
        return response


def _route(method: str, path: str, endpoint: Endpoint) -> Route:
    return Route(
        method=method,
        template=PathTemplate.parse(path),
        endpoint=endpoint,
        scope=Scope.EMBED,
        error_format=openai_error,
    )

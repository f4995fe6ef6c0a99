"""The server to compare with: what anybody would write first, and what the monolith did.

One `SentenceTransformer(...).encode(list(inputs))` in float32 a request, in the event loop's default executor. Speaks
the embedder's protocol, so that the same client measures both. Serves until its standard input ends.

Environment: NAIVE_MODEL, and NAIVE_CODE_MODEL for the domains CODE and HYBRID: directories.
"""

import asyncio
import json
import os
import sys
from typing import Any

import grpc
import torch
from sentence_transformers import SentenceTransformer

from trimem.embedding.v1 import embedding_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["EmbeddingService"].full_name


class NaiveServicer:
    """Embed, and nothing else."""

    def __init__(self, text: SentenceTransformer, code: SentenceTransformer) -> None:
        self._text = text
        self._code = code

    async def embed(self, request: pb.EmbedRequest, _context: Any) -> pb.EmbedResponse:
        """Vectors for inputs."""
        inputs = list(request.inputs)
        response = pb.EmbedResponse(embeddings=[pb.Embedding() for _ in inputs])
        if request.domain != pb.DOMAIN_CODE:
            for embedding, row in zip(response.embeddings, await self._encode(self._text, inputs), strict=True):
                embedding.text.values.extend(row)
        if request.domain in (pb.DOMAIN_CODE, pb.DOMAIN_HYBRID):
            for embedding, row in zip(response.embeddings, await self._encode(self._code, inputs), strict=True):
                embedding.code.values.extend(row)
        return response

    async def _encode(self, model: SentenceTransformer, inputs: list[str]) -> list[list[float]]:
        def encode() -> list[list[float]]:
            vectors: list[list[float]] = model.encode(inputs, show_progress_bar=False).tolist()
            return vectors

        return await asyncio.get_running_loop().run_in_executor(None, encode)


def _load(directory: str) -> SentenceTransformer:
    return SentenceTransformer(directory, device="cpu", local_files_only=True, model_kwargs={"dtype": torch.float32})


async def _serve() -> None:
    text, code = os.environ["NAIVE_MODEL"], os.environ["NAIVE_CODE_MODEL"]
    models = {directory: _load(directory) for directory in {text, code}}
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    embed = grpc.unary_unary_rpc_method_handler(
        NaiveServicer(models[text], models[code]).embed,
        request_deserializer=pb.EmbedRequest.FromString,
        response_serializer=pb.EmbedResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, {"Embed": embed})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"event": "listening", "address": f"127.0.0.1:{port}"}), file=sys.stderr, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(_serve())

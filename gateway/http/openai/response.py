"""The answer of `POST /v1/embeddings`, made of the bytes of vectors."""

import json
from base64 import b64encode

from gateway.http.message_text import packed_floats_text
from servicekit.errors import InternalError
from trimem.embedding.v1 import embedding_pb2


def embeddings_json(
    response: embedding_pb2.EmbedResponse, domain: embedding_pb2.Domain.ValueType, *, as_base64: bool
) -> bytes:
    """The embeddings of a response in the shape of OpenAI's, with the vectors of one domain."""
    write = _base64 if as_base64 else packed_floats_text
    data = ",".join(
        f'{{"object":"embedding","index":{index},"embedding":{write(_packed(embedding, domain))}}}'
        for index, embedding in enumerate(response.embeddings)
    )
    model = json.dumps(response.models[0].name if response.models else "")
    tokens = sum(embedding.token_count for embedding in response.embeddings)
    usage = f'{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}'
    return f'{{"object":"list","data":[{data}],"model":{model},"usage":{usage}}}'.encode()


def _packed(embedding: embedding_pb2.Embedding, domain: embedding_pb2.Domain.ValueType) -> bytes:
    """The components of a vector as little-endian 32-bit floats, without a Python object for each of them.

    That is how protobuf writes them: after the tag of the field and the number of bytes, which ends at the first byte
    below 0x80.
    """
    vector = embedding.code if domain == embedding_pb2.DOMAIN_CODE else embedding.text
    size = 4 * len(vector.values)
    if not size:
        raise InternalError
    raw = vector.SerializeToString()
    start = 1
    while raw[start] >= 0x80:
        start += 1
    return raw[start + 1 : start + 1 + size]


def _base64(packed: bytes) -> str:
    return f'"{b64encode(packed).decode("ascii")}"'

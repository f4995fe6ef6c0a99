"""Embeddings in OpenAI's shape: their own client works unchanged, and errors are theirs."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from gateway.auth.scopes import Scope
from servicekit.errors import InvalidArgumentError, ResourceExhaustedError
from tests.fixtures_gateway import PATIENCE, Context, Fake, Rig, gateway
from tests.fixtures_keys import add_key
from trimem.embedding.v1 import embedding_pb2

TEXT = embedding_pb2.ModelInfo(domain=embedding_pb2.DOMAIN_TEXT, name="nomic-ai/nomic-embed-text-v1.5@main")
CODE = embedding_pb2.ModelInfo(domain=embedding_pb2.DOMAIN_CODE, name="package:code_model")

#: What is exact in 32 bits, and what is not.
NUMBERS = [0.5, -0.1, 1 / 3, 1e-20, 3.0e38, -1.17549435e-38]


def as_floats(numbers: list[float]) -> list[float]:
    return list(struct.unpack(f"<{len(numbers)}f", struct.pack(f"<{len(numbers)}f", *numbers)))


class Embedder(Fake):
    """An embedder with two models, each of whose vectors begin with the number of the input."""

    def __init__(self, *models: embedding_pb2.ModelInfo) -> None:
        super().__init__(self._answer)
        self.models = models or (TEXT, CODE)
        self.error: Exception | None = None

    async def _answer(self, request: Any, _context: Context) -> Any:
        if self.error is not None:
            raise self.error
        if isinstance(request, embedding_pb2.ListModelsRequest):
            return embedding_pb2.ListModelsResponse(models=self.models)
        code = request.domain == embedding_pb2.DOMAIN_CODE
        response = embedding_pb2.EmbedResponse(models=[self.models[code]])
        for index in range(len(request.inputs)):
            embedding = response.embeddings.add(token_count=3)
            (embedding.code if code else embedding.text).values.extend([index, *NUMBERS])
        return response

    @property
    def embedded(self) -> Any:
        [request] = [each for each in self.requests if isinstance(each, embedding_pb2.EmbedRequest)]
        return request


@asynccontextmanager
async def rig(embedder: Embedder, **settings: Any) -> AsyncIterator[tuple[Rig, openai.AsyncOpenAI]]:
    async with (
        gateway(embedder=embedder, **settings) as running,
        openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{running.http_port}/v1", api_key="none", max_retries=0, timeout=PATIENCE
        ) as client,
    ):
        yield running, client


async def post(running: Rig, body: Any, **headers: str) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers.setdefault("Content-Type", "application/json")
    async with asyncio.timeout(PATIENCE), running.http.post("/v1/embeddings", data=data, headers=headers) as response:
        return response.status, json.loads(await response.read())


async def test_their_client_embeds_a_list() -> None:
    embedder = Embedder()
    async with rig(embedder) as (_, client):
        answer = await client.embeddings.create(model="text", input=["a", "b"], user="somebody")

    assert (answer.object, answer.model) == ("list", TEXT.name)
    assert [(each.object, each.index) for each in answer.data] == [("embedding", 0), ("embedding", 1)]
    assert [each.embedding for each in answer.data] == [[index, *as_floats(NUMBERS)] for index in (0.0, 1.0)]
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (6, 6)
    assert embedder.embedded == embedding_pb2.EmbedRequest(
        inputs=["a", "b"], domain=embedding_pb2.DOMAIN_TEXT, kind=embedding_pb2.INPUT_KIND_DOCUMENT
    )


async def test_their_client_works_without_asyncio_too() -> None:
    async with rig(Embedder()) as (running, _):

        def create() -> Any:
            with openai.OpenAI(
                base_url=f"http://127.0.0.1:{running.http_port}/v1", api_key="none", max_retries=0, timeout=PATIENCE
            ) as client:
                return client.embeddings.create(model="code", input="def f(): pass", dimensions=7), client.models.list()

        answer, models = await asyncio.to_thread(create)

    assert answer.data[0].embedding == [0.0, *as_floats(NUMBERS)]
    assert answer.model == CODE.name
    assert [model.id for model in models] == ["text", "code", TEXT.name, CODE.name]


async def test_one_text_with_what_can_be_asked_of_it() -> None:
    embedder = Embedder()
    async with rig(embedder) as (running, _):
        body = {"input": "a", "model": "text", "dimensions": 256, "encoding_format": None, "input_type": "query"}
        status, _ = await post(running, body)

    assert status == 200
    assert embedder.embedded.dimensions == 256
    assert embedder.embedded.kind == embedding_pb2.INPUT_KIND_QUERY


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_both_encodings_bring_every_float_back(encoding: str) -> None:
    async with rig(Embedder()) as (running, _):
        _, answer = await post(running, {"input": "a", "model": "text", "encoding_format": encoding})

    vector = answer["data"][0]["embedding"]
    if encoding == "base64":
        vector = list(struct.unpack("<7f", base64.b64decode(vector)))
    assert as_floats(vector) == [0.0, *as_floats(NUMBERS)]


async def test_long_vectors_are_whole() -> None:
    """The length of a vector takes more than one byte on the wire."""
    values = as_floats([index / 7 for index in range(4096)])

    async def act(_request: Any, _context: Context) -> Any:
        vector = embedding_pb2.Vector(values=values)
        return embedding_pb2.EmbedResponse(embeddings=[embedding_pb2.Embedding(text=vector)] * 8, models=[TEXT])

    async with gateway(embedder=Fake(act)) as running:
        _, answer = await post(running, {"input": ["a"] * 8, "model": "text"})
        _, packed = await post(running, {"input": ["a"] * 8, "model": "text", "encoding_format": "base64"})

    assert all(as_floats(each["embedding"]) == values for each in answer["data"])
    assert all(base64.b64decode(each["embedding"]) == struct.pack("<4096f", *values) for each in packed["data"])


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("text", embedding_pb2.DOMAIN_TEXT),
        ("code", embedding_pb2.DOMAIN_CODE),
        (TEXT.name, embedding_pb2.DOMAIN_TEXT),
        ("nomic-ai/nomic-embed-text-v1.5", embedding_pb2.DOMAIN_TEXT),
        ("nomic-embed-text-v1.5", embedding_pb2.DOMAIN_TEXT),
        ("package:code_model", embedding_pb2.DOMAIN_CODE),
        ("code_model", embedding_pb2.DOMAIN_CODE),
    ],
)
async def test_models_have_the_names_of_their_domains_their_own_and_short_ones(
    name: str, domain: embedding_pb2.Domain.ValueType
) -> None:
    embedder = Embedder()
    async with rig(embedder) as (_, client):
        await client.embeddings.create(model=name, input="a")
        model = await client.models.retrieve(name)

    assert embedder.embedded.domain == domain
    assert (model.id, model.object) == (name, "model")


async def test_one_model_for_both_domains_is_the_one_for_text() -> None:
    both = [embedding_pb2.ModelInfo(domain=domain, name="package:both") for domain in (1, 2)]  # type: ignore[arg-type]  # numbers of the enum
    embedder = Embedder(*both)
    async with rig(embedder) as (_, client):
        await client.embeddings.create(model="both", input="a")

    assert embedder.embedded.domain == embedding_pb2.DOMAIN_TEXT


@pytest.mark.parametrize("name", ["nothing", "", "Text", "../text", "ü", "a" * 5000, "minilm"])
async def test_a_name_of_no_model_or_of_two_is_not_found(name: str) -> None:
    two = [
        embedding_pb2.ModelInfo(domain=embedding_pb2.DOMAIN_TEXT, name="one/minilm"),
        embedding_pb2.ModelInfo(domain=embedding_pb2.DOMAIN_CODE, name="two/minilm"),
    ]
    async with rig(Embedder(*two)) as (running, client):
        status, answer = await post(running, {"input": "a", "model": name})
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model=name, input="a")

    assert status == 404
    error = answer["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "model", "model_not_found")
    assert "there are text, code, one/minilm, two/minilm" in error["message"]
    assert len(error["message"]) < 1000


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", "body"),
        (b"", "input"),
        ([], "body"),
        ({"model": "text"}, "input"),
        ({"input": "a"}, "model"),
        ({"input": None, "model": "text"}, "input"),
        ({"input": 5, "model": "text"}, "input"),
        ({"input": {"a": 1}, "model": "text"}, "input"),
        ({"input": ["a", None], "model": "text"}, "input[1]"),
        ({"input": ["a", 5], "model": "text"}, "input[1]"),
        (b'{"input": "\\ud800", "model": "text"}', "input"),
        (b'{"input": "a", "model": "\\ud800"}', "model"),
        ({"input": "a", "model": 5}, "model"),
        ({"input": "a", "model": "text", "dimensions": 0}, "dimensions"),
        ({"input": "a", "model": "text", "dimensions": -1}, "dimensions"),
        ({"input": "a", "model": "text", "dimensions": 1.5}, "dimensions"),
        ({"input": "a", "model": "text", "dimensions": True}, "dimensions"),
        ({"input": "a", "model": "text", "dimensions": 2**40}, "dimensions"),
        ({"input": "a", "model": "text", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "model": "text", "encoding_format": []}, "encoding_format"),
        ({"input": "a", "model": "text", "input_type": "image"}, "input_type"),
        ({"input": "a", "model": "text", "nope": 1}, "nope"),
        (b'{"input": "a", "input": "b", "model": "text"}', "body"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_bad_request_names_the_parameter(body: Any, param: str) -> None:
    async with rig(Embedder()) as (running, _):
        status, answer = await post(running, body)

    assert (status, set(answer)) == (400, {"error"})
    error = answer["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, "invalid_argument")
    assert error["message"].startswith(f"{param}: ")


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
async def test_tokens_are_refused_and_the_answer_says_why(tokens: Any) -> None:
    async with rig(Embedder()) as (_, client):
        with pytest.raises(openai.BadRequestError, match="must be text: tokens are numbers of another model"):
            await client.embeddings.create(model="text", input=tokens)


async def test_what_the_embedder_refuses_is_named_as_their_parameter() -> None:
    embedder = Embedder()
    embedder.error = InvalidArgumentError("inputs[1]", "must not be blank")
    async with rig(embedder) as (_, client):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.embeddings.create(model="text", input=["a", " "])

    assert (caught.value.param, caught.value.code) == ("input[1]", "invalid_argument")
    assert caught.value.body == {
        "message": "input[1]: must not be blank",
        "type": "invalid_request_error",
        "param": "input[1]",
        "code": "invalid_argument",
    }


async def test_a_full_queue_is_a_rate_limit_with_its_delay() -> None:
    embedder = Embedder()
    embedder.error = ResourceExhaustedError("the queue is full", retry_after=3)
    async with rig(embedder) as (_, client):
        with pytest.raises(openai.RateLimitError) as caught:
            await client.embeddings.create(model="text", input="a")

    assert caught.value.response.headers["Retry-After"] == "3"
    assert (caught.value.type, caught.value.code) == ("rate_limit_error", "rate_limit_exceeded")


async def test_an_embedder_that_is_down_is_a_server_error() -> None:
    async with gateway() as running:
        status, answer = await post(running, {"input": "a", "model": "text"})

    assert status == 503
    assert answer["error"] == {
        "message": "the embedder cannot be reached",
        "type": "server_error",
        "param": None,
        "code": "backend_unreachable",
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/embeddings", 405), ("PUT", "/v1/embeddings", 405), ("POST", "/v1/models", 405)],
)
async def test_a_wrong_method_has_their_shape(method: str, path: str, status: int) -> None:
    async with rig(Embedder()) as (running, _), running.http.request(method, path) as response:
        assert response.status == status
        assert set((await response.json())["error"]) == {"message", "type", "param", "code"}


async def test_a_body_over_the_limit_or_of_another_type_has_their_shape() -> None:
    async with rig(Embedder(), http_max_body_bytes=2048) as (running, client):
        with pytest.raises(openai.APIStatusError) as caught:
            await client.embeddings.create(model="text", input="a" * 3000)
        status, answer = await post(running, b"input=a", **{"Content-Type": "application/x-www-form-urlencoded"})

    assert (caught.value.status_code, caught.value.code) == (413, "body_too_large")
    assert (status, answer["error"]["code"]) == (415, "unsupported_media_type")


async def test_keys_are_theirs_too(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    good = add_key(file, "good", Scope.EMBED)
    bad = add_key(file, "bad", Scope.READ, Scope.WRITE)
    async with rig(Embedder(), api_keys_file=file) as (_, client):
        await client.with_options(api_key=good).embeddings.create(model="text", input="a")
        with pytest.raises(openai.PermissionDeniedError) as denied:
            await client.with_options(api_key=bad).embeddings.create(model="text", input="a")
        with pytest.raises(openai.AuthenticationError) as unknown:
            await client.models.list()

    assert denied.value.code == "api_key_scope_missing"
    assert (unknown.value.code, unknown.value.type) == ("invalid_api_key", "invalid_request_error")


async def test_texts_are_counted_before_they_are_embedded() -> None:
    embedder = Embedder()
    limits = {"rate_limit_texts_per_second": 0.01, "rate_limit_texts_burst": 4}
    async with rig(embedder, **limits) as (_, client):
        await client.embeddings.create(model="text", input=["a"] * 4)
        with pytest.raises(openai.RateLimitError):
            await client.embeddings.create(model="text", input="a")

    assert len(embedder.requests) == 1


async def test_a_client_of_another_language_may_send_its_own_headers() -> None:
    async with rig(Embedder()) as (running, _), aiohttp.ClientSession() as client:
        headers = {"X-Stainless-Lang": "js", "OpenAI-Organization": "x", "Authorization": "Bearer sk-whatever"}
        url = f"http://127.0.0.1:{running.http_port}/v1/embeddings"
        async with client.post(url, json={"input": "a", "model": "text"}, headers=headers) as response:
            assert response.status == 200

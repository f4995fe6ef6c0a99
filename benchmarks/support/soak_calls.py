"""The calls of the soak: good ones, and all the bad manners that a client can have."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc

from benchmarks.support.references import Question, References, WrongAnswerError
from benchmarks.support.soak_tally import Tally
from benchmarks.support.texts import Texts
from trimem.embedding.v1 import embedding_pb2 as pb
from trimem.embedding.v1 import embedding_pb2_grpc as rpc
from trimem.embedding.v1 import model_admin_pb2, model_admin_pb2_grpc

#: Deadline of calls that are meant to succeed, and what they may take beyond it before they count as stuck.
DEADLINE_SECONDS, MARGIN_SECONDS = 60, 5
_MIB = 1024 * 1024
#: What becomes of a call whose client leaves: it was too fast, or it was stopped.
_LEFT = (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED)

_Response = TypeVar("_Response")


class SoakCalls:
    """One method a kind of call. Each returns what became of it, or raises WrongAnswerError."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        references: References,
        *,
        pool: Sequence[str],
        giant: str,
        texts: Texts,
        lengths: Sequence[int],
    ) -> None:
        """`pool` and `giant` (1 MiB) have references for each of `lengths`, the dimensions that are asked for."""
        self.stub: rpc.EmbeddingServiceAsyncStub = rpc.EmbeddingServiceStub(channel)
        self.admin: model_admin_pb2_grpc.ModelAdminServiceAsyncStub = model_admin_pb2_grpc.ModelAdminServiceStub(
            channel
        )
        self.tally = Tally()
        self._raw: Any = channel.unary_unary(f"/{pb.DESCRIPTOR.package}.EmbeddingService/Embed")
        self._references = references
        self._pool = pool
        self._giant = giant
        self._texts = texts
        self._lengths = lengths
        #: Kinds of calls by name, with how often each comes.
        self.kinds: dict[str, tuple[int, Callable[[], Awaitable[str]]]] = {
            "good": (40, self.good),
            "count": (10, self.count),
            "duplicates in flight": (5, self.duplicates),
            "stream": (8, self.stream),
            "stream, abandoned": (4, self.abandoned_stream),
            "cancelled": (15, self.cancelled),
            "expired": (10, self.expired),
            "bad": (15, self.bad),
            "1 MiB text": (1, self.giant),
            "too large": (1, self.too_large),
        }

    async def one(self) -> None:
        """A call of a random kind, and what it came to."""
        weights = [weight for weight, _ in self.kinds.values()]
        (name,) = random.choices(list(self.kinds), weights)
        if await self.noted(name, self.kinds[name][1]) == "UNIMPLEMENTED":
            self.kinds.pop(name, None)

    async def noted(self, name: str, call: Callable[[], Awaitable[str]]) -> str:
        """Make a call, and write down what it came to."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS + MARGIN_SECONDS):
                outcome = await call()
        except TimeoutError:
            outcome = "STUCK"
            self.tally.violations.append(f"{name}: stuck for {DEADLINE_SECONDS + MARGIN_SECONDS} s")
        except WrongAnswerError as error:
            outcome = "WRONG"
            self.tally.violations.append(f"{name}: {error}")
        except grpc.aio.AioRpcError as error:
            outcome = error.code().name
            self.tally.violations.append(f"{name}: {outcome}: {error.details()}")
        self.tally.outcomes[name, outcome] += 1
        return outcome

    async def good(self) -> str:
        """Known and new texts of all lengths, in one call."""
        return await self._asked(self._questions(random.choice((1, 1, 2, 8, 24))))

    async def giant(self) -> str:
        """As long as texts may be, so nearly all of it is cut off."""
        return await self._asked([Question(self._giant)])

    async def duplicates(self) -> str:
        """The same call several times at once."""
        questions = self._questions(3)
        outcomes = await asyncio.gather(*(self._asked(questions) for _ in range(8)))
        return " ".join(sorted(set(outcomes)))

    async def count(self) -> str:
        """Tokens of texts of the pool, and of one of 1 MiB now and then."""
        domain = random.choice((pb.DOMAIN_TEXT, pb.DOMAIN_CODE))
        kind = random.choice((pb.INPUT_KIND_DOCUMENT, pb.INPUT_KIND_QUERY))
        texts = random.choices(self._pool, k=random.choice((1, 8, 64)))
        if random.random() < 0.02:
            texts.append(self._giant)
        request = pb.CountTokensRequest(inputs=texts, domain=domain, kind=kind)
        response = await self._unless_full(self.stub.CountTokens(request, timeout=DEADLINE_SECONDS))
        if response is None:
            return "RESOURCE_EXHAUSTED"
        if len(response.token_counts) != len(texts):
            raise WrongAnswerError(f"{len(response.token_counts)} counts for {len(texts)} inputs")
        for text, tokens in zip(texts, response.token_counts, strict=True):
            self._references.check_count(Question(text, domain, kind), tokens)
        return "OK"

    async def swap(self) -> str:
        """An operator exchanges the model of TEXT for itself, under the load."""
        load = model_admin_pb2.LoadModelRequest(domain=pb.DOMAIN_TEXT)
        loaded = await self.admin.LoadModel(load, timeout=DEADLINE_SECONDS)
        # The precision that it has, by its name: what the settings leave open is not the same model as the one that
        # CODE may share with it, so that another one is really loaded.
        request = model_admin_pb2.SwapModelRequest(domain=pb.DOMAIN_TEXT, precision=loaded.model.precision)
        swapped = await self.admin.SwapModel(request, timeout=DEADLINE_SECONDS)
        for name in ("name", "fingerprint", "precision", "dimension"):
            before, after = getattr(swapped.previous, name), getattr(swapped.current, name)
            if before != after:
                raise WrongAnswerError(f"a model exchanged for itself has {name} {after} instead of {before}")
        if swapped.space_changed:
            raise WrongAnswerError("a model exchanged for itself has another space")
        return "OK"

    async def cancelled(self) -> str:
        """The client leaves."""
        call = self.stub.Embed(_request(self._questions(random.choice((1, 8, 32)))), timeout=DEADLINE_SECONDS)
        await asyncio.sleep(random.uniform(0, 0.1))
        call.cancel()
        return await _left(call)

    async def expired(self) -> str:
        """The deadline is too short."""
        call = self._asked(self._questions(random.choice((1, 8, 32))), timeout=random.uniform(0.001, 0.1))
        return await _expect(call, grpc.StatusCode.DEADLINE_EXCEEDED)

    async def bad(self) -> str:
        """Requests that break the rules, each in one way."""
        text = random.choice(self._pool)
        request = random.choice(
            (
                pb.EmbedRequest(),
                pb.EmbedRequest(inputs=[text, " \n\t"]),
                pb.EmbedRequest(inputs=[text, "", text]),
                pb.EmbedRequest(inputs=[text], domain=77),  # type: ignore[arg-type]
                pb.EmbedRequest(inputs=[text], kind=77),  # type: ignore[arg-type]
                pb.EmbedRequest(inputs=[text], dimensions=7),
                pb.EmbedRequest(inputs=[text], dimensions=2**31),
                pb.EmbedRequest(inputs=[text] * 1_025),
                pb.EmbedRequest(inputs=[self._giant + "x"]),
                pb.EmbedRequest(inputs=[self._giant[: _MIB // 2]], reject_truncation=True),
                b"\xff not a message",
            )
        )
        if isinstance(request, bytes):
            codes = (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)
            return await _refused(self._raw(request, timeout=DEADLINE_SECONDS), *codes)
        return await _refused(self.stub.Embed(request, timeout=DEADLINE_SECONDS), grpc.StatusCode.INVALID_ARGUMENT)

    async def too_large(self) -> str:
        """A message beyond what the server takes."""
        request = pb.EmbedRequest(inputs=[self._giant] * 17)
        return await _refused(self.stub.Embed(request, timeout=DEADLINE_SECONDS), grpc.StatusCode.RESOURCE_EXHAUSTED)

    async def stream(self) -> str:
        """Good and bad inputs in a stream."""
        questions = [
            random.choice((Question(" "), Question(question.text, dimensions=7))) if random.random() < 0.1 else question
            for question in self._questions(random.choice((1, 10, 40)))
        ]
        answered = 0
        async for response in self._stream(questions):
            if response.id != str(answered):
                raise WrongAnswerError(f"answer {response.id!r} where {answered} was due")
            question = questions[answered]
            if (question.dimensions == 7 or question.text == " ") != response.HasField("error"):
                raise WrongAnswerError(f"a stream answered {question} with {response.WhichOneof('result')}")
            if response.HasField("error"):
                if response.error.code != grpc.StatusCode.INVALID_ARGUMENT.value[0]:
                    raise WrongAnswerError(f"a bad input of a stream got code {response.error.code}")
            else:
                self._check(question, response.embedding)
            answered += 1
        if answered != len(questions):
            raise WrongAnswerError(f"a stream of {len(questions)} inputs ended after {answered} answers")
        return "OK"

    async def abandoned_stream(self) -> str:
        """The client leaves in the middle."""
        questions, last = self._questions(40), random.randrange(20)
        async for response in (stream := self._stream(questions)):
            if int(response.id) >= last:
                break
        stream.cancel()
        return await _left(stream)

    def _stream(self, questions: Sequence[Question]) -> Any:
        async def requests() -> AsyncIterator[pb.EmbedStreamRequest]:
            for index, each in enumerate(questions):
                yield pb.EmbedStreamRequest(
                    id=str(index), input=each.text, domain=each.domain, kind=each.kind, dimensions=each.dimensions
                )

        return self.stub.EmbedStream(requests(), timeout=DEADLINE_SECONDS)

    def _questions(self, count: int) -> list[Question]:
        """Inputs for one call: equal but for the text, half of which have references."""
        domain = random.choice((pb.DOMAIN_TEXT, pb.DOMAIN_TEXT, pb.DOMAIN_CODE, pb.DOMAIN_HYBRID))
        kind = random.choice((pb.INPUT_KIND_DOCUMENT, pb.INPUT_KIND_QUERY))
        dimensions = random.choice(self._lengths)
        texts = [
            random.choice(self._pool)
            if random.random() < 0.5
            else self._texts.of_length(int(4 * 64 ** random.random())).text
            for _ in range(count)
        ]
        return [Question(text, domain, kind, dimensions) for text in texts]

    async def _asked(self, questions: Sequence[Question], timeout: float = DEADLINE_SECONDS) -> str:
        """Embed inputs that share all but the text, and check the answer. An overloaded server may say so."""
        response = await self._unless_full(self.stub.Embed(_request(questions), timeout=timeout))
        if response is None:
            return "RESOURCE_EXHAUSTED"
        if len(response.embeddings) != len(questions):
            raise WrongAnswerError(f"{len(response.embeddings)} embeddings for {len(questions)} inputs")
        for question, embedding in zip(questions, response.embeddings, strict=True):
            self._check(question, embedding)
        return "OK"

    async def _unless_full(self, call: Awaitable[_Response]) -> _Response | None:
        """The answer, or None when the server says that it has too much to do."""
        self.tally.asked += 1
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            self.tally.refused += 1
            return None

    def _check(self, question: Question, embedding: pb.Embedding) -> None:
        if self._references.check(question, embedding):
            self._references.check_count(question, embedding.token_count)
        else:
            self.tally.keep(question, embedding)


def _request(questions: Sequence[Question]) -> pb.EmbedRequest:
    first = questions[0]
    return pb.EmbedRequest(
        inputs=[question.text for question in questions],
        domain=first.domain,
        kind=first.kind,
        dimensions=first.dimensions,
    )


async def _left(call: Any) -> str:
    """What became of a call that was cancelled. Raises WrongAnswerError when it had failed before."""
    code: grpc.StatusCode = await call.code()
    if code not in _LEFT:
        raise WrongAnswerError(f"a client that left was told {code.name}: {await call.details()}")
    return code.name


async def _expect(call: Awaitable[str], *codes: grpc.StatusCode) -> str:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.code() not in codes:
            raise
        return error.code().name


async def _refused(call: Awaitable[Any], *codes: grpc.StatusCode) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() not in codes:
            raise
        return error.code().name
    raise WrongAnswerError(f"answered instead of refused with {codes[0].name}")

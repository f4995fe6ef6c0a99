"""The calls of the soak: good ones, and all the bad manners that a client can have."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from benchmarks.support.references import Question, References, WrongAnswerError
from benchmarks.support.texts import Texts
from trimem.embedding.v1 import embedding_pb2 as pb
from trimem.embedding.v1 import embedding_pb2_grpc as rpc

#: Deadline of calls that are meant to succeed, and what they may take beyond it before they count as stuck.
DEADLINE_SECONDS, MARGIN_SECONDS = 60, 5
_MIB = 1024 * 1024
_KEPT = 300


@dataclass
class Tally:
    """What happened."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Vectors of texts without a reference, to be checked when the load is over.
    fresh: list[tuple[Question, pb.Embedding]] = field(default_factory=list)
    fresh_seen: int = 0
    violations: list[str] = field(default_factory=list)

    def keep(self, question: Question, embedding: pb.Embedding) -> None:
        """Keep a fair sample of the texts without a reference."""
        self.fresh_seen += 1
        if len(self.fresh) < _KEPT:
            self.fresh.append((question, embedding))
        elif (place := random.randrange(self.fresh_seen)) < _KEPT:
            self.fresh[place] = (question, embedding)


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
        try:
            async with asyncio.timeout(DEADLINE_SECONDS + MARGIN_SECONDS):
                outcome = await self.kinds[name][1]()
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
        if outcome == "UNIMPLEMENTED":
            self.kinds.pop(name, None)

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

    async def cancelled(self) -> str:
        """The client leaves."""
        call = self.stub.Embed(_request(self._questions(random.choice((1, 8, 32)))), timeout=DEADLINE_SECONDS)
        await asyncio.sleep(random.uniform(0, 0.1))
        call.cancel()
        return (await call.code()).name

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
        code: grpc.StatusCode = await stream.code()
        return code.name

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
        try:
            response = await self.stub.Embed(_request(questions), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                return "RESOURCE_EXHAUSTED"
            raise
        if len(response.embeddings) != len(questions):
            raise WrongAnswerError(f"{len(response.embeddings)} embeddings for {len(questions)} inputs")
        for question, embedding in zip(questions, response.embeddings, strict=True):
            self._check(question, embedding)
        return "OK"

    def _check(self, question: Question, embedding: pb.Embedding) -> None:
        if not self._references.check(question, embedding):
            self.tally.keep(question, embedding)


def _request(questions: Sequence[Question]) -> pb.EmbedRequest:
    first = questions[0]
    return pb.EmbedRequest(
        inputs=[question.text for question in questions],
        domain=first.domain,
        kind=first.kind,
        dimensions=first.dimensions,
    )


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

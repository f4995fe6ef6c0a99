"""Right answers, made one text at a time before anybody is in a hurry, and the check against them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from trimem.embedding.v1 import embedding_pb2 as pb
from trimem.embedding.v1 import embedding_pb2_grpc as rpc

#: Cosine of an answer with its reference. What is below is another vector.
SAME = 0.999
#: Texts of the pool must be less alike than this, or a mix-up would not be noticed.
_DISTINCT = 0.99
_DOMAINS = {pb.DOMAIN_TEXT: ("text",), pb.DOMAIN_CODE: ("code",), pb.DOMAIN_HYBRID: ("text", "code")}
_KINDS = (pb.INPUT_KIND_DOCUMENT, pb.INPUT_KIND_QUERY)

Vector = NDArray[np.float64]


class WrongAnswerError(Exception):
    """An answer that is not the one that was asked for."""


@dataclass(frozen=True, slots=True)
class Question:
    """One input and what decides its vectors."""

    text: str
    domain: "pb.Domain.ValueType" = pb.DOMAIN_TEXT
    kind: "pb.InputKind.ValueType" = pb.INPUT_KIND_DOCUMENT
    dimensions: int = 0


@dataclass
class References:
    """Vectors, and counts of tokens, by what they are of."""

    known: dict[tuple[str, str, int, int], Vector] = field(default_factory=dict)
    #: Tokens of a text by the model that counts them and the kind of input.
    counts: dict[tuple[str, str, int], int] = field(default_factory=dict)
    #: The smallest cosine met, and how many vectors were compared.
    worst: float = 1.0
    checked: int = 0

    async def learn(self, stub: "rpc.EmbeddingServiceAsyncStub", texts: Iterable[str], lengths: Sequence[int]) -> None:
        """Ask an embedder that has nothing else to do, one text a call."""
        for text, kind in product(texts, _KINDS):
            for dimensions in lengths:
                await self.learn_one(stub, Question(text, pb.DOMAIN_HYBRID, kind, dimensions))
            for domain in (pb.DOMAIN_TEXT, pb.DOMAIN_CODE):
                await self._learn_count(stub, Question(text, domain, kind))

    async def learn_one(self, stub: "rpc.EmbeddingServiceAsyncStub", question: Question) -> None:
        """Ask for the vectors of one input."""
        request = pb.EmbedRequest(
            inputs=[question.text], domain=question.domain, kind=question.kind, dimensions=question.dimensions
        )
        (embedding,) = (await stub.Embed(request, timeout=60)).embeddings
        for name in _DOMAINS[question.domain]:
            self.known[question.text, name, question.kind, question.dimensions] = _vector(embedding, name)

    def require_distinct(self) -> None:
        """Raise WrongAnswerError when two texts have vectors so alike that a mix-up would pass."""
        for domain, kind in product(("text", "code"), _KINDS):
            rows = np.array([vector for key, vector in self.known.items() if key[1:] == (domain, kind, 0)])
            likeness = rows @ rows.T - 2 * np.eye(len(rows))
            if likeness.max(initial=-1.0) > _DISTINCT:
                raise WrongAnswerError(f"the {domain} model tells texts of the pool hardly apart: {likeness.max():.4f}")

    def check(self, question: Question, embedding: pb.Embedding) -> bool:
        """Compare. Raises WrongAnswerError; False when there is no reference, and only the form was checked."""
        known = False
        for name in ("text", "code"):
            vector = _vector(embedding, name)
            if name not in _DOMAINS[question.domain]:
                if len(vector):
                    raise WrongAnswerError(f"a {name} vector that nobody asked for")
                continue
            norm = float(np.linalg.norm(vector))
            if not abs(norm - 1) < 1e-3:
                raise WrongAnswerError(f"a {name} vector of {len(vector)} numbers and length {norm}")
            reference = self.known.get((question.text, name, question.kind, question.dimensions))
            if reference is not None:
                self._compare(question, name, reference, vector)
                known = True
        return known

    def check_count(self, question: Question, count: int) -> None:
        """Compare the tokens that an embedder has counted in a text of the pool. Raises WrongAnswerError."""
        # Vectors of both models come with the larger of their counts.
        expected = max(self.counts[question.text, name, question.kind] for name in _DOMAINS[question.domain])
        if count != expected:
            raise WrongAnswerError(
                f"{count} tokens instead of {expected} in {question.text[:40]!r} ({len(question.text)} characters)"
            )

    async def _learn_count(self, stub: "rpc.EmbeddingServiceAsyncStub", question: Question) -> None:
        # By way of a vector: the call that counts alone is then checked against something other than itself.
        request = pb.EmbedRequest(inputs=[question.text], domain=question.domain, kind=question.kind)
        (embedding,) = (await stub.Embed(request, timeout=60)).embeddings
        for name in _DOMAINS[question.domain]:
            self.counts[question.text, name, question.kind] = embedding.token_count

    def _compare(self, question: Question, name: str, reference: Vector, vector: Vector) -> None:
        if vector.shape != reference.shape:
            raise WrongAnswerError(f"{len(vector)} numbers instead of {len(reference)}")
        cosine = float(reference @ vector / np.linalg.norm(reference) / np.linalg.norm(vector))
        self.worst = min(self.worst, cosine)
        self.checked += 1
        if not cosine >= SAME:
            raise WrongAnswerError(
                f"the {name} vector of {question.text[:40]!r} ({len(question.text)} characters) has cosine {cosine:.5f}"
            )


def _vector(embedding: pb.Embedding, name: str) -> Vector:
    return np.array(getattr(embedding, name).values, dtype=np.float64)

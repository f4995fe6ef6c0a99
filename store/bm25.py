"""BM25: how much a word of the query says about an event that has it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: How soon more of the same word counts no more, and how much a long text is held against it: the usual values.
K1 = 1.2
B = 0.75


@dataclass(frozen=True, slots=True)
class Weights:
    """The words of a query that some event has, rarest first, and what all events are like."""

    terms: Sequence[int]
    #: Inverse document frequency of each.
    idf: Sequence[float]
    #: Events that have each.
    documents: Sequence[int]
    #: Words of an event, on average.
    average_length: float
    #: What no event's score can exceed: that of one which has every word of the query any number of times. Words that
    #: no event has count, too: what is found without them is found by a part of the question.
    most: float

    def score(self, counts: Mapping[int, int], length: int) -> float:
        """The score of an event with these words."""
        return sum(
            idf * counts[term] * (K1 + 1) / (counts[term] + K1 * (1 - B + B * length / self.average_length))
            for term, idf in zip(self.terms, self.idf, strict=True)
            if term in counts
        )

    def beyond(self, budget: int) -> tuple[Sequence[int], float]:
        """The rarest terms that together are in at most `budget` events, and the most that all others may score.

        The rarest one is always among them.
        """
        looked_at = 0
        for place, documents in enumerate(self.documents):
            looked_at += documents
            if place and looked_at > budget:
                return self.terms[:place], sum(self.idf[place:]) * (K1 + 1)
        return self.terms, 0.0


def weights(documents_by_term: Mapping[int, int], documents: int, length: int) -> Weights:
    """What the words of a query weigh, of which `documents_by_term` says how many of all `documents` have each.

    `length` is that of all events together, in words.
    """
    containing = sorted((max(0, count), term) for term, count in documents_by_term.items())
    idf = [math.log(1 + (max(0, documents - count) + 0.5) / (count + 0.5)) for count, _ in containing]
    unknown = sum(count == 0 for count, _ in containing)
    return Weights(
        terms=[term for _, term in containing[unknown:]],
        idf=idf[unknown:],
        documents=[count for count, _ in containing[unknown:]],
        average_length=max(1.0, length / documents) if documents > 0 else 1.0,
        most=sum(idf) * (K1 + 1),
    )

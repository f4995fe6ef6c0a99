"""What the soak has seen, and what of it must not be."""

import random
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.support.references import Question
from trimem.embedding.v1 import embedding_pb2 as pb

#: Part of the calls that may be turned away because too much waits. An embedder that turns away more than that keeps
#: itself well by not working.
MOST_REFUSED = 0.2
#: New texts that are checked when the load is over.
_KEPT = 300


@dataclass
class Tally:
    """What happened."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Vectors of texts without a reference, to be checked when the load is over.
    fresh: list[tuple[Question, pb.Embedding]] = field(default_factory=list)
    fresh_seen: int = 0
    #: Calls that ought to have been answered, and those of them that were turned away for want of room.
    asked: int = 0
    refused: int = 0
    violations: list[str] = field(default_factory=list)

    def keep(self, question: Question, embedding: pb.Embedding) -> None:
        """Keep a fair sample of the texts without a reference."""
        self.fresh_seen += 1
        if len(self.fresh) < _KEPT:
            self.fresh.append((question, embedding))
        elif (place := random.randrange(self.fresh_seen)) < _KEPT:
            self.fresh[place] = (question, embedding)

    def judge_refusals(self) -> None:
        """Call it a violation when too many calls were turned away. To be asked when the load is over."""
        if self.refused > MOST_REFUSED * self.asked:
            self.violations.append(
                f"{self.refused} of {self.asked} calls were refused with RESOURCE_EXHAUSTED, "
                f"which is more than {MOST_REFUSED:.0%}"
            )

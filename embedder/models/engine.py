"""What runs a model: the interface, and the data that crosses it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: Shape [n, d], one row an input.
Vectors: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tokenized:
    """One input as the model reads it."""

    #: Token ids, special tokens included, cut to what the model reads.
    ids: Sequence[int]
    #: Tokens before the cut, special tokens included.
    count: int

    @property
    def truncated(self) -> bool:
        """Whether the model reads only the beginning of the input."""
        return self.count > len(self.ids)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine knows about itself once its model is in memory."""

    #: "torch" or "mock".
    name: str
    #: "cpu", "cuda" or "mps".
    device: str
    #: Number format of the weights: "fp32".
    precision: str
    #: Length of the vectors.
    dimension: int
    #: Tokens that the model reads of one input, special tokens included.
    max_tokens: int
    #: Bytes of weights in memory.
    weight_bytes: int


class Engine(Protocol):
    """A model in memory. Not safe for threads: its owner calls it from one thread at a time.

    Counting comes apart from running, so that a caller can refuse, sort and batch inputs by their length.
    """

    @property
    def info(self) -> EngineInfo:
        """What this is."""
        ...

    def tokenize(self, texts: Sequence[str]) -> list[Tokenized]:
        """Count and cut texts, prefixes already in place. Any string is accepted."""
        ...

    def forward(self, inputs: Sequence[Tokenized]) -> Vectors:
        """Run the model on one or more inputs: shape [n, dimension], in input order, of any length (L2 norm)."""
        ...

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

    #: "torch", "onnx" or "mock".
    name: str
    #: "cpu", "cuda" or "mps".
    device: str
    #: Number format of the weights: "fp32", "bf16", "fp16" or "int8".
    precision: str
    #: Length of the vectors.
    dimension: int
    #: Tokens that the model reads of one input, special tokens included.
    max_tokens: int
    #: Bytes of weights in memory.
    weight_bytes: int
    #: Padded tokens that go through the model together at best: more is not faster, only longer to wait for.
    token_budget: int = 512
    #: Batches that it computes at once, in as many threads, when they come so.
    at_once: int = 1


class Engine(Protocol):
    """A model in memory.

    Counting comes apart from running, so that a caller can refuse, sort and batch inputs by their length.
    """

    @property
    def info(self) -> EngineInfo:
        """What this is."""
        ...

    def tokenize(self, texts: Sequence[str]) -> list[Tokenized]:
        """Count and cut texts, prefixes already in place. Any string is accepted. Safe for threads."""
        ...

    def forward(self, inputs: Sequence[Tokenized], alone: bool = True) -> Vectors:
        """Run the model on one batch, padded to its longest: shape [n, dimension], in input order, of any L2 norm.

        Safe for `info.at_once` threads; those that are not `alone` compute without the help of others.
        """
        ...

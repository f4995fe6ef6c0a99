"""What a torch model is made from, and what it is made of once it is in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from embedder.models.engine import Tokenized, Vectors
from embedder.models.tokens import PrivateTokenizer

#: What a model may take, in the order in which it is handed over; the last only if its tokenizer makes it.
INPUTS = ("input_ids", "attention_mask", "token_type_ids")

#: What engines are tried with: padded, not padded, one input, several, short and longer than most.
EXAMPLES = (
    ("def first(probe): return probe", "a probe"),
    ("probe",),
    ("one probe", "another probe", "and three"),
    ("a longer probe " * 40, "probe", "a probe " * 9),
)


@dataclass(frozen=True, slots=True)
class TorchSource:
    """A checkpoint, and how it is to be read."""

    directory: Path
    #: What errors call the model.
    name: str
    #: "fp32", "bf16" or "fp16".
    precision: str
    #: How much the model reads at most, in tokens, if its files allow more or do not say.
    max_tokens: int | None = None
    #: How a model without modules.json pools.
    pooling: str | None = None
    #: Whether Python files in the directory may be run.
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class TorchModel:
    """A model in memory."""

    #: Takes tensors of shape [n, longest], named by `inputs`, and gives vectors of shape [n, d] in float32.
    run: Callable[..., torch.Tensor]
    tokenizer: PrivateTokenizer
    #: Those of INPUTS that it takes.
    inputs: tuple[str, ...]
    #: Bytes of weights.
    weight_bytes: int
    device: str = "cpu"

    def __call__(self, batch: Sequence[Tokenized]) -> Vectors:
        """Vectors of shape [n, d], of any L2 norm."""
        with torch.inference_mode():
            vectors: Vectors = self.run(*self.tensors(batch)).cpu().numpy()
        return vectors

    def tensors(self, batch: Sequence[Tokenized]) -> tuple[torch.Tensor, ...]:
        """What `run` takes."""
        features = self.tokenizer.pad([item.ids for item in batch], self.inputs)
        return tuple(torch.from_numpy(features[name]).to(self.device) for name in self.inputs)

"""Runs sentence-transformers models with torch. Importing this module takes seconds and hundreds of megabytes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from embedder.models.batches import plan_batches
from embedder.models.engine import EngineInfo, Tokenized, Vectors
from embedder.models.errors import ModelUnusableError
from embedder.models.torch_loading import load_modules
from embedder.models.torch_tokens import PrivateTokenizer

#: Tokens that go through the model together. On a CPU more is slower, because less of it stays in the caches.
_TOKEN_BUDGET = {"cpu": 2_048, "cuda": 32_768, "mps": 8_192}


class TorchEngine:
    """A sentence-transformers model in float32. Never runs code that comes with a model.

    Takes the tokens through the model's modules itself: `SentenceTransformer.encode` sorts by characters, batches by
    count of inputs, and has a cost for each call that is larger than that of one short text.
    """

    def __init__(self, directory: Path, *, name: str, device: str) -> None:
        """Load the model in `directory`. `name` is what errors call it; `device` may be "auto".

        Raises ModelUnusableError when the files do not make a whole model, or the machine lacks the device.
        """
        device = _available(device, name)
        transformer, modules = load_modules(directory, name=name)
        self._tokenizer = PrivateTokenizer(transformer, name=name)
        self._model = SentenceTransformer(modules=[*modules], device=device, local_files_only=True)
        self._model.eval()
        self._device = device
        self._info = EngineInfo(
            name="torch",
            device=device,
            precision="fp32",
            dimension=self.forward(self.tokenize(["probe"])).shape[1],
            max_tokens=self._tokenizer.max_tokens,
            weight_bytes=sum(parameter.nbytes for parameter in self._model.parameters()),
        )

    @property
    def info(self) -> EngineInfo:
        """What this is."""
        return self._info

    def tokenize(self, texts: Sequence[str]) -> list[Tokenized]:
        """Count and cut texts."""
        return self._tokenizer(texts)

    def forward(self, inputs: Sequence[Tokenized]) -> Vectors:
        """Run the model: shape [n, dimension]."""
        lengths = [len(item.ids) for item in inputs]
        batches = plan_batches(lengths, token_budget=_TOKEN_BUDGET[self._device])
        vectors = np.concatenate([self._run([inputs[index].ids for index in batch]) for batch in batches])
        order = np.concatenate([np.array(batch) for batch in batches])
        restored = np.empty_like(vectors)
        restored[order] = vectors
        return restored

    def _run(self, ids: Sequence[Sequence[int]]) -> Vectors:
        features = self._tokenizer.pad(ids)
        with torch.inference_mode():
            output = self._model({key: value.to(self._device) for key, value in features.items()})
            vectors: Vectors = output["sentence_embedding"].to("cpu", torch.float32).numpy()
        return vectors


def _available(device: str, name: str) -> str:
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(candidate for candidate, found in present.items() if found)
    if not present[device]:
        raise ModelUnusableError(f"model {name!r}: EMBEDDING_DEVICE={device}, but torch finds no such device here")
    return device

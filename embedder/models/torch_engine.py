"""Runs sentence-transformers models with torch. Importing this module takes a second and 200 megabytes."""

from collections.abc import Sequence
from pathlib import Path

import structlog
import torch

from embedder.device import workers_of
from embedder.models.engine import EngineInfo, Tokenized, Vectors
from embedder.models.errors import ModelUnusableError
from embedder.models.precision import fitting
from embedder.models.torch_aside import read_aside
from embedder.models.torch_packing import pack
from embedder.models.torch_source import TorchModel, TorchSource

#: One a core. Asked for now, because what a thread sets is what later threads begin with.
_THREADS = torch.get_num_threads()

#: Tokens that go through the model together. On a CPU more is not faster (docs/adr/0006), only longer to wait for.
_TOKEN_BUDGET = {"cpu": 512, "cuda": 32_768, "mps": 8_192}


class TorchEngine:
    """A sentence-transformers model. Never runs code that comes with a model, unless its operator says so.

    Takes tokens through the model's modules without `SentenceTransformer.encode`, which sorts by characters, batches by
    count of inputs, and has a cost for each call that is larger than that of one short text.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str,
        device: str,
        precision: str = "auto",
        threads: int = 0,
        max_tokens: int | None = None,
        pooling: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Load the model in `directory`. `name` is what errors call it; `device` and `precision` may be "auto".

        `threads` is how many compute, 0 meaning one a core. `max_tokens` is how much the model reads at most, if its
        files allow more or do not say; `pooling` how it pools if they do not say.

        Raises ModelUnusableError when the files do not make a whole model, or the machine lacks the device.
        """
        self._threads = threads or _THREADS
        torch.set_num_threads(self._threads)
        device = _available(device, name)
        precision = _suitable(precision, device, name)
        self._at_once = workers_of(self._threads) if device == "cpu" else 1
        self._model = _load(TorchSource(directory, name, precision, max_tokens, pooling, trust_remote_code), device)
        self._info = EngineInfo(
            name="torch",
            device=device,
            precision=precision,
            dimension=self.forward(self.tokenize(["probe"])).shape[1],
            max_tokens=self._model.tokenizer.max_tokens,
            weight_bytes=self._model.weight_bytes,
            token_budget=_TOKEN_BUDGET[device],
            at_once=self._at_once,
        )

    @property
    def info(self) -> EngineInfo:
        """What this is."""
        return self._info

    def tokenize(self, texts: Sequence[str]) -> list[Tokenized]:
        """Count and cut texts."""
        return self._model.tokenizer(texts)

    def forward(self, inputs: Sequence[Tokenized], alone: bool = True) -> Vectors:
        """Run the model on one batch: shape [n, dimension]."""
        if self._at_once > 1:
            torch.set_num_threads(self._threads if alone else 1)  # of this thread of Python: OpenMP has it so
        return self._model(inputs)


def _load(source: TorchSource, device: str) -> TorchModel:
    if device == "cpu" and (model := read_aside(source)):
        return model
    from embedder.models.torch_reading import read_model  # seconds and hundreds of megabytes

    model = read_model(source, device)
    if isinstance(model.run, torch.nn.Module):
        pack(model.run)
    return model


def _available(device: str, name: str) -> str:
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(candidate for candidate, found in present.items() if found)
    if not present[device]:
        raise ModelUnusableError(f"model {name!r}: EMBEDDING_DEVICE={device}, but torch finds no such device here")
    return device


def _suitable(precision: str, device: str, name: str) -> str:
    if precision == "int8":
        raise ModelUnusableError(f"model {name!r}: int8 runs with the onnx engine; set the engine to auto or onnx")
    if precision == "fp16" and device == "cpu":
        structlog.get_logger("models").warning(
            "fp16 on a CPU is several times slower than fp32: use auto, or bf16", model=name
        )
    return fitting(precision, engine="torch", device=device)

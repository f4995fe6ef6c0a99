"""Runs sentence-transformers models with torch. Importing this module takes seconds and hundreds of megabytes."""

from collections.abc import Sequence
from pathlib import Path

import structlog
import torch

from embedder.models.engine import EngineInfo, Tokenized, Vectors
from embedder.models.errors import ModelUnusableError
from embedder.models.precision import fitting
from embedder.models.torch_loading import load_modules
from embedder.models.torch_packing import pack_linears
from embedder.models.torch_tokens import tokenizer_of
from embedder.models.torch_tracing import Run, WholeModel, traced

#: Tokens that go through the model together. On a CPU more is not faster (docs/adr/0006), only longer to wait for.
_TOKEN_BUDGET = {"cpu": 512, "cuda": 32_768, "mps": 8_192}

#: What a model may take, in the order in which it is handed over.
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_ALWAYS = _INPUTS[:2]

#: What a traced model is tried with: padded, not padded, one input, several, short and longer than most.
_EXAMPLES = (
    ("def first(probe): return probe", "a probe"),
    ("probe",),
    ("one probe", "another probe", "and three"),
    ("a longer probe " * 40, "probe", "a probe " * 9),
)

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine:
    """A sentence-transformers model. Never runs code that comes with a model, unless its operator says so.

    Takes the tokens through the model's modules itself: `SentenceTransformer.encode` sorts by characters, batches by
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
        if threads:
            torch.set_num_threads(threads)  # of the whole process: models take turns
        device = _available(device, name)
        precision = _suitable(precision, device, name)
        transformer, modules = load_modules(
            directory, name=name, dtype=_DTYPES[precision], pooling=pooling, trust_remote_code=trust_remote_code
        )
        self._tokenizer = tokenizer_of(transformer, name=name, at_most=max_tokens)
        read = getattr(transformer.tokenizer, "model_input_names", ())
        self._names = tuple(key for key in _INPUTS if key in _ALWAYS or key in read)
        model = WholeModel(modules).to(device).eval()
        weight_bytes = sum(parameter.nbytes for parameter in model.parameters())
        self._device = device
        self._run: Run = model
        if device == "cpu":
            if precision == "bf16":
                pack_linears(model)
            self._run = traced(model, [self._features(self.tokenize(texts)) for texts in _EXAMPLES], name=name)
        self._info = EngineInfo(
            name="torch",
            device=device,
            precision=precision,
            dimension=self.forward(self.tokenize(["probe"])).shape[1],
            max_tokens=self._tokenizer.max_tokens,
            weight_bytes=weight_bytes,
            token_budget=_TOKEN_BUDGET[device],
        )

    @property
    def info(self) -> EngineInfo:
        """What this is."""
        return self._info

    def tokenize(self, texts: Sequence[str]) -> list[Tokenized]:
        """Count and cut texts."""
        return self._tokenizer(texts)

    def forward(self, inputs: Sequence[Tokenized]) -> Vectors:
        """Run the model on one batch: shape [n, dimension]."""
        with torch.inference_mode():
            vectors: Vectors = self._run(*self._features(inputs)).cpu().numpy()
        return vectors

    def _features(self, inputs: Sequence[Tokenized]) -> tuple[torch.Tensor, ...]:
        features = self._tokenizer.pad([item.ids for item in inputs], self._names)
        return tuple(torch.from_numpy(features[name]).to(self._device) for name in self._names)


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

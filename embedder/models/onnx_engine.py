"""Runs models with onnxruntime on the CPU, in a process that needs no torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from embedder.models.checkpoint_files import onnx_data, read_config, transformer_folder
from embedder.models.engine import EngineInfo, Tokenized, Vectors
from embedder.models.errors import ModelUnusableError
from embedder.models.onnx_files import QUANTISED_KEY, graph_file
from embedder.models.onnx_pooling import Pool, read_pooling
from embedder.models.token_files import read_tokenizer

#: Padded tokens that go through the model together. More is not faster on a CPU, and costs memory.
_TOKEN_BUDGET = 512

_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})
#: Names that exporters give to what we look for, best first.
_POOLED = "sentence_embedding"
_TOKENS = ("last_hidden_state", "token_embeddings")
_ERRORS_ONLY = 3


class OnnxEngine:
    """A model as an ONNX file, in float32 or in int8. Reads no code, and no weights but those of that file."""

    def __init__(
        self,
        directory: Path,
        *,
        name: str,
        precision: str = "auto",
        threads: int | None = None,
        max_tokens: int | None = None,
        onnx_file: str | None = None,
        pooling: str | None = None,
    ) -> None:
        """Load the model in `directory`. `name` is what errors call it.

        `precision` is "fp32", "int8", or "auto": what is there, fp32 first. `threads` to compute with, by default one
        a core. `max_tokens` is a limit beside those in its files, `onnx_file` where the file in full precision is, if
        not in the usual place, `pooling` how a model without modules.json pools.
        Raises ModelUnusableError when the files do not make a whole model, or one that nobody knows how to feed.
        """
        path, precision = graph_file(directory, name=name, precision=precision, onnx_file=onnx_file)
        self._name = name
        self._tokenizer = read_tokenizer(directory, name=name, at_most=max_tokens)
        self._session = _open(path, threads or 0, name)
        _require_ours(self._session, precision, path, name)
        self._inputs = _known_inputs(self._session, name)
        self._output, self._pool = self._find_output(directory, pooling)
        dimension = self._probe(directory)
        self._info = EngineInfo(
            name="onnx",
            device="cpu",
            precision=precision,
            dimension=dimension,
            max_tokens=self._tokenizer.max_tokens,
            weight_bytes=sum(file.stat().st_size for file in (path, *onnx_data(path))),
            token_budget=_TOKEN_BUDGET,
        )

    @property
    def info(self) -> EngineInfo:
        """What this is."""
        return self._info

    def tokenize(self, texts: Sequence[str]) -> list[Tokenized]:
        """Count and cut texts."""
        return self._tokenizer(texts)

    def forward(self, inputs: Sequence[Tokenized], alone: bool = True) -> Vectors:  # noqa: ARG002 - has its own threads
        """Run the model on one batch: shape [n, dimension]."""
        names = self._inputs if self._pool is None else self._inputs | {"attention_mask"}
        features = self._tokenizer.pad([item.ids for item in inputs], names)
        fed = {name: features[name] for name in self._inputs}
        output = self._session.run([self._output], fed)[0]
        vectors: Vectors = np.asarray(output, dtype=np.float32)
        return vectors if self._pool is None else self._pool(vectors, features["attention_mask"])

    def _find_output(self, directory: Path, pooling: str | None) -> tuple[str, Pool | None]:
        ranks = {output.name: len(output.shape) for output in self._session.get_outputs()}
        if _POOLED in ranks:
            return _POOLED, None
        of_tokens = [*(name for name in _TOKENS if name in ranks), *(name for name, rank in ranks.items() if rank == 3)]
        if not of_tokens:
            raise ModelUnusableError(
                f"model {self._name!r}: its ONNX file gives {', '.join(ranks)}: neither {_POOLED} nor vectors of tokens"
            )
        return of_tokens[0], read_pooling(directory, name=self._name, pooling=pooling)

    def _probe(self, directory: Path) -> int:
        try:
            vectors = self.forward(self.tokenize(["probe", "another, longer probe"]))
        except Exception as error:  # onnxruntime has a dozen, without a common base
            raise ModelUnusableError(f"model {self._name!r}: its ONNX file does not run: {_first(error)}") from error
        if vectors.ndim != 2 or not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
            raise ModelUnusableError(f"model {self._name!r}: makes vectors that are zero, NaN or infinite")
        if self._pool is not None:
            self._require_width(directory, vectors.shape[1])
        return int(vectors.shape[1])

    def _require_width(self, directory: Path, width: int) -> None:
        described = read_config(transformer_folder(directory) / "config.json")
        hidden = described.get("hidden_size") or described.get("n_embd") or described.get("dim")
        if hidden is not None and hidden != width:
            raise ModelUnusableError(
                f"model {self._name!r}: its ONNX file makes vectors of length {width}, config.json says {hidden}"
            )


def _open(path: Path, threads: int, name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Two models share the cores: threads of one that spin while they wait for work take them from the other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Kept for every shape that ever came by, and no two batches have the same.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen, without a common base
        raise ModelUnusableError(
            f"model {name!r}: {path.name} cannot be loaded, half-downloaded? {_first(error)}"
        ) from error


def _require_ours(session: onnxruntime.InferenceSession, precision: str, path: Path, name: str) -> None:
    """The int8 files of others were made in ways that nobody measured, and their vectors are not in our space."""
    ours = QUANTISED_KEY in session.get_modelmeta().custom_metadata_map
    if precision == "int8" and not ours:
        raise ModelUnusableError(f"model {name!r}: {path.name} was not made by `python -m embedder export --int8`")
    if precision == "fp32" and ours:
        raise ModelUnusableError(f"model {name!r}: {path.name} is an int8 variant, where fp32 should be")


def _known_inputs(session: onnxruntime.InferenceSession, name: str) -> frozenset[str]:
    inputs = frozenset(each.name for each in session.get_inputs())
    if unknown := inputs - _INPUTS:
        raise ModelUnusableError(f"model {name!r}: its ONNX file wants {', '.join(sorted(unknown))}, which is unknown")
    return inputs


def _first(error: Exception) -> str:
    """The first line of an error: onnxruntime appends its own source files."""
    return str(error).strip().partition("\n")[0][:300]

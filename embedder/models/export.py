"""Turns a model into a directory that the onnx engine runs: from torch to ONNX, and from ONNX to int8.

Needs the packages onnx and, for a torch model, onnxscript. Meant for a process of its own: it loads what it needs.
"""

import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from embedder.models.checkpoint_files import (
    find_onnx,
    onnx_data,
    read_config,
    torch_weights,
    transformer_folder,
)
from embedder.models.engine import Engine, Vectors
from embedder.models.errors import ModelUnusableError
from embedder.models.fingerprint import RECORD, content_digest
from embedder.models.onnx_engine import OnnxEngine
from embedder.models.onnx_files import graph_file, int8_name
from embedder.models.quantise import quantise
from embedder.models.space import cosines

#: Cosine with the original below which an export is refused: float32 differs by rounding only.
_ALIKE = {"fp32": 0.999, "int8": 0.95}
_GRAPH = "onnx/model.onnx"

#: Short, long, cut off, and in several scripts: shapes that a graph traced on one of them must run, too.
_TEXTS = (
    "a",
    "How do I make sure a file gets closed even if something fails?",
    "Ünïcödé, 日本語のテキスト and שלום",
    "def f(x: int) -> int:\n    return x + 1\n",
    "the quick brown fox jumps over the lazy dog " * 12,
    "medium " * 600,
)


@dataclass(frozen=True, slots=True)
class Source:
    """A model to export, and what the catalogue says about it beyond its files."""

    directory: Path
    #: What errors call it.
    name: str
    pooling: str | None = None
    onnx_file: str | None = None
    max_tokens: int | None = None
    trust_remote_code: bool = False

    @property
    def from_torch(self) -> bool:
        """Whether torch makes the vectors that an export is compared with."""
        return bool(torch_weights(transformer_folder(self.directory)))


def export(source: Source, out: Path, *, int8: bool) -> None:
    """Write a model to the new directory `out`, which is complete once it is there.

    Without `int8` a torch model goes to onnx/model.onnx; with it a torch or an ONNX model goes to
    onnx/model_int8.onnx. The vectors are compared with those of the original, and `trimem.json` says that they are
    of its space. Raises ModelUnusableError when the model does not load, or comes out different.
    """
    name, directory, onnx_file = source.name, source.directory, source.onnx_file
    if not source.from_torch and (find_onnx(directory, onnx_file) is None or not int8):
        complaint = (
            "is an ONNX model already" if find_onnx(directory, onnx_file) else "has no weights in full precision"
        )
        raise ModelUnusableError(f"model {name!r}: {complaint}")
    log = structlog.get_logger("export")
    with _beside(out, name) as draft:
        worst = _export(source, draft, int8=int8)
        log.info("exported", model=name, directory=str(out), int8=int8, worst_cosine=round(worst, 5))


def _export(source: Source, draft: Path, *, int8: bool) -> float:
    name = source.name
    log = structlog.get_logger("export")
    log.info("reading", model=name)
    engine_name = "torch" if source.from_torch else "onnx"
    content = content_digest(source.directory, engine=engine_name, pooling=source.pooling, onnx_file=source.onnx_file)
    _copy_descriptions(source.directory, draft, source.pooling)
    original = _torch_original(source, draft) if source.from_torch else _onnx_original(source)
    # What the catalogue knew travels with the export.
    _rewrite(transformer_folder(draft) / "sentence_bert_config.json", max_seq_length=original.info.max_tokens)
    expected = _try(original)
    del original
    if int8:
        log.info("quantising", model=name)
        _quantise(source, draft)
    log.info("comparing with the original", model=name)
    precision = "int8" if int8 else "fp32"
    worst = _compare(_try(OnnxEngine(draft, name=name, precision=precision)), expected, _ALIKE[precision], name)
    made_from = read_config(source.directory / RECORD).get("source", name)
    _rewrite(draft / RECORD, content=content, source=made_from)
    return worst


@contextmanager
def _beside(out: Path, name: str) -> Iterator[Path]:
    """A directory that becomes `out` when all goes well, and vanishes otherwise."""
    if out.exists():
        raise ModelUnusableError(f"model {name!r}: {out} is already there")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield draft
        for path in (draft, *draft.rglob("*")):  # some were made for their owner only
            path.chmod(0o755 if path.is_dir() else 0o644)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _copy_descriptions(directory: Path, draft: Path, pooling: str | None) -> None:
    """Tokenizer and configurations, where the engine looks for them."""
    listed = directory / "modules.json"
    modules = json.loads(listed.read_text("utf-8")) if listed.is_file() else []
    for folder in {directory, *(directory / module["path"] for module in modules)}:
        target = draft / folder.relative_to(directory)
        target.mkdir(parents=True, exist_ok=True)
        for path in (*folder.glob("*.json"), *folder.glob("vocab.txt")):
            if not path.name.endswith(".index.json"):
                shutil.copyfile(path, target / path.name)
    if pooling and not modules:
        kinds = {"": "Transformer", "1_Pooling": "Pooling"}
        types = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
        (draft / "modules.json").write_text(json.dumps(types, indent=2), "utf-8")
        (draft / "1_Pooling").mkdir()
        (draft / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": pooling}), "utf-8")


def _torch_original(source: Source, draft: Path) -> Engine:
    """Trace the model into the draft's onnx/model.onnx. Returns what runs the original."""
    from embedder.models.torch_engine import TorchEngine
    from embedder.models.torch_export import trace

    structlog.get_logger("export").info("tracing", model=source.name)
    (draft / _GRAPH).parent.mkdir()
    # The exporter and the libraries below it warn of their own internals.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace(
            source.directory,
            draft / _GRAPH,
            tokenizer=transformer_folder(draft) / "tokenizer.json",
            name=source.name,
            pooling=source.pooling,
            trust_remote_code=source.trust_remote_code,
        )
        return TorchEngine(
            source.directory,
            name=source.name,
            device="cpu",
            precision="fp32",
            max_tokens=source.max_tokens,
            pooling=source.pooling,
            trust_remote_code=source.trust_remote_code,
        )


def _onnx_original(source: Source) -> Engine:
    return OnnxEngine(
        source.directory,
        name=source.name,
        precision="fp32",
        max_tokens=source.max_tokens,
        onnx_file=source.onnx_file,
        pooling=source.pooling,
    )


def _quantise(source: Source, draft: Path) -> None:
    whole, _ = graph_file(
        draft if source.from_torch else source.directory,
        name=source.name,
        precision="fp32",
        onnx_file=None if source.from_torch else source.onnx_file,
    )
    small = draft / int8_name()
    small.parent.mkdir(exist_ok=True)
    quantise(whole, small, name=source.name)
    if source.from_torch:
        for path in (whole, *onnx_data(whole)):
            path.unlink()


def _try(engine: Engine) -> tuple[list[list[int]], Vectors]:
    """Ids and vectors of the texts, the vectors first in one batch and then each alone."""
    inputs = engine.tokenize(_TEXTS)
    together = engine.forward(inputs)
    return [list(item.ids) for item in inputs], np.concatenate([together, *(engine.forward([item]) for item in inputs)])


def _compare(
    actual: tuple[list[list[int]], Vectors], expected: tuple[list[list[int]], Vectors], least: float, name: str
) -> float:
    """The smallest cosine between vectors of the two. Raises ModelUnusableError when it is under `least`."""
    if actual[0] != expected[0]:
        raise ModelUnusableError(f"model {name!r}: what was exported tokenizes in another way than the original")
    worst = float(cosines(actual[1], expected[1]).min())
    if not worst >= least:
        raise ModelUnusableError(
            f"model {name!r}: what was exported has a cosine of {worst:.4f} with the original, {least} is wanted"
        )
    return worst


def _rewrite(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**read_config(path), **values}, indent=2) + "\n", "utf-8")

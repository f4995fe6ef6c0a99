"""Small ONNX models, and what to try them with."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.fixtures_embedder import MINILM, rewrite

WIDTH = 16
WORDS = 30_522
TEXTS = ["hello", "How do I close a file?", "Ünïcödé, 日本語, שלום", "def f(x):\n    return x", "word " * 500]

Edit = Callable[[onnx.ModelProto], None]


def onnx_model(directory: Path, *, edit: Edit | None = None, pooling: str = "mean", **node: Any) -> Path:
    """A directory as repositories on the hub have them, without torch weights: embeddings, and one product."""
    shutil.copytree(MINILM, directory, ignore=shutil.ignore_patterns("*.safetensors"))
    rewrite(directory / "config.json", hidden_size=WIDTH)
    (directory / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": pooling}))
    (directory / "onnx").mkdir()
    model = graph(**node)
    if edit:
        edit(model)
    onnx.save(model, directory / "onnx" / "model.onnx")
    return directory


def graph(
    inputs: Sequence[str] = ("input_ids", "attention_mask"), output: str = "last_hidden_state", rank: int = 3
) -> onnx.ModelProto:
    random = np.random.default_rng(7)
    table = random.standard_normal((WORDS, WIDTH)).astype(np.float32)
    matrix = random.standard_normal((WIDTH, WIDTH)).astype(np.float32)
    shape: list[str | int] = ["n", "longest", WIDTH] if rank == 3 else ["n", WIDTH]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["embedded"]),
        helper.make_node("MatMul", ["embedded", "matrix"], [output if rank == 3 else "tokens"]),
    ]
    if rank == 2:
        nodes.append(helper.make_node("ReduceMax", ["tokens"], [output], axes=[1], keepdims=0))
    return helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "longest"]) for name in inputs],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(table, "table"), numpy_helper.from_array(matrix, "matrix")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )

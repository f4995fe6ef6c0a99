"""Makes an ONNX file four times smaller: weights as 8-bit integers. Needs the package onnx, and no torch.

Why in this way: docs/adr/0005.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from embedder.models.checkpoint_files import sha256
from embedder.models.errors import ModelUnusableError
from embedder.models.onnx_files import QUANTISED_FROM_KEY, QUANTISED_KEY

#: Weights of one output that share a scale.
BLOCK = 128
_HOW = f"weights int8 in blocks of {BLOCK}, embeddings int8 by row"
_ONNXRUNTIME = "com.microsoft"
_INT8_PRODUCTS = 4
#: Tables with fewer rows are not worth it: positions, token types.
_SMALL_TABLE = 4_096
_LARGE_BYTES = 4_096


def quantise(source: Path, out: Path, *, name: str) -> None:
    """Write an int8 variant of the ONNX file `source` to `out` and `out`.data; `name` is what errors call the model.

    Products with constant matrices go by MatMulNBits, an operator of onnxruntime, and tables of embeddings are read
    by row from int8; all else stays as it is. Raises ModelUnusableError when there is nothing to quantise.
    """
    model = onnx.load(source)
    constants = {each.name: each for each in model.graph.initializer if each.data_type == TensorProto.FLOAT}
    made: dict[str, list[onnx.TensorProto]] = {}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.extend(_replacement(node, constants, made))
    if all(node.op_type != "MatMulNBits" for node in nodes):
        raise ModelUnusableError(f"model {name!r}: its ONNX file has no float32 matrices to quantise")
    _put(model.graph, nodes, [tensor for tensors in made.values() for tensor in tensors])
    if all(opset.domain != _ONNXRUNTIME for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_ONNXRUNTIME, 1))
    helper.set_model_props(model, {QUANTISED_KEY: _HOW, QUANTISED_FROM_KEY: sha256(source)})
    # onnxruntime maps a file of weights, but keeps what it parsed out of the other: a hundred megabytes a model.
    onnx.save(model, out, save_as_external_data=True, location=f"{out.name}.data", size_threshold=_LARGE_BYTES)


def _replacement(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], made: dict[str, list[onnx.TensorProto]]
) -> list[onnx.NodeProto]:
    """The nodes that take a node's place, perhaps itself; adds to `made` what they need in place of a constant."""
    if node.op_type == "MatMul" and (matrix := constants.get(node.input[1])) and len(matrix.dims) == 2:
        made.setdefault(matrix.name, _blocks(matrix))
        return [_product(node, matrix)]
    table = constants.get(node.input[0]) if node.op_type == "Gather" else None
    if table and len(table.dims) == 2 and table.dims[0] >= _SMALL_TABLE and _axis(node) == 0:
        made.setdefault(table.name, _rows(table))
        return _look_up(node, table)
    return [node]


def _blocks(matrix: onnx.TensorProto) -> list[onnx.TensorProto]:
    """A matrix of shape [inputs, outputs] as bytes around 128, shape [outputs, blocks, BLOCK], and scales."""
    columns = np.ascontiguousarray(numpy_helper.to_array(matrix).T)
    outputs, inputs = columns.shape
    count = -(-inputs // BLOCK)
    padded = np.zeros((outputs, count * BLOCK), np.float32)
    padded[:, :inputs] = columns
    blocks = padded.reshape(outputs, count, BLOCK)
    numbers, scales = _round(blocks)
    return [
        numpy_helper.from_array((numbers + 128).astype(np.uint8), f"{matrix.name}_blocks"),
        numpy_helper.from_array(scales[:, :, 0], f"{matrix.name}_scales"),
    ]


def _rows(table: onnx.TensorProto) -> list[onnx.TensorProto]:
    """A table of shape [rows, d] as int8, and a scale for each row."""
    numbers, scales = _round(numpy_helper.to_array(table))
    return [
        numpy_helper.from_array(numbers.astype(np.int8), f"{table.name}_rows"),
        numpy_helper.from_array(scales, f"{table.name}_row_scales"),
    ]


def _round(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Whole numbers from -127 to 127, and for each row of the last axis what they are to be multiplied by."""
    scales = np.abs(values).max(axis=-1, keepdims=True) / np.float32(127)
    scales[scales == 0] = 1
    return np.rint(values / scales), scales.astype(np.float32)


def _product(node: onnx.NodeProto, matrix: onnx.TensorProto) -> onnx.NodeProto:
    inputs, outputs = matrix.dims
    return helper.make_node(
        "MatMulNBits",
        [node.input[0], f"{matrix.name}_blocks", f"{matrix.name}_scales"],
        [node.output[0]],
        name=node.name,
        domain=_ONNXRUNTIME,
        K=inputs,
        N=outputs,
        bits=8,
        block_size=BLOCK,
        accuracy_level=_INT8_PRODUCTS,
    )


def _look_up(node: onnx.NodeProto, table: onnx.TensorProto) -> list[onnx.NodeProto]:
    ids, found = node.input[1], node.output[0]
    return [
        helper.make_node("Gather", [f"{table.name}_rows", ids], [f"{found}_int8"], axis=0),
        helper.make_node("Cast", [f"{found}_int8"], [f"{found}_whole"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [f"{table.name}_row_scales", ids], [f"{found}_scale"], axis=0),
        helper.make_node("Mul", [f"{found}_whole", f"{found}_scale"], [found], name=node.name),
    ]


def _put(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto]) -> None:
    used = {name for node in nodes for name in node.input}
    kept = [each for each in graph.initializer if each.name in used]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend([*kept, *tensors])


def _axis(node: onnx.NodeProto) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "axis"), 0)

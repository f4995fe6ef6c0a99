"""Traces a torch model into an ONNX file, pooling and all that follows it included."""

import logging
from pathlib import Path

import torch
from sentence_transformers.base.modules import Normalize

from embedder.models.errors import ModelUnusableError
from embedder.models.torch_loading import load_modules
from embedder.models.torch_tracing import WholeModel

_LONGEST_BATCH = 4_096
_MOST_TOKENS = 1_000_000
_SAMPLE_TOKENS = 9


def trace(
    directory: Path, graph: Path, *, tokenizer: Path, name: str, pooling: str | None, trust_remote_code: bool
) -> None:
    """Write the model in `directory` to the file `graph`: its output is `sentence_embedding`, shape [n, d].

    Any number of inputs of any length goes through it. The tokenizer goes to the file `tokenizer`, as torch uses it,
    unless it is there. `name` is what errors call the model. Raises ModelUnusableError.
    """
    transformer, modules = load_modules(
        directory, name=name, dtype=torch.float32, pooling=pooling, trust_remote_code=trust_remote_code
    )
    text = transformer.tokenizer
    if text is None or not text.is_fast:
        raise ModelUnusableError(f"model {name!r}: has no fast tokenizer (tokenizer.json)")
    if not tokenizer.is_file():
        text.backend_tokenizer.save(str(tokenizer))
    # The other implementations are written for torch: in ONNX they come out as the same products, and more around.
    transformer.model.set_attn_implementation("eager")
    whole = WholeModel([module for module in modules if not isinstance(module, Normalize)]).eval()
    ids = torch.full((2, _SAMPLE_TOKENS), text.unk_token_id or 0)
    mask = torch.ones_like(ids)
    mask[1, _SAMPLE_TOKENS // 2 :] = 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    if "token_type_ids" in text.model_input_names:
        inputs["token_type_ids"] = torch.zeros_like(ids)
    # They name every package that is not there, and every node that they look at.
    for library in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(library).setLevel(logging.ERROR)
    batch = torch.export.Dim("batch", min=1, max=_LONGEST_BATCH)
    limit = getattr(transformer.model.config, "max_position_embeddings", None) or _MOST_TOKENS
    length = torch.export.Dim("length", min=1, max=limit)
    torch.onnx.export(
        whole,
        tuple(inputs.values()),
        graph,
        input_names=[*inputs],
        output_names=["sentence_embedding"],
        dynamic_shapes=[{0: batch, 1: length}] * len(inputs),
        dynamo=True,
        external_data=True,  # mapped by onnxruntime, and not held to the two gigabytes of a protobuf message
        verbose=False,
    )

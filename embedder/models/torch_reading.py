"""Reads a torch model with transformers, and writes down what a process without transformers runs."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import torch

from embedder.models.errors import ModelUnusableError
from embedder.models.torch_loading import load_modules
from embedder.models.torch_packing import can_pack, make_packable
from embedder.models.torch_source import EXAMPLES, INPUTS, TorchModel, TorchSource
from embedder.models.torch_tokens import tokenizer_of
from embedder.models.torch_tracing import NotTraceableError, WholeModel, traced

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def read_model(source: TorchSource, device: str) -> TorchModel:
    """The model as transformers runs it. Raises ModelUnusableError when the files do not make a whole model."""
    transformer, modules = load_modules(
        source.directory,
        name=source.name,
        dtype=_DTYPES[source.precision],
        pooling=source.pooling,
        trust_remote_code=source.trust_remote_code,
    )
    tokenizer = tokenizer_of(transformer, name=source.name, at_most=source.max_tokens)
    made = getattr(transformer.tokenizer, "model_input_names", ())
    model = WholeModel(modules).to(device).eval()
    weight_bytes = sum(parameter.nbytes for parameter in model.parameters())
    if device == "cpu" and source.precision == "bf16" and can_pack():
        make_packable(model)
    inputs = tuple(name for name in INPUTS if name in {*INPUTS[:2], *made})
    return TorchModel(model, tokenizer, inputs, weight_bytes, device)


def main(spec: str, folder: Path) -> None:
    """Read the model that `spec`, a TorchSource as JSON, describes, and write model.pt and model.json.

    Ends the process when its standard input ends: then nobody waits any more.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    fields: dict[str, Any] = json.loads(spec)
    source = TorchSource(**{**fields, "directory": Path(fields["directory"])})
    try:
        written = _write(read_model(source, "cpu"), folder / "model.pt")
    except ModelUnusableError as error:
        written = {"unusable": error.message}
    except NotTraceableError as error:
        written = {"untraceable": str(error)}
    (folder / "model.json").write_text(json.dumps(written), "utf-8")


def _write(model: TorchModel, target: Path) -> dict[str, Any]:
    whole = model.run
    if not isinstance(whole, WholeModel):
        raise TypeError("only a model with its modules can be traced")
    batches = [model.tokenizer(texts) for texts in EXAMPLES]
    torch.jit.save(traced(whole, [model.tensors(batch) for batch in batches]), target)
    return {
        "tokenizer": model.tokenizer.as_dict(),
        "inputs": model.inputs,
        "weight_bytes": model.weight_bytes,
        "vectors": model(batches[0]).tolist(),
    }


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)

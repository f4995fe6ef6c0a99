"""Reads a torch model in a process of its own, so that transformers never comes into this one.

transformers and what it imports take 200 MB and seconds, and none of it is needed once a model is traced. The code of
a model that is trusted stays out of the process that answers calls, too (docs/adr/0006).
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import structlog
import torch

from embedder.models.engine import Vectors
from embedder.models.errors import ModelUnusableError
from embedder.models.space import cosines
from embedder.models.tokens import PrivateTokenizer
from embedder.models.torch_packing import pack
from embedder.models.torch_source import EXAMPLES, TorchModel, TorchSource

#: Cosine between vectors of the model before and after. Only the layout of its weights is another.
_ALIKE = 0.999
#: Characters of what a process that failed wrote last.
_LAST_WORDS = 2_000


def read_aside(source: TorchSource) -> TorchModel | None:
    """The model as torch runs it without Python, on the CPU; None when it cannot be run so.

    Needs as much room in the system's temporary folder as the weights take, for a moment. Raises ModelUnusableError.
    """
    with TemporaryDirectory(prefix="trimem-model-") as folder:
        written = _read(source, Path(folder))
        if "unusable" in written:
            raise ModelUnusableError(written["unusable"])
        if "untraceable" in written:
            structlog.get_logger("models").warning(
                "model cannot be traced: runs slower, in more memory", model=source.name, cause=written["untraceable"]
            )
            return None
        script: Any = torch.jit.load(Path(folder) / "model.pt")  # type: ignore[no-untyped-call]  # so is torch
    with torch.inference_mode():
        pack(script)
    tokenizer = PrivateTokenizer.from_dict(written["tokenizer"], name=source.name)
    model = TorchModel(script, tokenizer, tuple(written["inputs"]), written["weight_bytes"])
    _require_alike(model(tokenizer(EXAMPLES[0])), np.array(written["vectors"], np.float32), source.name)
    return model


def _read(source: TorchSource, folder: Path) -> dict[str, Any]:
    spec = json.dumps({**asdict(source), "directory": str(source.directory.absolute())})
    command = [sys.executable, "-P", "-m", "embedder.models.torch_reader", spec, str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(  # noqa: S603 - our own module
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    ) as process:
        said = process.stderr.read().decode(errors="replace")[-_LAST_WORDS:] if process.stderr else ""
        status = process.wait()
    written = folder / "model.json"
    if status or not written.is_file():
        structlog.get_logger("models").error("reading a model failed", model=source.name, status=status, said=said)
        ended = "was killed, for want of memory?" if status == -signal.SIGKILL else f"ended with {status}"
        raise ModelUnusableError(f"model {source.name!r}: the process that reads it {ended}: {_last_line(said)}")
    found: dict[str, Any] = json.loads(written.read_text("utf-8"))
    return found


def _require_alike(ours: Vectors, theirs: Vectors, name: str) -> None:
    found = cosines(ours, theirs)
    # Vectors that are not numbers, or zero, are somebody else's to find.
    if (found < _ALIKE).any():
        raise ModelUnusableError(f"model {name!r}: makes other vectors once it is packed (cosine {found.min():.4f})")


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]

"""Writes down what a model does, so that torch can do it without Python.

Python takes half of the time of one short text, and after every operation it has to wait for the interpreter while
another thread, as the one that answers calls, has it (docs/adr/0006).
"""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from sentence_transformers.base.modules import Module
from torch import Tensor, nn

#: Largest difference to the model itself, in numbers of vectors of length 1. They do the same operations.
_TOLERANCE = 1e-3


class NotTraceableError(Exception):
    """The model cannot be traced, or does something else once it is."""


class WholeModel(nn.Module):
    """All modules of a model as one, from tokens to vectors in float32."""

    def __init__(self, modules: Iterable[Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Vectors of shape [n, d], any L2 norm, of inputs of shape [n, longest]."""
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            features["token_type_ids"] = token_type_ids
        for part in self.parts:
            features = part(features)
        return features["sentence_embedding"].float()


def traced(model: WholeModel, examples: Sequence[tuple[Tensor, ...]]) -> torch.jit.ScriptModule:
    """The model as torch alone runs it. Raises NotTraceableError.

    A trace has what was done with the first of the `examples`. What a model decides by looking at its input is lost by
    that: the others must have other shapes, and other padding, and are tried.
    """
    # Warnings of what a trace loses, which is looked for below, and of the libraries' own ways.
    with torch.inference_mode(), warnings.catch_warnings(action="ignore"):
        try:
            trace: Any = torch.jit.trace(model, examples[0], check_trace=False)  # type: ignore[no-untyped-call]  # so is torch
            # Twice, because a traced model is optimised in its second run.
            worst = max(_difference(trace, model, example) for example in examples for _ in range(2))
        except Exception as error:  # whatever a model does that cannot be traced
            raise NotTraceableError(f"{type(error).__name__}: {str(error)[:500]}") from error
    if not worst <= _TOLERANCE:
        raise NotTraceableError(f"its vectors would differ by {worst:.4f}")
    script: torch.jit.ScriptModule = trace
    return script


def _difference(trace: nn.Module, model: WholeModel, example: tuple[Tensor, ...]) -> float:
    ours, theirs = (nn.functional.normalize(run(*example), dim=1) for run in (trace, model))
    return float((ours - theirs).abs().max())

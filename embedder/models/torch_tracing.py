"""Runs a model without Python between its operations.

Python takes half of the time of one short text, and every operation has to wait for the interpreter while other
threads, as the one that answers calls, have it. A traced model is run by torch alone (docs/adr/0006).
"""

import warnings
from collections.abc import Callable, Iterable, Sequence

import structlog
import torch
from sentence_transformers.base.modules import Module
from torch import Tensor, nn

#: Takes what the tokenizer makes, each of shape [n, longest], and gives vectors in float32, shape [n, d].
Run = Callable[..., Tensor]

#: Largest difference to the model itself, in numbers of vectors of length 1. They do the same operations.
_TOLERANCE = 1e-3


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


def traced(model: WholeModel, examples: Sequence[tuple[Tensor, ...]], *, name: str) -> Run:
    """The model as torch alone runs it, or the model itself if it cannot be had so.

    Tracing writes down what was done with the first of the `examples`. What a model decides by looking at its input is
    lost by that: the others must have other shapes, and other padding, and are tried. `name` is for the log.
    """
    log = structlog.get_logger("models")
    # Warnings of what a trace loses, which is looked for below, and of the libraries' own ways.
    with torch.inference_mode(), warnings.catch_warnings(action="ignore"):
        try:
            candidate: Run = torch.jit.trace(  # type: ignore[no-untyped-call]
                model, examples[0], check_trace=False
            )
            # Twice, because the second run of a traced model is the one in which it is optimised.
            differences = [_difference(candidate, model, example) for example in examples for _ in range(2)]
        except Exception as error:  # whatever a model does that cannot be traced
            log.info("not traced: runs slower", model=name, cause=f"{type(error).__name__}: {error}"[:500])
            return model
    if max(differences) > _TOLERANCE:
        log.warning("traced model makes other vectors: runs slower, untraced", model=name, difference=max(differences))
        return model
    return candidate


def _difference(candidate: Run, model: WholeModel, example: tuple[Tensor, ...]) -> float:
    ours, theirs = (nn.functional.normalize(run(*example), dim=1) for run in (candidate, model))
    return float((ours - theirs).abs().max())

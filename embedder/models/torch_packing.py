"""Keeps the weights of linear layers in the layout that oneDNN multiplies from.

torch hands plain weights to oneDNN, which brings them into its own layout again with every call. For one short text
that is half of the time (docs/adr/0006). torch's compiler packs them once, by the same two operators.
"""

from typing import Any

import torch
from torch import nn


class PackableLinear(nn.Module):
    """A linear layer for inference in bf16 on a CPU. Takes shape [..., in], gives [..., out]."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight", linear.weight.detach())
        bias: torch.Tensor | None = linear.bias  # typed as if it were never None
        self.register_buffer("bias", None if bias is None else bias.detach())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Multiply and add."""
        result: torch.Tensor = _multiply(inputs, self.weight, self.bias)
        return result


# Not traced but compiled: a trace would write down the number of rows instead of looking at it. The decorator has no
# types, and its compiler takes a comment that goes on behind the brackets for the type of the function.
@torch.jit.script_if_tracing  # type: ignore[untyped-decorator]
def _multiply(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Multiply and add, with up to a sixteenth more rows of zeros: a multiple of 4.

    oneDNN writes machine code for each number of rows that it meets, and keeps it: half a megabyte and a millisecond
    for each layer. Texts have every length; with few numbers of rows the code is soon there.
    """
    rows = inputs.reshape(-1, inputs.shape[-1])
    count = rows.shape[0]
    step = 4
    while step * 32 <= count:
        step *= 2
    wanted = (count + step - 1) // step * step
    if wanted > count:
        rows = torch.nn.functional.pad(rows, [0, 0, 0, wanted - count])
    result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return torch.unflatten(result[:count], 0, inputs.shape[:-1])


def can_pack() -> bool:
    """Whether this build of torch has the operators."""
    operators: Any = torch.ops.mkldnn
    return all(hasattr(operators, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))


def make_packable(model: nn.Module) -> None:
    """Exchange the linear layers of a model for packable ones."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Linear:
                setattr(parent, name, PackableLinear(child))


def pack(model: nn.Module) -> None:
    """Pack the layers of a model that was made packable, traced or not, each time freeing the plain weights."""
    for layer in model.modules():
        kind = getattr(layer, "original_name", type(layer).__name__)  # the first is that of a traced one
        if kind == PackableLinear.__name__:
            layer.weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight, None)

"""Keeps the weights of linear layers in the layout that oneDNN multiplies from.

torch hands plain weights to oneDNN, which brings them into its own layout again with every call. For one short text
that is half of the time (docs/adr/0006). torch's compiler packs them once, by the same two operators.
"""

from typing import Any

import structlog
import torch
from torch import nn


class PackedLinear(nn.Module):
    """A linear layer for inference on a CPU, with packed bf16 weights. Takes shape [..., in], gives [..., out]."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        operators: Any = torch.ops.mkldnn
        self._multiply = operators._linear_pointwise
        self.register_buffer("weight", operators._reorder_linear_weight(linear.weight.detach(), None), persistent=False)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach(), persistent=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Multiply and add."""
        result: torch.Tensor = self._multiply(inputs, self.weight, self.bias, "none", [], "")
        return result


def pack_linears(model: nn.Module) -> None:
    """Exchange the linear layers of a bf16 model on the CPU for packed ones. Leaves them where torch cannot pack."""
    try:
        PackedLinear(nn.Linear(16, 16, dtype=torch.bfloat16))(torch.zeros(1, 1, 16, dtype=torch.bfloat16))
    except (AttributeError, RuntimeError, NotImplementedError) as error:  # another build of torch, another CPU
        structlog.get_logger("models").info("weights are not packed", cause=str(error).partition("\n")[0])
        return
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Linear:
                setattr(parent, name, PackedLinear(child))
                del child  # one layer at a time: the plain weights go before the next are packed

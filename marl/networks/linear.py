"""A linear layer computed by oneDNN, which is faster on some CPUs.

torch computes the products of a linear layer on a CPU with MKL, which does not use AVX-512 on every
processor that has it; oneDNN, which comes with torch, does. There it takes half the time, elsewhere
as much. Results differ from torch's by rounding. Small products stay with torch, since a call
costs more than it saves.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

ONE_DNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
SMALL = 2**21
"""Multiplications from which on oneDNN is asked: about 50 microseconds of a core."""


class Linear(nn.Linear):
    """x [..., I] to x W^T + b [..., O]: a `torch.nn.Linear` with the same parameters.

    Second derivatives of large products raise RuntimeError.
    """

    def forward(self, x: Tensor) -> Tensor:
        small = x.numel() * self.out_features < SMALL
        plain = x.device.type == "cpu" and x.dtype == torch.float32
        if small or not ONE_DNN or not plain or torch.is_autocast_enabled("cpu"):
            return F.linear(x, self.weight, self.bias)
        if torch.is_grad_enabled():
            return Product.apply(x, self.weight, self.bias)
        return product(x, self.weight, self.bias)


class Product(torch.autograd.Function):
    """x W^T + b with its gradients, once differentiable; see `Linear`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_x = product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        gradient = gradient.reshape(-1, gradient.shape[-1])  # [R, O]
        x = x.reshape(-1, x.shape[-1])  # [R, I]
        of_weight = of_bias = None
        if ctx.needs_input_grad[1]:
            if x.shape[1] < gradient.shape[1]:  # the narrower side first is faster
                of_weight = product(x.t(), gradient.t()).t()
            else:
                of_weight = product(gradient.t(), x.t())
        if ctx.has_bias and ctx.needs_input_grad[2]:
            of_bias = gradient.sum(0)
        return of_x, of_weight, of_bias


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b by oneDNN, without a gradient."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

"""hidden_act -> module: every activation by the name that the hub's configurations use, selu, and any function."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regconv.errors import UnsupportedConfig


def activation(hidden_act: str | Callable[[Tensor], Tensor]) -> nn.Module:
    """A fresh module for a name, a function, a module (copied) or a module class.

    Raises UnsupportedConfig for a name that is not known.
    """
    if isinstance(hidden_act, nn.Module):
        return copy.deepcopy(hidden_act)
    if callable(hidden_act):
        is_class = isinstance(hidden_act, type) and issubclass(hidden_act, nn.Module)
        return cast("type[nn.Module]", hidden_act)() if is_class else Function(hidden_act)
    if hidden_act not in ACTIVATIONS:
        raise UnsupportedConfig(f"hidden_act got {hidden_act!r}, expected one of {', '.join(sorted(ACTIVATIONS))}")
    return ACTIVATIONS[hidden_act]()


class Function(nn.Module):
    """A plain function of one tensor as a module without parameters."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Xielu(nn.Module):
    """xIELU with learned slopes (Huang and Schlag 2024, arXiv 2411.13010); parameter names are the hub's."""

    beta: Tensor
    eps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.alpha_p = nn.Parameter(torch.empty(1))
        self.alpha_n = nn.Parameter(torch.empty(1))
        self.register_buffer("beta", torch.empty(()))
        self.register_buffer("eps", torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Both slopes come out as 0.8: softplus(alpha_p), and beta + softplus(alpha_n)."""
        with torch.no_grad():
            self.alpha_p.fill_(math.log(math.expm1(0.8)))
            self.alpha_n.fill_(math.log(math.expm1(0.8 - 0.5)))
            self.beta.fill_(0.5)
            self.eps.fill_(-1e-6)

    def forward(self, x: Tensor) -> Tensor:
        positive = F.softplus(self.alpha_p) * x * x
        # eps keeps expm1's argument below zero, so that the unused side of `where` has a finite gradient.
        negative = (self.beta + F.softplus(self.alpha_n)) * (torch.expm1(torch.minimum(x, self.eps)) - x)
        return torch.where(x > 0, positive, negative) + self.beta * x


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _gelu_clipped(x: Tensor) -> Tensor:
    return F.gelu(x).clamp(-10.0, 10.0)


def _gelu_quick(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def _laplace(x: Tensor) -> Tensor:
    # Mean and deviation from "Mega" (Ma et al. 2022, arXiv 2209.10655): closest to a squared ReLU.
    return 0.5 * (1.0 + torch.erf((x - 0.707107) / (0.282095 * math.sqrt(2.0))))


def _relu_squared(x: Tensor) -> Tensor:
    return F.relu(x).square()


def _sqrt_softplus(x: Tensor) -> Tensor:
    return F.softplus(x).sqrt()


def _of(function: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Function(function)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_10": _of(_gelu_clipped),
    "gelu_accurate": _of(_gelu_tanh),
    "gelu_fast": _of(_gelu_tanh),
    "gelu_new": _of(_gelu_tanh),
    "gelu_python": nn.GELU,
    "gelu_python_tanh": _of(_gelu_tanh),
    "gelu_pytorch_tanh": _of(_gelu_tanh),
    "hardswish": nn.Hardswish,
    "laplace": _of(_laplace),
    "leaky_relu": nn.LeakyReLU,
    "linear": nn.Identity,
    "mish": nn.Mish,
    "prelu": nn.PReLU,
    "quick_gelu": _of(_gelu_quick),
    "relu": nn.ReLU,
    "relu2": _of(_relu_squared),
    "relu6": nn.ReLU6,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "sqrtsoftplus": _of(_sqrt_softplus),
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
    "xielu": Xielu,
}

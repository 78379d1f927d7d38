"""Layers of other authors' packages, with weights from ours. A package that is not installed raises ImportError."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


def with_weights(peer: nn.Module, weights: Mapping[str, object]) -> nn.Module:
    """The peer with tensors of ours under its own names, reshaped to its shapes."""
    own = peer.state_dict()
    peer.load_state_dict({name: value.reshape(own[name].shape) for name, value in weights.items()}, strict=False)
    return peer


def timm_evonorm(kind: str, groups: int = 8) -> object:
    """timm's EvoNorm without the rest of timm, which needs torchvision."""

    def make(ours: nn.Module) -> nn.Module:
        found = importlib.util.find_spec("timm")
        if found is None or not found.submodule_search_locations:
            raise ImportError(name="timm")
        folder = types.ModuleType("timm_layers")
        folder.__path__ = [f"{found.submodule_search_locations[0]}/layers"]
        sys.modules.setdefault("timm_layers", folder)
        layer = getattr(importlib.import_module("timm_layers.evo_norm"), f"EvoNorm2d{kind}")
        made = layer(len(ours.gamma), **({"groups": groups} if kind.startswith("S") else {}))
        names = {"weight": "gamma", "bias": "beta", "v": "v", "running_var": "running_var"}
        state = ours.state_dict()
        return with_weights(made, {name: state[mine] for name, mine in names.items() if mine in state})

    return make


def efficient_kan(ours: nn.Module) -> nn.Module:
    """Blealtan's efficient-kan, in the copy that the package kan-gpt carries, without its scale beside the coefficients."""
    layer = importlib.import_module("kan_gpt.efficient_kan.model").KANLinear
    o, i, count = ours.coef.shape
    made = layer(i, o, grid_size=count - 3, spline_order=3, enable_standalone_scale_spline=False)
    return with_weights(made, {"base_weight": ours.base.data, "spline_weight": ours.coef.data})


def inkan(ours: nn.Module) -> nn.Module:
    """inkan's layer, which evaluates the four functions that are not 0; torch.compile takes it whole."""
    layer = importlib.import_module("inkan").KANLayer
    o, i, count = ours.coef.shape
    made = layer(i, o, grid_size=count - 3, compile_basis=False)
    return with_weights(made, {"weight": torch.cat([ours.coef.data.flatten(1), ours.base.data], 1)})


def delta_rule(ours: nn.Module) -> nn.Module:
    """flash-linear-attention's plain recurrence, which scales the queries."""
    return _Scaled(importlib.import_module("fla.ops.delta_rule.naive").delta_rule_recurrence)


class _Scaled(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> Tensor:
        y = self.function(*(t[:, None] for t in (q * q.shape[-1] ** 0.5, k, v, beta)))
        return (y[0] if isinstance(y, tuple) else y)[:, 0]


class Liger(nn.Module):
    """One of Liger-Kernel's Triton functions, which run on a GPU alone: `rms_norm` of a norm with `gamma`, or `swiglu`."""

    def __init__(self, name: str, ours: nn.Module) -> None:
        super().__init__()
        self.name, self.function = name, getattr(importlib.import_module("liger_kernel.transformers.functional"), f"liger_{name}")
        self.gamma = nn.Parameter(ours.gamma.detach().clone()) if name == "rms_norm" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.name == "rms_norm":
            return self.function(x, self.gamma, 1e-6, in_place=False)  # in place it would write over the cotangent
        return self.function(*x.chunk(2, -1))

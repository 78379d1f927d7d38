"""Layers of other authors' packages, with weights from ours. A package that is not installed raises ImportError."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Mapping

from torch import nn


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

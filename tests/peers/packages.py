"""Layers of other authors' packages. Each loader skips the test where the package is not installed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types

import pytest
import torch
from torch import Tensor, nn


def timm_layers(module: str) -> types.ModuleType:
    """One file of timm's layers, without the rest of timm, which needs torchvision."""
    found = importlib.util.find_spec("timm")
    if found is None or not found.submodule_search_locations:
        pytest.skip("timm is not installed: pip install --no-deps -r tests/peers/requirements.txt")
    folder = types.ModuleType("timm_layers")
    folder.__path__ = [f"{found.submodule_search_locations[0]}/layers"]
    sys.modules.setdefault("timm_layers", folder)
    return importlib.import_module(f"timm_layers.{module}")


def evonorm(kind: str, channels: int, **settings: float) -> nn.Module:
    """timm's EvoNorm: `kind` is B0, B1, B2, S0, S1, S2. It takes its variance in float32 whatever it is given."""
    made: nn.Module = getattr(timm_layers("evo_norm"), f"EvoNorm2d{kind}")(channels, **settings)
    return made


def efficient_kan(i: int, o: int, grid: int = 5, order: int = 3) -> nn.Module:
    """Blealtan's efficient-kan, in the copy that kan-gpt carries, without its scale beside the coefficients."""
    if importlib.util.find_spec("kan_gpt") is None:
        pytest.skip("kan-gpt is not installed: pip install --no-deps -r tests/peers/requirements.txt")
    model = importlib.import_module("kan_gpt.efficient_kan.model")
    made: nn.Module = model.KANLinear(i, o, grid_size=grid, spline_order=order, enable_standalone_scale_spline=False)
    return made


def hyperlight(inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]], hidden: list[int],
               encoding: str | None) -> nn.Module:
    """The hypernetwork of the authors of MIP: from inputs by name to weights by name."""
    if importlib.util.find_spec("hyperlight") is None:
        pytest.skip("hyperlight is not installed: pip install --no-deps -r tests/peers/requirements.txt")
    made: nn.Module = importlib.import_module("hyperlight").HyperNet(inputs, outputs, hidden, encoding)
    return made


class MultiheadAttention(nn.MultiheadAttention):
    """torch's, of a sequence with itself."""

    def __init__(self, c: int, heads: int, causal: bool = False) -> None:
        super().__init__(c, heads, batch_first=True)
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1) if self.causal else None
        y, _ = super().forward(x, x, x, need_weights=False, attn_mask=mask)
        return y

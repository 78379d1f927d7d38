"""Layers with computed weights in plain torch: MIP hypernetworks (arXiv 2304.07645), by loops over the samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WeightNormLinear(nn.Module):
    """Salimans, Kingma, arXiv 1602.07868, equation 2."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.randn(o, i))
        self.length = nn.Parameter(torch.rand(o) + 0.5)
        self.inner = nn.Module()
        self.inner.bias = nn.Parameter(torch.randn(o))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.direction / self.direction.norm(dim=1, keepdim=True) * self.length[:, None]
        return F.linear(x, weight, self.inner.bias)


class HyperTrunk(nn.Module):
    def __init__(self, d: int, c: int = 128, encoded: bool = True) -> None:
        super().__init__()
        self.encoded = encoded
        sizes = [2 * d if encoded else d, 16, 64, c]
        for layer in range(3):
            i, o = sizes[layer], sizes[layer + 1]
            setattr(self, f"weight{layer + 1}", nn.Parameter(torch.randn(o, i) / math.sqrt(i)))
            setattr(self, f"bias{layer + 1}", nn.Parameter(torch.randn(o)))

    def forward(self, z: Tensor) -> Tensor:
        h = torch.cat([torch.cos(math.pi * z / 2), torch.sin(math.pi * z / 2)], -1) if self.encoded else z
        for layer in "123":
            h = F.leaky_relu(F.linear(h, getattr(self, f"weight{layer}"), getattr(self, f"bias{layer}")), 0.01)
        return h


class MIPLinear(nn.Module):
    def __init__(self, i: int, o: int, u: int = 128) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(o, i)), nn.Parameter(torch.randn(o))
        self.to_weight, self.to_bias = nn.Parameter(torch.randn(o, i, u) / u), nn.Parameter(torch.randn(o, u) / u)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """One sample at a time, each with weights of its own."""
        rows = []
        for sample, code in zip(x.flatten(0, -2), h.flatten(0, -2), strict=True):
            rows.append(F.linear(sample, self.weight + self.to_weight @ code, self.bias + self.to_bias @ code))
        return torch.stack(rows).reshape(*x.shape[:-1], -1)


class MIPPerceptron(nn.Module):
    def __init__(self, d: int, i: int, o: int, hidden: int, encoded: bool = True) -> None:
        super().__init__()
        self.trunk = HyperTrunk(d, encoded=encoded)
        self.first, self.last = MIPLinear(i, hidden), MIPLinear(hidden, o)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        h = self.trunk(z)
        return self.last(F.leaky_relu(self.first(x, h), 0.01), h)

"""Kolmogorov-Arnold layers in plain torch, from Liu et al., arXiv 2404.19756, and de Boor's recurrence."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def cox_de_boor(x: Tensor, grid: int, order: int) -> Tensor:
    """x[...] -> [..., grid + order]: uniform B-splines on -1 to 1 and `order` cells more on either side, by recurrence."""
    step = 2 / grid
    knots = torch.arange(-order, grid + order + 1, dtype=torch.float64) * step - 1
    knots = knots.to(x.dtype)
    x = x[..., None]
    basis = ((x >= knots[:-1]) & (x < knots[1:])).to(x.dtype)
    for p in range(1, order + 1):
        left = (x - knots[: -p - 1]) / (knots[p:-1] - knots[: -p - 1])
        right = (knots[p + 1 :] - x) / (knots[p + 1 :] - knots[1:-p])
        basis = left * basis[..., :-1] + right * basis[..., 1:]
    return basis


class KAN(nn.Module):
    """y[o] = sum over i of base[o, i] * silu(x[i]) + sum over k of coef[o, i, k] * B_k(x[i])."""

    def __init__(self, i: int, o: int, grid: int = 5, order: int = 3) -> None:
        super().__init__()
        self.grid, self.order = grid, order
        self.base = nn.Parameter(torch.empty(o, i).uniform_(-1, 1) / math.sqrt(i))
        self.coef = nn.Parameter(torch.randn(o, i, grid + order) * 0.1 / grid)

    def forward(self, x: Tensor) -> Tensor:
        basis = cox_de_boor(x, self.grid, self.order)
        return F.linear(F.silu(x), self.base) + F.linear(basis.flatten(-2), self.coef.flatten(1))


class KANMLP(nn.Module):
    """Two KAN layers: c, ratio * c, c."""

    def __init__(self, c: int, ratio: int = 1, grid: int = 5, order: int = 3) -> None:
        super().__init__()
        self.up = KAN(c, ratio * c, grid, order)
        self.down = KAN(ratio * c, c, grid, order)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x))


class KANDigits(nn.Module):
    """Two KAN layers over the pixels of an image, spread from 0 .. 1 over -1 .. 1."""

    def __init__(self, classes: int = 10, pixels: int = 64, hidden: int = 64, grid: int = 3, order: int = 3) -> None:
        super().__init__()
        self.first = KAN(pixels, hidden, grid, order)
        self.last = KAN(hidden, classes, grid, order)

    def forward(self, image: Tensor) -> Tensor:
        return self.last(self.first(2 * image.flatten(1) - 1))

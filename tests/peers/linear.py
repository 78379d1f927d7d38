"""Linear maps, feed-forward blocks and perceptrons in plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Module):
    """y[o] = sum over i of weight[o, i] * x[i] + bias[o], summed in the open."""

    def __init__(self, i: int, o: int, biased: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(o, i).uniform_(-1, 1) / math.sqrt(i))
        self.bias = nn.Parameter(torch.empty(o).uniform_(-1, 1) / math.sqrt(i)) if biased else None

    def forward(self, x: Tensor) -> Tensor:
        y = (self.weight * x[..., None, :]).sum(-1)
        return y if self.bias is None else y + self.bias


class MLP(nn.Module):
    """Vaswani et al., arXiv 1706.03762, section 3.3, with GELU and without dropout."""

    def __init__(self, c: int, ratio: int = 4) -> None:
        super().__init__()
        self.up = nn.Linear(c, ratio * c)
        self.down = nn.Linear(ratio * c, c)

    def forward(self, x: Tensor) -> Tensor:
        h = self.up(x)
        h = h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))
        return self.down(h)


class GatedMLP(nn.Module):
    """SwiGLU of Shazeer, arXiv 2002.05202, equation 6."""

    def __init__(self, c: int, ratio: int = 4) -> None:
        super().__init__()
        self.gate = nn.Linear(c, ratio * c, bias=False)
        self.up = nn.Linear(c, ratio * c, bias=False)
        self.down = nn.Linear(ratio * c, c, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        g = self.gate(x)
        return self.down(g * torch.sigmoid(g) * self.up(x))


class Perceptron(nn.Module):
    """i features, `depth` hidden layers with relu, o features."""

    def __init__(self, i: int, o: int, hidden: int, depth: int = 2, act: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.act = act
        self.first = nn.Linear(i, hidden)
        self.middle = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(depth - 1))
        self.last = nn.Linear(hidden, o)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.first(x))
        for linear in self.middle:
            h = self.act(linear(h))
        return self.last(h)

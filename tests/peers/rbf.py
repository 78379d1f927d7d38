"""The Gaussian radial basis layer of arXiv 2307.05639 in plain torch: the quadratic form written out, centre by centre."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GaussianRBF(nn.Module):
    def __init__(self, i: int, o: int, c: int = 4, learned: bool = False) -> None:
        super().__init__()
        self.packed = nn.Parameter(torch.randn(i * (i + 1) // 2))
        self.weight = nn.Parameter(torch.randn(o, c))
        centre = torch.randn(c, i)
        if learned:
            self.centre = nn.Parameter(centre)
        else:
            self.register_buffer("centre", centre)

    def precision(self) -> Tensor:
        size = self.centre.shape[1]
        rows, columns = torch.tril_indices(size, size)
        lower = torch.zeros(size, size, dtype=self.packed.dtype).index_put((rows, columns), self.packed)
        return lower @ lower.T

    def forward(self, x: Tensor) -> Tensor:
        precision = self.precision()
        z = [torch.exp(-0.5 * torch.einsum("...i,ij,...j->...", x - mu, precision, x - mu)) for mu in self.centre]
        return torch.stack(z, -1) @ self.weight.T

"""Layers whose buffers are taken from data, in plain torch and numpy: knots of splines, lags, orthonormal polynomials."""

from __future__ import annotations

from itertools import product
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def cox_de_boor(x: Tensor, knots: Tensor, order: int) -> Tensor:
    """x[..., i], knots[i, t] -> [..., i, k], by the recurrence, as pykan and efficient-kan have it."""
    x = x[..., None]
    bases = ((x >= knots[:, :-1]) & (x < knots[:, 1:])).to(x.dtype)
    for p in range(1, order + 1):
        left = (x - knots[:, : -(p + 1)]) / (knots[:, p:-1] - knots[:, : -(p + 1)]) * bases[..., :-1]
        right = (knots[:, p + 1 :] - x) / (knots[:, p + 1 :] - knots[:, 1:-p]) * bases[..., 1:]
        bases = left + right
    return bases


class AdaptiveKAN(nn.Module):
    def __init__(self, i: int, o: int, grid: int = 5, order: int = 3) -> None:
        super().__init__()
        self.base = nn.Parameter(torch.randn(o, i))
        self.coef = nn.Parameter(torch.randn(o, i, grid + order))
        step = 2 / grid
        self.register_buffer("knots", (torch.arange(-order, grid + order + 1) * step - 1).expand(i, -1).contiguous())
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        bases = cox_de_boor(x, self.knots, self.order)
        return F.linear(F.silu(x), self.base) + torch.einsum("...ik,oik->...o", bases, self.coef)


def knots_from_samples(x: np.ndarray, grid: int, order: int, mix: float) -> np.ndarray:
    """pykan's update_grid_from_samples: x[n, i] -> [i, grid + 2 * order + 1]."""
    rows = []
    for column in x.T:
        ordered = np.sort(column)
        adaptive = np.array([ordered[len(ordered) * j // grid] for j in range(grid)] + [ordered[-1]])
        inside = mix * np.linspace(ordered[0], ordered[-1], grid + 1) + (1 - mix) * adaptive
        step = (inside[-1] - inside[0]) / grid
        before, after = inside[0] - step * np.arange(order, 0, -1), inside[-1] + step * np.arange(1, order + 1)
        rows.append(np.concatenate([before, inside, after]))
    return np.stack(rows)


def lag_basis(series: np.ndarray, t: int, least: float = 1e-4) -> tuple[np.ndarray, np.ndarray]:
    """The authors' procedure: eigenvalues, falling, and eigenvectors as rows."""
    found = []
    for channel in series.T:
        rows = np.stack([channel[lag : len(channel) - t + lag + 1] for lag in range(t)])
        cov = np.cov(rows)
        if (np.diagonal(cov) >= least).all():
            found.append(cov / np.diagonal(cov))
    values, vectors = np.linalg.eigh(np.mean(found, axis=0))  # reads the lower triangle
    return values[::-1], vectors.T[::-1]


def total_degrees(i: int, degree: int) -> list[tuple[int, ...]]:
    """All powers of i variables of a total degree of at most `degree`, in the order of the layer."""
    return sorted((a for a in product(range(degree + 1), repeat=i) if sum(a) <= degree), key=lambda a: (sum(a), [-n for n in a]))


def orthonormal(x: np.ndarray, degree: int) -> np.ndarray:
    """Coefficients of polynomials that are orthonormal over the samples x[n]: by a QR factorization of their powers."""
    powers = np.vander(x, degree + 1, increasing=True)
    r = np.linalg.qr(powers)[1]
    coefficients = np.linalg.inv(r.T) * sqrt(len(x))
    return coefficients * np.sign(np.diagonal(coefficients))[:, None]


class PolynomialChaos(nn.Module):
    def __init__(self, i: int, o: int, degree: int = 2) -> None:
        super().__init__()
        terms = total_degrees(i, degree)
        self.weight = nn.Parameter(torch.randn(o, len(terms)))
        self.register_buffer("alpha", torch.tensor(terms))
        self.register_buffer("basis", torch.eye(degree + 1).expand(i, -1, -1).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        powers = torch.stack([x**p for p in range(self.basis.shape[-1])], -1)
        values = torch.einsum("idp,...ip->...id", self.basis, powers)
        terms = [torch.stack([values[..., i, d] for i, d in enumerate(a)], -1).prod(-1) for a in self.alpha.tolist()]
        return torch.stack(terms, -1) @ self.weight.mT

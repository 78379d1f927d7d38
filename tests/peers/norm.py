"""Normalizations in plain torch, each from its paper's formula. Names of parameters are those of the standard library."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def column(v: Tensor) -> Tensor:
    """[channels] -> [channels, 1, 1]."""
    return v[:, None, None]


class Affine(nn.Module):
    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))


class LayerNorm(Affine):
    """Ba, Kiros, Hinton, arXiv 1607.06450."""

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + self.eps).sqrt() * self.gamma + self.beta


class RMSNorm(nn.Module):
    """Zhang, Sennrich, arXiv 1910.07467."""

    def __init__(self, c: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(c))

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt() * self.gamma


class BatchNorm2d(Affine):
    """Ioffe, Szegedy, arXiv 1502.03167, algorithms 1 and 2, with averages that decay by `momentum`."""

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(channels, eps)
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        if self.training:
            count = x.numel() // x.shape[1]
            mean = x.mean((0, 2, 3))
            var = (x - column(mean)).square().mean((0, 2, 3))
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * count / max(count - 1, 1), self.momentum)
        return (x - column(mean)) / column(var + self.eps).sqrt() * column(self.gamma) + column(self.beta)


def grouped(x: Tensor, groups: int) -> Tensor:
    n, channels, h, w = x.shape
    return x.reshape(n, groups, channels // groups, h, w)


def group_var(x: Tensor, groups: int) -> Tensor:
    """x[n, c, h, w] -> [n, groups, 1, 1, 1]: the biased variance of each group."""
    y = grouped(x, groups)
    return (y - y.mean((2, 3, 4), keepdim=True)).square().mean((2, 3, 4), keepdim=True)


class GroupNorm(Affine):
    """Wu, He, arXiv 1803.08494."""

    def __init__(self, channels: int, groups: int = 8, eps: float = 1e-5) -> None:
        super().__init__(channels, eps)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        y = grouped(x, self.groups)
        y = (y - y.mean((2, 3, 4), keepdim=True)) / (group_var(x, self.groups) + self.eps).sqrt()
        return y.reshape(x.shape) * column(self.gamma) + column(self.beta)


class EvoNormS(Affine):
    """EvoNorm S0, S1, S2 of Liu, Brock, Simonyan, Le, arXiv 2004.02967, table 2."""

    def __init__(self, channels: int, groups: int = 8, eps: float = 1e-5, kind: int = 0) -> None:
        super().__init__(channels, eps)
        self.groups, self.kind = groups, kind
        if kind == 0:
            self.v = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        top = x * torch.sigmoid(column(self.v) * x) if self.kind == 0 else x * torch.sigmoid(x)
        raw = grouped(x, self.groups).square().mean((2, 3, 4), keepdim=True)
        under = group_var(x, self.groups) if self.kind < 2 else raw
        y = grouped(top, self.groups) / (under + self.eps).sqrt()
        return y.reshape(x.shape) * column(self.gamma) + column(self.beta)


class EvoNormB(Affine):
    """EvoNorm B0, B1, B2 of the same table; the running variance is unbiased."""

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1, kind: int = 0) -> None:
        super().__init__(channels, eps)
        self.momentum, self.kind = momentum, kind
        self.register_buffer("running_var", torch.ones(channels))
        if kind == 0:
            self.v = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        var = self.running_var
        if self.training:
            count = x.numel() // x.shape[1]
            var = (x - x.mean((0, 2, 3), keepdim=True)).square().mean((0, 2, 3))
            with torch.no_grad():
                self.running_var.lerp_(var * count / max(count - 1, 1), self.momentum)
        across = column(var + self.eps).sqrt()
        root = (x.square().mean((2, 3), keepdim=True) + self.eps).sqrt()
        if self.kind == 0:
            spread = (x - x.mean((2, 3), keepdim=True)).square().mean((2, 3), keepdim=True)
            within = column(self.v) * x + (spread + self.eps).sqrt()
        elif self.kind == 1:
            within = (x + 1) * root
        else:
            within = root - x
        return x / torch.maximum(across, within) * column(self.gamma) + column(self.beta)

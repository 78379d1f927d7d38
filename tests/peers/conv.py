"""Convolutions and pooling in plain torch: padded, cut into windows, contracted."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def windows(x: Tensor, kernel: int, stride: int, pad: int) -> Tensor:
    """x[n, c, h, w] -> [n, c, u, v, kernel, kernel]."""
    x = F.pad(x, (pad, pad, pad, pad))
    return x.unfold(2, kernel, stride).unfold(3, kernel, stride)


class Conv2d(nn.Module):
    """LeCun et al. 1998: a weighted sum over a window, the same weights everywhere."""

    def __init__(self, c: int, o: int, kernel: int = 3, stride: int = 1, pad: int = 1, biased: bool = True) -> None:
        super().__init__()
        self.kernel, self.stride, self.pad = kernel, stride, pad
        self.weight = nn.Parameter(torch.randn(o, c, kernel, kernel) / math.sqrt(c * kernel * kernel))
        self.bias = nn.Parameter(torch.randn(o)) if biased else None

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("ncuvpq,ocpq->nouv", windows(x, self.kernel, self.stride, self.pad), self.weight)
        return y if self.bias is None else y + self.bias[:, None, None]


class Conv1d(nn.Module):
    def __init__(self, c: int, o: int, kernel: int = 3, stride: int = 1, pad: int = 1, biased: bool = True) -> None:
        super().__init__()
        self.kernel, self.stride, self.pad = kernel, stride, pad
        self.weight = nn.Parameter(torch.randn(o, c, kernel) / math.sqrt(c * kernel))
        self.bias = nn.Parameter(torch.randn(o)) if biased else None

    def forward(self, x: Tensor) -> Tensor:
        parts = F.pad(x, (self.pad, self.pad)).unfold(2, self.kernel, self.stride)
        y = torch.einsum("ncup,ocp->nou", parts, self.weight)
        return y if self.bias is None else y + self.bias[:, None]


class DepthwiseConv2d(nn.Module):
    """Every channel with a kernel of its own."""

    def __init__(self, c: int, kernel: int = 3, stride: int = 1, pad: int = 1, biased: bool = True) -> None:
        super().__init__()
        self.kernel, self.stride, self.pad = kernel, stride, pad
        self.weight = nn.Parameter(torch.randn(c, kernel, kernel) / kernel)
        self.bias = nn.Parameter(torch.randn(c)) if biased else None

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("ncuvpq,cpq->ncuv", windows(x, self.kernel, self.stride, self.pad), self.weight)
        return y if self.bias is None else y + self.bias[:, None, None]


class ConvTranspose2d(nn.Module):
    """Every pixel adds its multiple of the kernel to the result."""

    def __init__(self, c: int, o: int, kernel: int = 2, stride: int = 2, pad: int = 0, biased: bool = True) -> None:
        super().__init__()
        self.kernel, self.stride, self.pad = kernel, stride, pad
        self.weight = nn.Parameter(torch.randn(c, o, kernel, kernel) / math.sqrt(c))
        self.bias = nn.Parameter(torch.randn(o)) if biased else None

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        o, k, s = self.weight.shape[1], self.kernel, self.stride
        y = x.new_zeros(n, o, s * (h - 1) + k, s * (w - 1) + k)
        for p in range(k):
            for q in range(k):
                part = torch.einsum("nchw,co->nohw", x, self.weight[:, :, p, q])
                place = torch.zeros_like(y)
                place[:, :, p : p + s * (h - 1) + 1 : s, q : q + s * (w - 1) + 1 : s] = part
                y = y + place
        y = y[:, :, self.pad : y.shape[2] - self.pad, self.pad : y.shape[3] - self.pad]
        return y if self.bias is None else y + self.bias[:, None, None]

"""The Fourier neural operator of arXiv 2010.08895 in plain torch, by torch.fft, after neuraloperator 2.0."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SpectralConv2d(nn.Module):
    """Blocks of the shifted spectrum times complex weights; a grid with fewer frequencies takes the middle of the weights."""

    def __init__(self, i: int, o: int, rows: int = 16, columns: int = 16) -> None:
        super().__init__()
        std = math.sqrt(2 / (i + o))
        shape, dtype = (i, o, rows, columns // 2 + 1), torch.get_default_dtype().to_complex()
        self.weight = nn.Parameter(std * torch.randn(shape, dtype=dtype))
        self.bias = nn.Parameter(std * torch.randn(o))

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        weight = self.weight
        spectrum = torch.fft.fftshift(torch.fft.rfft2(x, norm="forward"), dim=-2)
        rows, columns = min(h, weight.shape[2]), min(w // 2 + 1, weight.shape[3])
        middle, centre = h // 2, weight.shape[2] // 2
        weight = weight[:, :, centre - rows // 2 : centre - rows // 2 + rows, :columns]
        kept = slice(middle - rows // 2, middle - rows // 2 + rows)
        y = torch.zeros(x.shape[0], weight.shape[1], *spectrum.shape[2:], dtype=spectrum.dtype)
        y[:, :, kept, :columns] = torch.einsum("nihw,iohw->nohw", spectrum[:, :, kept, :columns], weight)
        y = torch.fft.irfft2(torch.fft.ifftshift(y, dim=-2), s=(h, w), norm="forward")
        return y + self.bias[:, None, None]


class FNOBlock2d(nn.Module):
    def __init__(self, c: int, rows: int, columns: int, last: bool = False) -> None:
        super().__init__()
        self.last = last
        self.spectral, self.skip = SpectralConv2d(c, c, rows, columns), nn.Conv2d(c, c, 1, bias=False)
        self.down, self.up = nn.Conv2d(c, c // 2, 1), nn.Conv2d(c // 2, c, 1)
        self.gate = nn.Parameter(torch.ones(c))

    def forward(self, x: Tensor) -> Tensor:
        z = self.spectral(x) + self.skip(x)
        if not self.last:
            z = F.gelu(z)
        z = self.up(F.gelu(self.down(z))) + self.gate[:, None, None] * x
        return z if self.last else F.gelu(z)


class FNO2d(nn.Module):
    def __init__(self, i: int, o: int, c: int, rows: int, columns: int, depth: int = 4) -> None:
        super().__init__()
        self.lift1, self.lift2 = nn.Conv2d(i + 2, 2 * c, 1), nn.Conv2d(2 * c, c, 1)
        self.blocks = nn.ModuleList(FNOBlock2d(c, rows, columns, level == depth - 1) for level in range(depth))
        self.project1, self.project2 = nn.Conv2d(c, 2 * c, 1), nn.Conv2d(2 * c, o, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        grid = torch.meshgrid(torch.arange(h).to(x.dtype) / h, torch.arange(w).to(x.dtype) / w, indexing="ij")
        x = torch.cat([x, torch.stack(grid).expand(n, -1, -1, -1)], 1)
        x = self.lift2(F.gelu(self.lift1(x)))
        for block in self.blocks:
            x = block(x)
        return self.project2(F.gelu(self.project1(x)))

"""BiPer (Vargas et al., CVPR 2024, arXiv 2404.01278) in plain torch, after its authors' modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BinaryInput(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.sign(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, dy: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return dy * (2 - torch.abs(2 * x)).clamp(min=0)


class BinaryWave(torch.autograd.Function):
    """sign(sin(f w)), whose derivative is that of the sine."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, weight: Tensor, frequency: float) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.frequency = frequency  # type: ignore[attr-defined]
        return torch.sign(torch.sin(frequency * weight))

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, dy: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors  # type: ignore[attr-defined]
        f = ctx.frequency  # type: ignore[attr-defined]
        return dy * f * torch.cos(f * weight), None


class BiPer(nn.Module):
    def __init__(self, weight: Tensor, frequency: float, stage: int) -> None:
        super().__init__()
        self.frequency, self.stage = frequency, stage
        self.weight = nn.Parameter(weight)
        self.alpha = nn.Parameter(torch.rand(len(weight)))

    def binary(self, x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        if self.training:
            x = x / torch.sqrt(x.var(axes, keepdim=True) + 1e-5)
        weight = torch.sin(self.frequency * self.weight)
        if self.stage == 2:
            weight = BinaryWave.apply(self.weight, self.frequency)
        return BinaryInput.apply(x), weight


class BiPerConv2d(BiPer):
    def __init__(self, c: int, o: int, frequency: float = 20.0, stage: int = 1, kernel: int = 3, stride: int = 1,
                 pad: int = 1) -> None:
        super().__init__(torch.randn(o, c, kernel, kernel), frequency, stage)
        self.stride, self.pad = stride, pad

    def forward(self, x: Tensor) -> Tensor:
        a, weight = self.binary(x, (1, 2, 3))
        return F.conv2d(a, weight, None, self.stride, self.pad) * self.alpha[:, None, None]


class BiPerLinear(BiPer):
    def __init__(self, i: int, o: int, frequency: float = 20.0, stage: int = 1) -> None:
        super().__init__(torch.randn(o, i), frequency, stage)

    def forward(self, x: Tensor) -> Tensor:
        a, weight = self.binary(x, (-1,))
        return F.linear(a, weight) * self.alpha

"""Kolmogorov-Arnold layers with other bases than splines in plain torch, each in its authors' form, with our names."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .norm import LayerNorm


class RBFKAN(nn.Module):
    """FastKAN (arXiv 2405.06721): a LayerNorm, Gaussians at torch.linspace, one linear map; another one of SiLU of the input."""

    def __init__(self, i: int, o: int, count: int = 8, low: float = -2.0, high: float = 2.0) -> None:
        super().__init__()
        self.norm, self.base = LayerNorm(i), nn.Linear(i, o)
        self.coef = nn.Parameter(0.1 * torch.randn(o, i, count))
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        places = torch.linspace(self.low, self.high, self.coef.shape[-1], dtype=x.dtype)
        width = (self.high - self.low) / (len(places) - 1)
        bumps = torch.exp(-(((self.norm(x)[..., None] - places) / width) ** 2))
        return F.linear(bumps.flatten(-2), self.coef.flatten(1)) + self.base(F.silu(x))


class ReLUKAN(nn.Module):
    """ReLU-KAN (arXiv 2406.02075), the reshape without a transpose of its authors included: weight [o, 1, k, i]."""

    def __init__(self, i: int, o: int, grid: int = 5, order: int = 3) -> None:
        super().__init__()
        low = torch.arange(-order, grid) / grid
        self.low = nn.Parameter(low.repeat(i, 1))
        self.high = nn.Parameter((low + (order + 1) / grid).repeat(i, 1))
        self.weight = nn.Parameter(torch.randn(o, i, grid + order))
        self.bias = nn.Parameter(torch.randn(o))
        self.scale = 4 * grid**2 / (order + 1) ** 2

    def forward(self, x: Tensor) -> Tensor:
        bumps = (F.relu(x[..., None] - self.low) * F.relu(self.high - x[..., None]) * self.scale) ** 2
        o, i, k = self.weight.shape
        image = bumps.reshape(-1, 1, k, i)
        return F.conv2d(image, self.weight.reshape(o, 1, k, i), self.bias).reshape(*x.shape[:-1], o)


class ChebyKAN(nn.Module):
    """ChebyKAN: cos(n * acos(tanh(x))), the closed form, which has no derivative where tanh rounds to 1."""

    def __init__(self, i: int, o: int, degree: int = 4) -> None:
        super().__init__()
        self.coef = nn.Parameter(torch.randn(o, i, degree + 1) / (i * (degree + 1)))

    def forward(self, x: Tensor) -> Tensor:
        n = torch.arange(self.coef.shape[-1], dtype=x.dtype)
        return torch.einsum("...ik,oik->...o", torch.cos(n * torch.acos(torch.tanh(x))[..., None]), self.coef)


class FourierKAN(nn.Module):
    """FourierKAN: sum over m of a cos(m x) + b sin(m x), and a bias."""

    def __init__(self, i: int, o: int, grid: int = 5) -> None:
        super().__init__()
        self.cosine = nn.Parameter(torch.randn(o, i, grid) / math.sqrt(i * grid))
        self.sine = nn.Parameter(torch.randn(o, i, grid) / math.sqrt(i * grid))
        self.bias = nn.Parameter(torch.zeros(o))

    def forward(self, x: Tensor) -> Tensor:
        m = torch.arange(1, self.cosine.shape[-1] + 1, dtype=x.dtype)
        wave = x[..., None] * m
        y = torch.einsum("...im,oim->...o", torch.cos(wave), self.cosine)
        return y + torch.einsum("...im,oim->...o", torch.sin(wave), self.sine) + self.bias


ABOVE = {
    "identity": [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
    "swish": [3.054879741161051e-07, 0.5000007853744493, 0.24999783422824703, 0.05326628273219478, 0.005803034571292244,
              0.0002751961022402342],
    "gelu_old": [-0.0012423594497499122, 0.5080497063245629, 0.41586363182937475, 0.13022718688035761, 0.024355900098993424,
                 0.00290283948155535],
}
BELOW = {
    "identity": [0.0, 0.0, 0.0, 0.0],
    "swish": [-4.111554955950634e-06, 0.10652899335007572, -1.2690007399796238e-06, 0.0005502331264140556],
    "gelu_old": [-0.06675015696494944, 0.17927646217001553, 0.03746682605496631, 1.6561610853276082e-10],
}


class Magnitude(torch.autograd.Function):
    """|x| with the derivative of the Kolmogorov-Arnold transformer's kernels: 1 at 0."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.abs()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, dy: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return torch.where(x < 0, -dy, dy)


class GroupRational(nn.Module):
    """P / Q of arXiv 2409.10594 by powers, one numerator for all groups of neighbouring channels."""

    def __init__(self, c: int, groups: int = 8, start: str = "swish") -> None:
        super().__init__()
        self.over = nn.Parameter(torch.tensor(ABOVE[start]))
        self.under = nn.Parameter(torch.tensor(BELOW[start]).repeat(groups, 1))

    def forward(self, x: Tensor) -> Tensor:
        groups = self.under.shape[0]
        lanes = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
        p = sum(a * lanes**k for k, a in enumerate(self.over))
        b = Magnitude.apply(self.under)
        size = Magnitude.apply(lanes)
        q = 1 + sum(b[:, k, None] * size ** (k + 1) for k in range(4))
        return (p / q).reshape(x.shape)


class GRKAN(nn.Module):
    """The activation, then the linear map."""

    def __init__(self, i: int, o: int, groups: int = 8, start: str = "swish") -> None:
        super().__init__()
        self.act = GroupRational(i, groups, start)
        self.weight = nn.Parameter(torch.randn(o, i) / math.sqrt(i))
        self.bias = nn.Parameter(torch.zeros(o))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.act(x), self.weight, self.bias)


class GRKANMLP(nn.Module):
    """Identity, D to 4 D, Swish, 4 D to D."""

    def __init__(self, c: int, ratio: int = 4, groups: int = 8) -> None:
        super().__init__()
        self.up = GRKAN(c, ratio * c, groups, "identity")
        self.down = GRKAN(ratio * c, c, groups, "swish")

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x))


class AFKAN(nn.Module):
    """All-KAN's af_kan with quad1, silu, global attention and LayerNorm, without func_norm."""

    def __init__(self, i: int, o: int, grid: int = 3, order: int = 3) -> None:
        super().__init__()
        self.low = nn.Parameter(torch.arange(-order, grid) / grid)
        self.high = nn.Parameter((torch.arange(-order, grid) + order + 1) / grid)
        self.weight = nn.Parameter(torch.randn(o, i) / math.sqrt(i))
        self.attend, self.attend_bias = nn.Parameter(torch.randn(grid + order)), nn.Parameter(torch.randn(()))
        self.temperature = nn.Parameter(torch.tensor(math.sqrt(i)))
        self.norm = LayerNorm(i)

    def forward(self, x: Tensor) -> Tensor:
        x = x[..., None]
        z = (F.silu(x - self.low) * F.silu(self.high - x)) ** 2
        share = F.softmax((z @ self.attend + self.attend_bias) / self.temperature.clamp(min=1), -1)
        return F.silu(self.norm(share * z.sum(-1))) @ self.weight.T

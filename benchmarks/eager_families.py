"""The further families of the standard library in eager torch, as in `eager.py`: with their names of parameters."""

from __future__ import annotations

import math

import torch
from eager import Conv2d, Linear, empty
from torch import Tensor, nn
from torch.nn import functional as F


class RBFKAN(nn.Module):
    def __init__(self, i: int, o: int, count: int = 8) -> None:
        super().__init__()
        self.norm, self.base, self.coef = nn.Module(), Linear(i, o), empty(o, i, count)
        self.norm.gamma, self.norm.beta = empty(i), empty(i)
        self.register_buffer("places", torch.arange(float(count)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        z = F.layer_norm(x, x.shape[-1:], self.norm.gamma, self.norm.beta)
        bumps = torch.exp(-((z[..., None] + 2) * ((len(self.places) - 1) / 4) - self.places).square())
        return F.linear(bumps.flatten(-2), self.coef.flatten(1)) + self.base(F.silu(x))


class ReLUKAN(nn.Module):
    def __init__(self, i: int, o: int, grid: int = 5, order: int = 3) -> None:
        super().__init__()
        self.low, self.high = empty(i, grid + order), empty(i, grid + order)
        self.weight, self.bias = empty(o, i, grid + order), empty(o)
        self.scale = 4 * grid**2 / (order + 1) ** 2

    def forward(self, x: Tensor) -> Tensor:
        x = x[..., None]
        bumps = (F.relu(x - self.low) * F.relu(self.high - x) * self.scale).square()
        return F.linear(bumps.flatten(-2), self.weight.flatten(1), self.bias)


class ChebyKAN(nn.Module):
    """By the recurrence; the authors' cos(n acos(tanh(x))) has no derivative where tanh rounds to 1."""

    def __init__(self, i: int, o: int, degree: int = 4) -> None:
        super().__init__()
        self.coef = empty(o, i, degree + 1)

    def forward(self, x: Tensor) -> Tensor:
        u = torch.tanh(x)
        terms = [torch.ones_like(u), u]
        while len(terms) < self.coef.shape[-1]:
            terms.append(2 * u * terms[-1] - terms[-2])
        return F.linear(torch.stack(terms, -1).flatten(-2), self.coef.flatten(1))


class FourierKAN(nn.Module):
    def __init__(self, i: int, o: int, grid: int = 5) -> None:
        super().__init__()
        self.cosine, self.sine, self.bias = empty(o, i, grid), empty(o, i, grid), empty(o)

    def forward(self, x: Tensor) -> Tensor:
        wave = x[..., None] * torch.arange(1, self.cosine.shape[-1] + 1, device=x.device)
        y = F.linear(wave.cos().flatten(-2), self.cosine.flatten(1), self.bias)
        return y + F.linear(wave.sin().flatten(-2), self.sine.flatten(1))


class GroupRational(nn.Module):
    def __init__(self, groups: int = 8) -> None:
        super().__init__()
        self.over, self.under = empty(6), empty(groups, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = x.unflatten(-1, (len(self.under), -1))
        a, size = self.over, y.abs()
        b = torch.where(self.under < 0, -self.under, self.under)[..., None]  # its derivative is 1 at 0, as in the kernels
        p = a[0] + y * (a[1] + y * (a[2] + y * (a[3] + y * (a[4] + y * a[5]))))
        q = 1 + size * (b[:, 0] + size * (b[:, 1] + size * (b[:, 2] + size * b[:, 3])))
        return (p / q).flatten(-2)


class GRKANMLP(nn.Module):
    def __init__(self, c: int, ratio: int = 4) -> None:
        super().__init__()
        self.up, self.down = Linear(c, ratio * c), Linear(ratio * c, c)
        self.up.act, self.down.act = GroupRational(), GroupRational()

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.down.act(self.up(self.up.act(x))))


class AFKAN(nn.Module):
    def __init__(self, i: int, o: int, count: int = 6) -> None:
        super().__init__()
        self.low, self.high, self.weight, self.attend = empty(count), empty(count), empty(o, i), empty(count)
        self.attend_bias, self.temperature, self.norm = empty(), empty(), nn.Module()
        self.norm.gamma, self.norm.beta = empty(i), empty(i)

    def forward(self, x: Tensor) -> Tensor:
        bumps = (F.silu(x[..., None] - self.low) * F.silu(self.high - x[..., None])).square()
        share = F.softmax((bumps @ self.attend + self.attend_bias) / self.temperature.clamp(min=1), -1)
        return F.linear(F.silu(F.layer_norm(share * bumps.sum(-1), x.shape[-1:], self.norm.gamma, self.norm.beta)), self.weight)


class GaussianRBF(nn.Module):
    def __init__(self, i: int, o: int, c: int = 4) -> None:
        super().__init__()
        self.packed, self.weight = empty(i * (i + 1) // 2), empty(o, c)
        self.register_buffer("centre", torch.zeros(c, i))

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        rows, columns = torch.tril_indices(size, size, device=x.device)
        lower = x.new_zeros(size, size).index_put((rows, columns), self.packed)
        return F.linear(torch.exp(-0.5 * ((x[..., None, :] - self.centre) @ lower).square().sum(-1)), self.weight)


class BiPerConv2d(nn.Module):
    """Stage 1, with the derivative of sign by a product that is detached."""

    def __init__(self, c: int, o: int) -> None:
        super().__init__()
        self.weight, self.alpha = empty(o, c, 3, 3), empty(o)

    def forward(self, x: Tensor) -> Tensor:
        a = x * torch.rsqrt(x.var((1, 2, 3), keepdim=True) + 1e-5)
        inside = a.clamp(-1, 1)
        slope = inside * (2 - inside.abs())  # its derivative is that of the surrogate
        return F.conv2d(slope + (a.sign() - slope).detach(), torch.sin(20 * self.weight), None, 1, 1) * self.alpha[:, None, None]


class WeightNormLinear(nn.Module):
    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.direction, self.length, self.inner = empty(o, i), empty(o), nn.Module()
        self.inner.bias = empty(o)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, F.normalize(self.direction, dim=1, eps=0) * self.length[:, None], self.inner.bias)


class VCycle(nn.Module):
    """Three levels with one, one and two sweeps."""

    def __init__(self, f: int, u: int) -> None:
        super().__init__()
        self.start, holder = Conv2d(f, u, bias=False), self
        self.levels: list[nn.Module] = []
        for level in range(3):
            here = nn.Module()
            holder.add_module("coarse" if level else "cycle", here)
            holder = here
            here.down_a, here.down_s = (nn.ModuleList(Conv2d(a, b, bias=False) for _ in range(level and 1 + level // 2))
                                        for a, b in ((u, f), (f, u)))
            if level < 2:
                here.restrict_f, here.restrict_u = Conv2d(f, f, stride=2, bias=False), Conv2d(u, u, stride=2, bias=False)
                here.prolong = nn.ConvTranspose2d(u, u, 4, 2, 1, bias=False)
            self.levels.append(here)

    def forward(self, x: Tensor) -> Tensor:
        y, saved = self.start(x), []
        for level in self.levels:
            for a, s in zip(level.down_a, level.down_s, strict=True):
                y = y + s(x - a(y))
            if level is not self.levels[-1]:
                saved.append(y)
                x, y = level.restrict_f(x), level.restrict_u(y)
        for level, fine in list(zip(self.levels, saved, strict=False))[::-1]:
            y = fine + level.prolong(y)
        return y


class LSTM(nn.Module):
    def __init__(self, i: int, h: int) -> None:
        super().__init__()
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = empty(4 * h, i), empty(4 * h, h), empty(4 * h), empty(4 * h)

    def forward(self, x: Tensor) -> Tensor:
        entering = F.linear(x, self.weight_ih, self.bias_ih + self.bias_hh)
        hidden = cell = x.new_zeros(len(x), self.weight_hh.shape[1])
        states = []
        for now in entering.unbind(1):
            i, f, g, o = (now + F.linear(hidden, self.weight_hh)).chunk(4, -1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            hidden = torch.sigmoid(o) * torch.tanh(cell)
            states.append(hidden)
        return torch.stack(states, 1)


class FourierAttention(nn.Module):
    def __init__(self, c: int, t: int, heads: int = 4, m: int = 12, grid: int = 3) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = Linear(c, 3 * c), Linear(c, c), heads
        self.cosine, self.sine, self.back = empty(heads, m, t, grid), empty(heads, m, t, grid), empty(heads, t, m)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-2, -3)
        turn = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]))[..., None] * torch.arange(1, self.cosine.shape[-1] + 1)
        z = turn.cos().flatten(-2) @ self.cosine.flatten(-2).transpose(-1, -2)
        z = z + turn.sin().flatten(-2) @ self.sine.flatten(-2).transpose(-1, -2)
        return self.out((z @ self.back.transpose(-1, -2) @ v).transpose(-2, -3).flatten(-2))

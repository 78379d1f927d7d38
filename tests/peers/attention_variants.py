"""Variants of attention in plain torch, each from its paper, with loops or masks and no shared parts."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import attend


def scores(q: Tensor, k: Tensor) -> Tensor:
    return torch.einsum("...td,...sd->...ts", q, k) / q.shape[-1] ** 0.5


def masked(score: Tensor, keep: Tensor) -> Tensor:
    return score.masked_fill(~keep, -math.inf)


def softmax(score: Tensor) -> Tensor:
    """Rows of -inf alone give 0, and no derivative."""
    dead = (score == -math.inf).all(-1, keepdim=True)
    return F.softmax(score.masked_fill(dead, 0), -1).masked_fill(dead, 0)


def places(score: Tensor) -> tuple[Tensor, Tensor]:
    """The index of the query as a column, of the key as a row."""
    return torch.arange(score.shape[-2])[:, None], torch.arange(score.shape[-1])


def softmax_one(score: Tensor, sink: float = 0.0) -> Tensor:
    """One more key, of score `sink`, in an ordinary softmax; it is left out of the result."""
    return F.softmax(F.pad(score, (1, 0), value=sink), -1)[..., 1:]


def slopes(heads: int) -> list[float]:
    """The recursive function of ALiBi's repository."""

    def power_of_two(n: int) -> list[float]:
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start * start**i for i in range(n)]

    if math.log2(heads).is_integer():
        return power_of_two(heads)
    closest = 2 ** math.floor(math.log2(heads))
    return power_of_two(closest) + slopes(2 * closest)[0::2][: heads - closest]


def alibi(score: Tensor) -> Tensor:
    t, s = places(score)
    return score + torch.tensor(slopes(score.shape[-3]), dtype=score.dtype)[:, None, None] * (s - t)


def relative_bias(score: Tensor, table: Tensor) -> Tensor:
    t, s = places(score)
    return score + table[:, t - s + score.shape[-1] - 1]


def bucket_bias(score: Tensor, table: Tensor, causal: bool = False) -> Tensor:
    """T5's _relative_position_bucket, element by element, far = 128."""
    kinds = table.shape[1]
    found = score.clone()
    for t in range(score.shape[-2]):
        for s in range(score.shape[-1]):
            bucket, relative, side = 0, t - s, kinds
            if causal:
                relative = max(relative, 0)
            else:
                side //= 2
                bucket += side * (s > t)
                relative = abs(relative)
            near = side // 2
            if relative < near:
                bucket += relative
            else:
                bucket += min(near + int(math.log(relative / near) / math.log(128 / near) * (side - near) + 1e-9), side - 1)
            found[..., t, s] = score[..., t, s] + table[:, bucket]
    return found


def forgetting(score: Tensor, g: Tensor) -> Tensor:
    """score + the sum of g over s < r <= t."""
    t, s = places(score)
    r = torch.arange(g.shape[-1])[:, None, None]
    between = ((r > s) & (r <= t)).to(g.dtype) - ((r > t) & (r <= s)).to(g.dtype)
    return score + torch.einsum("...r,rts->...ts", g, between)


def neighbourhood(score: Tensor, width: int, size: int) -> Tensor:
    """NATTEN's window: the centre of each query is moved so that the window lies inside the image."""
    count = score.shape[-1]
    height, half = count // width, size // 2
    keep = torch.zeros(count, count, dtype=torch.bool)
    for y in range(height):
        for x in range(width):
            top, left = min(max(y - half, 0), height - size), min(max(x - half, 0), width - size)
            for i in range(size):
                for j in range(size):
                    keep[y * width + x, (top + i) * width + left + j] = True
    return masked(score, keep)


def rotary(x: Tensor, halves: bool = False) -> Tensor:
    """By complex multiplication, as in LLaMA's first code; with `halves`, by x cos + rotate_half(x) sin."""
    d = x.shape[-1]
    frequency = 10000.0 ** (-torch.arange(0, d, 2, dtype=x.dtype) / d)
    angle = torch.outer(torch.arange(x.shape[-2], dtype=x.dtype), frequency)
    if halves:
        both = torch.cat([angle, angle], -1)
        turned = torch.cat([-x[..., d // 2 :], x[..., : d // 2]], -1)
        return x * both.cos() + turned * both.sin()
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(-2)


def grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Keys and values repeated for the heads that share them."""
    each = q.shape[-3] // k.shape[-3]
    return attend(q, k.repeat_interleave(each, -3), v.repeat_interleave(each, -3))


class GroupedAttention(nn.Module):
    def __init__(self, c: int, groups: int, each: int, window: int = 0, cap: float = 0.0, one: bool = False) -> None:
        super().__init__()
        self.groups, self.each, self.window, self.cap, self.one = groups, each, window, cap, one
        self.query, self.out = nn.Linear(c, c, bias=False), nn.Linear(c, c, bias=False)
        self.key, self.value = (nn.Linear(c, c // each, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        q = rotary(self.query(x).unflatten(-1, (self.groups * self.each, -1)).transpose(-2, -3))
        k = rotary(self.key(x).unflatten(-1, (self.groups, -1)).transpose(-2, -3)).repeat_interleave(self.each, -3)
        v = self.value(x).unflatten(-1, (self.groups, -1)).transpose(-2, -3).repeat_interleave(self.each, -3)
        score = scores(q, k)
        if self.cap:
            score = self.cap * torch.tanh(score / self.cap)
        t, s = places(score)
        score = masked(score, (s <= t) & (s > t - self.window) if self.window else s <= t)
        p = softmax_one(score) if self.one else F.softmax(score, -1)
        return self.out((p @ v).transpose(-2, -3).flatten(-2))


class DifferentialAttention(nn.Module):
    """The authors' multihead_diffattn: 2 H heads of queries and keys, H of values twice as wide, split after the softmax."""

    def __init__(self, c: int, heads: int, depth: int = 0) -> None:
        super().__init__()
        self.heads, self.width = heads, c // heads // 2
        self.start = 0.8 - 0.6 * math.exp(-0.3 * depth)
        self.query, self.key, self.value, self.out = (nn.Linear(c, c, bias=False) for _ in range(4))
        for name in ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"):
            setattr(self, name, nn.Parameter(0.1 * torch.randn(self.width)))
        self.gamma = nn.Parameter(torch.ones(2 * self.width))

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q = rotary(self.query(x).view(n, t, 2 * self.heads, self.width).transpose(1, 2))
        k = rotary(self.key(x).view(n, t, 2 * self.heads, self.width).transpose(1, 2))
        v = self.value(x).view(n, t, self.heads, 2 * self.width).transpose(1, 2)
        mask = torch.triu(torch.full((t, t), -math.inf, dtype=x.dtype), 1)
        p = F.softmax(q @ k.transpose(-1, -2) * self.width**-0.5 + mask, -1).view(n, self.heads, 2, t, t)
        first = torch.exp(torch.sum(self.lambda_q1 * self.lambda_k1))
        second = torch.exp(torch.sum(self.lambda_q2 * self.lambda_k2))
        y = (p[:, :, 0] - (first - second + self.start) * p[:, :, 1]) @ v
        y = F.rms_norm(y, (2 * self.width,), self.gamma, 1e-5) * (1 - self.start)
        return self.out(y.transpose(1, 2).reshape(n, t, c))


class NormLin(nn.Module):
    """OLinear's CSL: F.normalize of softplus of the weight with p=1, times the values."""

    def __init__(self, channel: int, c: int) -> None:
        super().__init__()
        self.value, self.out = nn.Linear(c, c), nn.Linear(c, c)
        self.weight = nn.Parameter(torch.eye(channel) + torch.randn(channel, channel))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.normalize(F.softplus(self.weight), p=1, dim=-1) @ self.value(x))


class FourierAttention(nn.Module):
    """Fourier-KArAt (arXiv 2503.10632), blockwise, with r = m and no base function: Phi, then W, for each head."""

    def __init__(self, c: int, t: int, heads: int, m: int = 12, grid: int = 3) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(c, 3 * c), nn.Linear(c, c), heads
        self.cosine, self.sine = (nn.Parameter(torch.randn(heads, m, t, grid) / math.sqrt(t * grid)) for _ in range(2))
        self.back = nn.Parameter(torch.randn(heads, t, m) / math.sqrt(m))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for part in self.qkv(x).chunk(3, -1))
        score = scores(q, k)
        z = 0
        for f in range(self.cosine.shape[-1]):
            z = z + torch.einsum("nhts,hms->nhtm", torch.cos((f + 1) * score), self.cosine[..., f])
            z = z + torch.einsum("nhts,hms->nhtm", torch.sin((f + 1) * score), self.sine[..., f])
        return self.out((z @ self.back.transpose(-1, -2) @ v).transpose(-2, -3).flatten(-2))

"""The layers of the standard library as a good engineer writes them in eager torch.

Two of each: `Plain` from torch's tensor operations (matrix products and convolutions included), and where torch has the whole
layer as one function, `Fused` by that. Names of parameters are those of the standard library, so that weights can be copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Act = Callable[[Tensor], Tensor]


def empty(*shape: int) -> nn.Parameter:
    """Weights that are copied from the compiled layer before anything runs."""
    return nn.Parameter(torch.zeros(shape))


class Linear(nn.Module):
    def __init__(self, i: int, o: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = empty(o, i)
        self.bias = empty(o) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class MLP(nn.Module):
    def __init__(self, c: int, ratio: int = 4) -> None:
        super().__init__()
        self.up, self.down = Linear(c, ratio * c), Linear(ratio * c, c)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))


class GatedMLP(nn.Module):
    def __init__(self, c: int, ratio: int = 4) -> None:
        super().__init__()
        self.gate, self.up, self.down = Linear(c, ratio * c, False), Linear(c, ratio * c, False), Linear(ratio * c, c, False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Perceptron(nn.Module):
    def __init__(self, i: int, o: int, hidden: int, depth: int = 2) -> None:
        super().__init__()
        self.first, self.last = Linear(i, hidden), Linear(hidden, o)
        self.middle = nn.ModuleList(Linear(hidden, hidden) for _ in range(depth - 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for layer in self.middle:
            x = F.relu(layer(x))
        return self.last(x)


class PReLU(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.slope = empty(c)

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, x, self.slope * x)


def image(v: Tensor) -> Tensor:
    return v[:, None, None]


class Affine(nn.Module):
    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gamma, self.beta = empty(channels), empty(channels)


class LayerNorm(Affine):
    def forward(self, x: Tensor) -> Tensor:
        var, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(var + self.eps) * self.gamma + self.beta


class FusedLayerNorm(Affine):
    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.gamma.shape, self.gamma, self.beta, self.eps)


class RMSNorm(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.gamma = empty(c)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.gamma


class FusedRMSNorm(RMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.gamma.shape, self.gamma, 1e-6)


class BatchNorm2d(Affine):
    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__(channels)
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
            count = x.numel() // x.shape[1]
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * (count / max(count - 1, 1)), self.momentum)
        else:
            var, mean = self.running_var, self.running_mean
        scale = self.gamma * torch.rsqrt(var + self.eps)
        return (x - image(mean)) * image(scale) + image(self.beta)


class FusedBatchNorm2d(BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.gamma, self.beta, self.training, self.momentum, self.eps)


class GroupNorm(Affine):
    def __init__(self, channels: int, groups: int = 8) -> None:
        super().__init__(channels)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        y = x.unflatten(1, (self.groups, -1))
        var, mean = torch.var_mean(y, (2, 3, 4), correction=0, keepdim=True)
        y = (y - mean) * torch.rsqrt(var + self.eps)
        return y.flatten(1, 2) * image(self.gamma) + image(self.beta)


class FusedGroupNorm(GroupNorm):
    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.groups, self.gamma, self.beta, self.eps)


class EvoNormB(Affine):
    """B0, B1 and B2, by `kind`."""

    def __init__(self, channels: int, kind: int, momentum: float = 0.1) -> None:
        super().__init__(channels)
        self.kind, self.momentum = kind, momentum
        self.register_buffer("running_var", torch.ones(channels))
        if kind == 0:
            self.v = empty(channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            var = x.var((0, 2, 3), correction=0)
            count = x.numel() // x.shape[1]
            with torch.no_grad():
                self.running_var.lerp_(var * (count / max(count - 1, 1)), self.momentum)
        else:
            var = self.running_var
        left = image((var + self.eps).sqrt())
        if self.kind == 0:
            right = image(self.v) * x + (x.var((2, 3), correction=0, keepdim=True) + self.eps).sqrt()
        else:
            rms = (x.square().mean((2, 3), keepdim=True) + self.eps).sqrt()
            right = (x + 1) * rms if self.kind == 1 else rms - x
        return x / torch.maximum(left, right) * image(self.gamma) + image(self.beta)


class EvoNormS(Affine):
    """S0, S1 and S2, by `kind`."""

    def __init__(self, channels: int, kind: int, groups: int = 8) -> None:
        super().__init__(channels)
        self.kind, self.groups = kind, groups
        if kind == 0:
            self.v = empty(channels)

    def forward(self, x: Tensor) -> Tensor:
        top = x * torch.sigmoid(image(self.v) * x) if self.kind == 0 else F.silu(x)
        y = x.unflatten(1, (self.groups, -1))
        dims = (2, 3, 4)
        spread = y.square().mean(dims, keepdim=True) if self.kind == 2 else y.var(dims, correction=0, keepdim=True)
        y = top.unflatten(1, (self.groups, -1)) * torch.rsqrt(spread + self.eps)
        return y.flatten(1, 2) * image(self.gamma) + image(self.beta)


class KAN(nn.Module):
    """Truncated powers for the basis, then two matrix products."""

    def __init__(self, i: int, o: int, grid: int = 5, order: int = 3) -> None:
        super().__init__()
        self.base, self.coef = empty(o, i), empty(o, i, grid + order)
        self.half, self.order = grid / 2, order
        self.register_buffer("middle", torch.arange(grid + order) - (grid + order - 1) / 2, persistent=False)

    def basis(self, x: Tensor) -> Tensor:
        away = (x[..., None] * self.half - self.middle).abs()
        total = None
        for j in range(self.order // 2 + 1):
            weight = (-1) ** j * math.comb(self.order + 1, j) / math.factorial(self.order)
            term = weight * F.relu((self.order + 1) / 2 - j - away) ** self.order
            total = term if total is None else total + term
        return total

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.silu(x), self.base) + F.linear(self.basis(x).flatten(-2), self.coef.flatten(1))


class RecursiveKAN(KAN):
    """The basis by the Cox-de Boor recurrence, as the published eager code has it."""

    def basis(self, x: Tensor) -> Tensor:
        grid = self.coef.shape[2] - self.order
        knots = torch.arange(-self.order, grid + self.order + 1, device=x.device, dtype=x.dtype) / self.half - 1
        x = x[..., None]
        basis = ((x >= knots[:-1]) & (x < knots[1:])).to(x.dtype)
        for p in range(1, self.order + 1):
            left = (x - knots[: -p - 1]) / (knots[p:-1] - knots[: -p - 1])
            right = (knots[p + 1 :] - x) / (knots[p + 1 :] - knots[1:-p])
            basis = left * basis[..., :-1] + right * basis[..., 1:]
        return basis


class KANMLP(nn.Module):
    def __init__(self, c: int, kind: type[KAN] = KAN) -> None:
        super().__init__()
        self.up, self.down = kind(c, c), kind(c, c)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x))


class Conv2d(nn.Module):
    def __init__(self, c: int, o: int, kernel: int = 3, stride: int = 1, pad: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.weight = empty(o, c, kernel, kernel)
        self.bias = empty(o) if bias else None
        self.stride, self.pad = stride, pad

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.pad)


class Conv1d(nn.Module):
    def __init__(self, c: int, o: int) -> None:
        super().__init__()
        self.weight, self.bias = empty(o, c, 3), empty(o)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.weight, self.bias, 1, 1)


class DepthwiseConv2d(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.weight, self.bias = empty(c, 3, 3), empty(c)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight[:, None], self.bias, 1, 1, groups=x.shape[1])


class ConvTranspose2d(nn.Module):
    def __init__(self, c: int, o: int) -> None:
        super().__init__()
        self.weight, self.bias = empty(c, o, 2, 2), empty(o)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight, self.bias, 2)


class SelfAttention(nn.Module):
    def __init__(self, c: int, heads: int = 4, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.out = Linear(c, 3 * c), Linear(c, c)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        score = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5)
        if self.causal:
            score = score.masked_fill(torch.ones(score.shape[-2:], dtype=torch.bool, device=q.device).triu(1), -math.inf)
        return score.softmax(-1) @ v

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-2, -3)
        return self.out(self.attend(q, k, v).transpose(-2, -3).flatten(-2))


class FusedSelfAttention(SelfAttention):
    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)


def rotated(x: Tensor) -> Tensor:
    """Neighbouring pairs of the last axis turned by their position, [n, t, heads, d]."""
    d = x.shape[-1]
    angle = torch.outer(torch.arange(x.shape[1], device=x.device), 10000.0 ** (-torch.arange(0, d, 2, device=x.device) / d))
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(-2)


def masked(score: Tensor) -> Tensor:
    return score.masked_fill(torch.ones(score.shape[-2:], dtype=torch.bool, device=score.device).triu(1), -math.inf)


class GroupedAttention(nn.Module):
    def __init__(self, c: int, groups: int = 2, each: int = 2) -> None:
        super().__init__()
        self.groups, self.each = groups, each
        self.query, self.out = Linear(c, c, False), Linear(c, c, False)
        self.key, self.value = Linear(c, c // each, False), Linear(c, c // each, False)

    def forward(self, x: Tensor) -> Tensor:
        q = rotated(self.query(x).unflatten(-1, (self.groups * self.each, -1))).transpose(1, 2)
        k = rotated(self.key(x).unflatten(-1, (self.groups, -1))).transpose(1, 2).repeat_interleave(self.each, 1)
        v = self.value(x).unflatten(-1, (self.groups, -1)).transpose(1, 2).repeat_interleave(self.each, 1)
        p = masked(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        return self.out((p @ v).transpose(1, 2).flatten(2))


class DifferentialAttention(nn.Module):
    def __init__(self, c: int, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.width, self.start = heads, c // heads // 2, 0.2
        self.query, self.key, self.value, self.out = (Linear(c, c, False) for _ in range(4))
        self.lambda_q1, self.lambda_k1, self.lambda_q2, self.lambda_k2 = (empty(self.width) for _ in range(4))
        self.gamma = empty(2 * self.width)

    def forward(self, x: Tensor) -> Tensor:
        q, k = (rotated(part(x).unflatten(-1, (2 * self.heads, -1))).transpose(1, 2) for part in (self.query, self.key))
        v = self.value(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        p = masked(q @ k.transpose(-1, -2) * self.width**-0.5).softmax(-1).unflatten(1, (self.heads, 2))
        first, second = (self.lambda_q1 * self.lambda_k1).sum().exp(), (self.lambda_q2 * self.lambda_k2).sum().exp()
        y = (p[:, :, 0] - (first - second + self.start) * p[:, :, 1]) @ v
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-5) * self.gamma * (1 - self.start)
        return self.out(y.transpose(1, 2).flatten(2))


class SpectralConv2d(nn.Module):
    """As neuraloperator 2.0 has it, for grids that have all the frequencies."""

    def __init__(self, i: int, o: int, rows: int = 16, columns: int = 16) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(i, o, rows, columns // 2 + 1, dtype=torch.complex64))
        self.bias = empty(o)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        _, o, rows, columns = self.weight.shape
        spectrum = torch.fft.fftshift(torch.fft.rfft2(x, norm="forward"), dim=-2)
        kept = slice(h // 2 - rows // 2, h // 2 - rows // 2 + rows)
        y = spectrum.new_zeros(x.shape[0], o, *spectrum.shape[2:])
        y[:, :, kept, :columns] = torch.einsum("nihw,iohw->nohw", spectrum[:, :, kept, :columns], self.weight)
        y = torch.fft.irfft2(torch.fft.ifftshift(y, dim=-2), s=(h, w), norm="forward")
        return y + self.bias[:, None, None]


class NormLin(nn.Module):
    def __init__(self, channel: int, c: int) -> None:
        super().__init__()
        self.value, self.out, self.weight = Linear(c, c), Linear(c, c), empty(channel, channel)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.normalize(F.softplus(self.weight), p=1, dim=-1) @ self.value(x))


class PatchEmbed(nn.Module):
    def __init__(self, channel: int, o: int, patch: int = 4) -> None:
        super().__init__()
        self.weight, self.bias = empty(o, channel, patch, patch), empty(o)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.weight.shape[-1]).flatten(2).transpose(1, 2)


class TransformerBlock(nn.Module):
    def __init__(
        self, c: int, heads: int = 4, norm: type[nn.Module] = LayerNorm, attention: type[nn.Module] = SelfAttention
    ) -> None:
        super().__init__()
        self.before, self.attention, self.after, self.feed = norm(c), attention(c, heads), norm(c), MLP(c)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.before(x))
        return x + self.feed(self.after(x))


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, norm: type[nn.Module] = BatchNorm2d) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(channels), norm(channels)
        self.conv1, self.conv2 = (Conv2d(channels, channels, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class DownsampleBlock(nn.Module):
    def __init__(self, i: int, o: int, norm: type[nn.Module] = BatchNorm2d) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(i), norm(o)
        self.conv1, self.conv2 = Conv2d(i, o, stride=2, bias=False), Conv2d(o, o, bias=False)
        self.shortcut = Conv2d(i, o, 1, 2, 0, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        z = F.relu(self.norm1(x))
        return self.shortcut(z) + self.conv2(F.relu(self.norm2(self.conv1(z))))

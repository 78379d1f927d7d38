"""Parts of models of images in plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import SelfAttention
from .conv import Conv2d
from .linear import MLP
from .norm import BatchNorm2d, LayerNorm

Make = Callable[[int], nn.Module]


class PatchEmbed(nn.Module):
    """Dosovitskiy et al., arXiv 2010.11929, equation 1: patches row by row, each through one linear map."""

    def __init__(self, channel: int, o: int, patch: int = 4) -> None:
        super().__init__()
        self.patch = patch
        self.weight = nn.Parameter(torch.randn(o, channel, patch, patch) / math.sqrt(channel * patch * patch))
        self.bias = nn.Parameter(torch.randn(o))

    def forward(self, image: Tensor) -> Tensor:
        n, channel, h, w = image.shape
        p = self.patch
        parts = image.reshape(n, channel, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5)
        return parts.reshape(n, (h // p) * (w // p), channel * p * p) @ self.weight.flatten(1).T + self.bias


class TransformerBlock(nn.Module):
    """Xiong et al., arXiv 2002.04745: normalization before attention and before the feed-forward block."""

    def __init__(self, c: int, heads: int = 4, causal: bool = False, mlp: Make = MLP, norm: Make = LayerNorm) -> None:
        super().__init__()
        self.before = norm(c)
        self.attention = SelfAttention(c, heads, causal)
        self.after = norm(c)
        self.feed = mlp(c)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.before(x))
        return x + self.feed(self.after(x))


class ResidualBlock(nn.Module):
    """He et al., arXiv 1603.05027, figure 1b."""

    def __init__(self, channels: int, norm: Make = BatchNorm2d, act: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.act = act
        self.norm1 = norm(channels)
        self.conv1 = Conv2d(channels, channels, biased=False)
        self.norm2 = norm(channels)
        self.conv2 = Conv2d(channels, channels, biased=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.act(self.norm1(x)))
        return x + self.conv2(self.act(self.norm2(y)))


class DownsampleBlock(nn.Module):
    """The same with a strided 1 x 1 convolution of the activated input as shortcut."""

    def __init__(
        self, i: int, o: int, stride: int = 2, norm: Make = BatchNorm2d, act: Callable[[Tensor], Tensor] = F.relu
    ) -> None:
        super().__init__()
        self.act = act
        self.norm1 = norm(i)
        self.conv1 = Conv2d(i, o, stride=stride, biased=False)
        self.norm2 = norm(o)
        self.conv2 = Conv2d(o, o, biased=False)
        self.shortcut = Conv2d(i, o, kernel=1, stride=stride, pad=0, biased=False)

    def forward(self, x: Tensor) -> Tensor:
        z = self.act(self.norm1(x))
        return self.shortcut(z) + self.conv2(self.act(self.norm2(self.conv1(z))))


class ViT(nn.Module):
    """examples/vit_digits."""

    def __init__(
        self, channel: int = 1, classes: int = 10, c: int = 64, t: int = 16, patch: int = 2, depth: int = 4, heads: int = 4,
        mlp: Make = MLP, norm: Make = LayerNorm,
    ) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(t, c) * 0.02)
        self.embed = PatchEmbed(channel, c, patch)
        self.blocks = nn.ModuleList(TransformerBlock(c, heads, mlp=mlp, norm=norm) for _ in range(depth))
        self.last = norm(c)
        self.head = nn.Linear(c, classes)

    def forward(self, image: Tensor) -> Tensor:
        x = self.embed(image) + self.place
        for block in self.blocks:
            x = block(x)
        return self.head(self.last(x).mean(1))


class ResNet(nn.Module):
    """examples/resnet_fashion."""

    def __init__(
        self, channel: int = 1, classes: int = 10, c: int = 16, depth: int = 1, norm: Make = BatchNorm2d,
        act: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.act = act
        self.stem = Conv2d(channel, c, biased=False)
        self.stage1 = nn.ModuleList(ResidualBlock(c, norm, act) for _ in range(depth))
        self.narrow2 = DownsampleBlock(c, 2 * c, norm=norm, act=act)
        self.stage2 = nn.ModuleList(ResidualBlock(2 * c, norm, act) for _ in range(depth))
        self.narrow3 = DownsampleBlock(2 * c, 4 * c, norm=norm, act=act)
        self.stage3 = nn.ModuleList(ResidualBlock(4 * c, norm, act) for _ in range(depth))
        self.last = norm(4 * c)
        self.head = nn.Linear(4 * c, classes)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        for part in (*self.stage1, self.narrow2, *self.stage2, self.narrow3, *self.stage3):
            x = part(x)
        return self.head(self.act(self.last(x)).mean((2, 3)))

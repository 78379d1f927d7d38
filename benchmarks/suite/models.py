"""Whole models: a step is forward, loss, backward and AdamW. The layers are those of `examples/`."""

from __future__ import annotations

from pathlib import Path

import eager as E
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archc.bench.case import Case
from suite import draw

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BATCH = {"small": 32, "medium": 128, "large": 512}


class KANDigits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = E.KAN(64, 64, 3), E.KAN(64, 10, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.last(self.first(2 * image.flatten(1) - 1))


class ViT(nn.Module):
    def __init__(self, c: int = 64, t: int = 16, depth: int = 4) -> None:
        super().__init__()
        self.place, self.embed = E.empty(t, c), E.PatchEmbed(1, c, 2)
        self.blocks = nn.ModuleList(E.TransformerBlock(c) for _ in range(depth))
        self.last, self.head = E.LayerNorm(c), E.Linear(c, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.embed(image) + self.place
        for block in self.blocks:
            x = block(x)
        return self.head(self.last(x).mean(1))


class ResNet(nn.Module):
    def __init__(self, c: int = 16) -> None:
        super().__init__()
        self.stem = E.Conv2d(1, c, bias=False)
        self.stage1, self.stage2, self.stage3 = (nn.ModuleList([E.ResidualBlock(k * c)]) for k in (1, 2, 4))
        self.narrow2, self.narrow3 = E.DownsampleBlock(c, 2 * c), E.DownsampleBlock(2 * c, 4 * c)
        self.last, self.head = E.BatchNorm2d(4 * c), E.Linear(4 * c, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.narrow2(self.stage1[0](self.stem(image)))
        x = self.stage3[0](self.narrow3(self.stage2[0](x)))
        return self.head(F.relu(self.last(x)).mean((2, 3)))


KINDS = {"KAN classifier": ("kan_digits/kan_digits.arch", "KANDigits", KANDigits, (1, 8, 8)),
         "small ViT": ("vit_digits/vit_digits.arch", "ViT", ViT, (1, 8, 8)),
         "small ResNet": ("resnet_fashion/resnet_fashion.arch", "ResNet", ResNet, (1, 28, 28))}


def loss(logit: Tensor, inputs: list[Tensor]) -> Tensor:
    return F.cross_entropy(logit, torch.arange(len(logit), device=logit.device) % logit.shape[1])


def cases() -> list[Case]:
    return [Case(name, "model", size, EXAMPLES / file, layer, draw.uniform((n, *shape)), eager=lambda eager=eager: eager(),
                 loss=loss, bound="products", quick=size == "medium")
            for name, (file, layer, eager, shape) in KINDS.items() for size, n in BATCH.items()]

"""What each layer of the standard library is compared with: its transcription in plain torch, and other authors' layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from tests.peers import attention, conv, kan, linear, norm, packages, vision

AFFINE = {"gamma": "weight", "beta": "bias"}
KAN_NAMES = {"base": "base_weight", "coef": "spline_weight"}


@dataclass(frozen=True)
class Peer:
    """A layer of another package, and its names for our params and buffers where they differ."""

    name: str
    make: Callable[[], nn.Module]
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """`layer` is module.Layer; `static` and `arguments` make it; `reference` makes the transcription, with our names."""

    layer: str
    reference: Callable[[], nn.Module]
    shape: tuple[int, ...]
    arguments: Mapping[str, int | float] = field(default_factory=dict)
    static: Mapping[str, object] = field(default_factory=dict)
    peers: tuple[Peer, ...] = ()

    @property
    def id(self) -> str:
        chosen = ",".join(f"{k}={v}" for k, v in {**self.arguments, **self.static}.items())
        return f"{self.layer}({chosen})"


def case(layer: str, reference: Callable[[], nn.Module], shape: tuple[int, ...], *peers: Peer, static: Mapping[str, object] = {},
         **arguments: int | float) -> Case:
    return Case(layer, reference, shape, arguments, static, peers)


def norms() -> list[Case]:
    image, tokens = (3, 8, 5, 6), (2, 5, 8)
    timm = {**AFFINE, "v": "v", "running_var": "running_var"}
    cases = [
        case("norm.BatchNorm2d", lambda: norm.BatchNorm2d(8), image, Peer("torch.nn", lambda: nn.BatchNorm2d(8), AFFINE),
             channels=8),
        case("norm.BatchNorm2d", lambda: norm.BatchNorm2d(8, 1e-2, 0.3), image,
             Peer("torch.nn", lambda: nn.BatchNorm2d(8, eps=1e-2, momentum=0.3), AFFINE), channels=8, eps=1e-2, momentum=0.3),
        case("norm.LayerNorm", lambda: norm.LayerNorm(8), tokens, Peer("torch.nn", lambda: nn.LayerNorm(8), AFFINE), c=8),
        case("norm.RMSNorm", lambda: norm.RMSNorm(8), tokens, Peer("torch.nn", lambda: nn.RMSNorm(8, eps=1e-6), AFFINE), c=8),
        case("norm.GroupNorm", lambda: norm.GroupNorm(8, 2), image, Peer("torch.nn", lambda: nn.GroupNorm(2, 8), AFFINE),
             channels=8, groups=2),
    ]
    for kind in range(3):
        b, s = f"B{kind}", f"S{kind}"
        cases.append(case(f"norm.EvoNorm{b}", partial(norm.EvoNormB, 8, kind=kind), image,
                          Peer("timm", partial(packages.evonorm, b, 8, eps=1e-5), timm), channels=8))
        cases.append(case(f"norm.EvoNorm{s}", partial(norm.EvoNormS, 8, 2, kind=kind), image,
                          Peer("timm", partial(packages.evonorm, s, 8, groups=2, eps=1e-5), timm), channels=8, groups=2))
    return cases


def linears() -> list[Case]:
    tokens = (2, 5, 8)
    return [
        case("linear.Linear", lambda: linear.Linear(8, 3), tokens, Peer("torch.nn", lambda: nn.Linear(8, 3)), i=8, o=3),
        case("linear.Linear", lambda: linear.Linear(8, 3, False), tokens, Peer("torch.nn", lambda: nn.Linear(8, 3, bias=False)),
             static={"biased": False}, i=8, o=3),
        case("linear.MLP", lambda: linear.MLP(8), tokens, c=8),
        case("linear.MLP", lambda: linear.MLP(8, 2), tokens, c=8, ratio=2),
        case("linear.GatedMLP", lambda: linear.GatedMLP(8), tokens, c=8),
        case("linear.Perceptron", lambda: linear.Perceptron(8, 3, 16), (5, 8), i=8, o=3, hidden=16),
        case("linear.Perceptron", lambda: linear.Perceptron(8, 3, 16, 1), (5, 8), static={"depth": 1}, i=8, o=3, hidden=16),
        case("activation.PReLU", lambda: PReLU(8), tokens,
             Peer("torch.nn", lambda: LastAxis(nn.PReLU(8)), {"slope": "inner.weight"}), c=8),
    ]


def kans() -> list[Case]:
    cases = [
        case("kan.KAN", partial(kan.KAN, 8, 3, grid, order), (7, 8),
             *([Peer("efficient-kan", partial(packages.efficient_kan, 8, 3, grid, order), KAN_NAMES)] if order else []),
             static={"grid": grid, "order": order}, i=8, o=3)
        for grid, order in [(5, 3), (1, 3), (8, 1), (4, 2), (5, 4), (3, 5), (6, 0)]
    ]
    cases.append(case("kan.KAN", lambda: kan.KAN(8, 3), (2, 5, 8), i=8, o=3))
    cases.append(case("kan.KANMLP", lambda: kan.KANMLP(8), (2, 5, 8), c=8))
    return cases


def convs() -> list[Case]:
    image = (2, 3, 9, 7)
    cases = []
    for kernel, stride, pad in [(3, 1, 1), (3, 2, 1), (1, 1, 0), (1, 2, 0), (5, 1, 2), (2, 2, 0), (4, 3, 1)]:
        settings = {"kernel": kernel, "stride": stride, "pad": pad}
        cases.append(case("conv.Conv2d", partial(conv.Conv2d, 3, 4, **settings), image,
                          Peer("torch.nn", partial(nn.Conv2d, 3, 4, kernel, stride, pad)), static=settings, c=3, o=4))
        cases.append(case("conv.Conv1d", partial(conv.Conv1d, 3, 4, **settings), (2, 3, 9),
                          Peer("torch.nn", partial(nn.Conv1d, 3, 4, kernel, stride, pad)), static=settings, c=3, o=4))
        cases.append(case("conv.DepthwiseConv2d", partial(conv.DepthwiseConv2d, 3, **settings), image, static=settings, c=3))
    cases.append(case("conv.Conv2d", lambda: conv.Conv2d(3, 4, biased=False), image, static={"biased": False}, c=3, o=4))
    for border, mode in [("edge", "replicate"), ("reflect", "reflect"), ("wrap", "circular")]:
        reference = partial(Bordered, mode)
        cases.append(case("conv.Conv2d", reference, image, Peer("torch.nn", partial(nn.Conv2d, 3, 4, 3, 1, 1, padding_mode=mode)),
                          static={"border": border}, c=3, o=4))
    for kernel, stride, pad in [(2, 2, 0), (3, 1, 1), (3, 2, 1), (4, 2, 1), (2, 3, 0)]:
        settings = {"kernel": kernel, "stride": stride, "pad": pad}
        cases.append(case("conv.ConvTranspose2d", partial(conv.ConvTranspose2d, 3, 4, **settings), (2, 3, 5, 4),
                          Peer("torch.nn", partial(nn.ConvTranspose2d, 3, 4, kernel, stride, pad)), static=settings, c=3, o=4))
    return cases


def attentions() -> list[Case]:
    names = {"qkv.weight": "in_proj_weight", "qkv.bias": "in_proj_bias",
             "out.weight": "out_proj.weight", "out.bias": "out_proj.bias"}
    return [
        case("attention.SelfAttention", partial(attention.SelfAttention, 8, 2, causal), (2, 5, 8),
             Peer("torch.nn", partial(packages.MultiheadAttention, 8, 2, causal), names), static={"causal": causal}, c=8, heads=2)
        for causal in (False, True)
    ]


def visions() -> list[Case]:
    image, tokens = (3, 4, 6, 5), (2, 5, 8)
    evonorm = partial(norm.EvoNormS, groups=2)
    return [
        case("vision.PatchEmbed", lambda: vision.PatchEmbed(3, 8, 4), (2, 3, 8, 12), channel=3, o=8, t=6),
        case("vision.PatchEmbed", lambda: vision.PatchEmbed(1, 8, 2), (2, 1, 8, 8), static={"patch": 2}, channel=1, o=8, t=16),
        case("vision.TransformerBlock", lambda: vision.TransformerBlock(8, 2), tokens, c=8, heads=2),
        case("vision.TransformerBlock", lambda: vision.TransformerBlock(8, 2, True, kan.KANMLP, norm.RMSNorm), tokens,
             static={"causal": True, "mlp": "KANMLP", "norm": "RMSNorm"}, c=8, heads=2),
        case("vision.ResidualBlock", lambda: vision.ResidualBlock(4), image, channels=4),
        case("vision.ResidualBlock", lambda: vision.ResidualBlock(8, lambda c: evonorm(c, groups=8), identity), (3, 8, 6, 5),
             static={"norm": "EvoNormS0", "act": "identity"}, channels=8),
        case("vision.DownsampleBlock", lambda: vision.DownsampleBlock(4, 6), image, i=4, o=6),
        case("vision.DownsampleBlock", lambda: vision.DownsampleBlock(4, 6, 1), image, static={"stride": 1}, i=4, o=6),
    ]


def identity(x: Tensor) -> Tensor:
    return x


class PReLU(nn.Module):
    """He, Zhang, Ren, Sun, arXiv 1502.01852, over the last axis."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((c,), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=0) + self.slope * x.clamp(max=0)


class LastAxis(nn.Module):
    """A layer of torch that wants its channels second, over the last axis."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.movedim(-1, 1)).movedim(1, -1)


class Bordered(conv.Conv2d):
    def __init__(self, mode: str) -> None:
        super().__init__(3, 4, pad=0)
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(x, (1, 1, 1, 1), mode=self.mode))


CASES = [*norms(), *linears(), *kans(), *convs(), *attentions(), *visions()]

"""Layers that are bound by memory: normalizations with activations, gates, losses, chains of elementwise operations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import eager as E
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archc.bench.case import Case, Peer
from suite import draw, packages

FILE = Path(__file__).with_name("norms.arch")
IMAGES = {"small": (8, 16, 14, 14), "medium": (32, 64, 32, 32), "large": (32, 128, 64, 64)}
TOKENS = {"small": (4, 64, 64), "medium": (16, 256, 512), "large": (16, 1024, 768)}
LOGITS = {"small": (64, 100), "medium": (1024, 1000), "large": (2048, 32000)}


class Then(nn.Module):
    """A normalization called `norm`, and an activation."""

    def __init__(self, norm: nn.Module, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.norm, self.act = norm, act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(x))


class SwiGLU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        gate, value = x.chunk(2, -1)
        return F.silu(gate) * value


class DropAddNorm(nn.Module):
    def __init__(self, c: int, drop: float, norm: type[nn.Module] = E.LayerNorm) -> None:
        super().__init__()
        self.bias, self.norm, self.drop = E.empty(c), norm(c), drop

    def forward(self, x: Tensor, rest: Tensor) -> Tensor:
        return self.norm(rest + F.dropout(x + self.bias, self.drop, self.training))


class CrossEntropy(nn.Module):
    """As a formula; torch's own function is beside it."""

    def forward(self, logit: Tensor, target: Tensor) -> Tensor:
        chosen = logit.gather(1, target[:, None])[:, 0]
        return (logit.logsumexp(1) - chosen).mean()


class TorchCrossEntropy(nn.Module):
    def forward(self, logit: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logit, target)


class Chain(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.a, self.b = E.empty(c), E.empty(c)

    def forward(self, x: Tensor) -> Tensor:
        p = torch.tanh(x * self.a)
        q = torch.exp(-p.abs()) + self.b
        r = torch.maximum(q, x) - (q * x).mean(-1, keepdim=True)
        return torch.sigmoid(r) * p / torch.sqrt(1 + r.square().sum(-1, keepdim=True))


def weighted(make: Callable[[], nn.Module]) -> Peer:
    """A peer with our names of params: torch's own function for the layer."""

    def made(ours: nn.Module) -> nn.Module:
        peer = make()
        peer.load_state_dict(ours.state_dict())
        return peer

    return Peer(made)


def liger(name: str) -> Peer:
    return Peer(lambda ours: packages.Liger(name, ours), devices=("cuda",))


def cases() -> list[Case]:
    return [*(case for size in draw.SIZES for case in images(size, IMAGES[size])),
            *(case for size in draw.SIZES for case in tokens(size, TOKENS[size])),
            *(cross_entropy(size, *LOGITS[size]) for size in draw.SIZES)]


def images(size: str, shape: tuple[int, ...]) -> list[Case]:
    c = shape[1]

    def case(name: str, source: str | Path, layer: str, eager: Callable[[], nn.Module], **peers: Peer) -> Case:
        return Case(name, "norm", size, source, layer, draw.normal(shape), {"channels": c}, eager=lambda channels: eager(),
                    peers=peers, quick=size == "medium")

    return [
        case("EvoNorm-B0", "std.norm", "EvoNormB0", lambda: E.EvoNormB(c, 0), timm=Peer(packages.timm_evonorm("B0"))),
        case("EvoNorm-S0", "std.norm", "EvoNormS0", lambda: E.EvoNormS(c, 0), timm=Peer(packages.timm_evonorm("S0"))),
        case("BatchNorm+ReLU", FILE, "BatchNormReLU", lambda: Then(E.BatchNorm2d(c), F.relu),
             torch=weighted(lambda: Then(E.FusedBatchNorm2d(c), F.relu))),
        case("GroupNorm+SiLU", FILE, "GroupNormSiLU", lambda: Then(E.GroupNorm(c), F.silu),
             torch=weighted(lambda: Then(E.FusedGroupNorm(c), F.silu))),
    ]


def tokens(size: str, shape: tuple[int, ...]) -> list[Case]:
    c = shape[-1]

    def case(name: str, source: str | Path, layer: str, eager: Callable[..., nn.Module], inputs: draw.Draw,
             settled: dict[str, float] | None = None, **peers: Peer) -> Case:
        return Case(name, "norm", size, source, layer, inputs, {"c": 2 * c if layer == "SwiGLU" else c}, eager=eager,
                    settled=settled or {}, peers=peers, quick=size == "medium")

    return [
        case("LayerNorm+GELU", FILE, "LayerNormGELU", lambda c: Then(E.LayerNorm(c), F.gelu), draw.normal(shape),
             torch=weighted(lambda: Then(E.FusedLayerNorm(c), F.gelu))),
        case("RMSNorm", "std.norm", "RMSNorm", lambda c: E.RMSNorm(c), draw.normal(shape),
             torch=weighted(lambda: E.FusedRMSNorm(c)), liger=liger("rms_norm")),
        case("SwiGLU", FILE, "SwiGLU", lambda c: SwiGLU(), draw.normal((*shape[:-1], 2 * c)), liger=liger("swiglu")),
        case("bias+dropout+add+LayerNorm", FILE, "DropAddNorm", lambda c, drop=0.1: DropAddNorm(c, drop),
             draw.normal(shape, shape), {"drop": 0.0}),
        case("chain of 10", FILE, "Chain", Chain, draw.normal(shape)),
    ]


def cross_entropy(size: str, n: int, classes: int) -> Case:
    return Case("cross-entropy", "norm", size, FILE, "CrossEntropy",
                lambda g: [*draw.normal((n, classes))(g), draw.classes(g, n, classes)], eager=lambda: CrossEntropy(),
                peers={"torch": Peer(lambda ours: TorchCrossEntropy())}, quick=size == "medium")

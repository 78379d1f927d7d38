"""Layers of learned univariate functions, with splines and other bases."""

from __future__ import annotations

from collections.abc import Callable

import eager as E
import eager_families as F
from torch import Tensor, nn
from torch.nn import functional

from archc.bench.case import Case, Peer
from suite import draw, packages

SHAPES = {"small": (256, 784, 64), "medium": (1024, 256, 256), "large": (4096, 64, 64)}


class GRKAN(nn.Module):
    """A rational activation of each group of channels, then a linear map."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.act, self.weight, self.bias = F.GroupRational(), E.empty(o, i), E.empty(o)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(self.act(x), self.weight, self.bias)


SPLINES = {"efficient-kan": Peer(packages.efficient_kan), "inkan": Peer(packages.inkan, compiled=True)}
KINDS: dict[str, tuple[str, Callable[[int, int], nn.Module], dict[str, Peer]]] = {
    "KAN, splines": ("KAN", E.KAN, SPLINES),
    "KAN, RBF": ("RBFKAN", F.RBFKAN, {}),
    "KAN, Chebyshev": ("ChebyKAN", F.ChebyKAN, {}),
    "KAN, Fourier": ("FourierKAN", F.FourierKAN, {}),
    "KAN, rational": ("GRKAN", GRKAN, {}),
}


def cases() -> list[Case]:
    return [Case(name, "kan", size, "std.kan", layer, draw.uniform((n, i)), {"i": i, "o": o}, eager=eager, peers=peers,
                 bound="products", quick=size == "medium")
            for name, (layer, eager, peers) in KINDS.items() for size, (n, i, o) in SHAPES.items()]

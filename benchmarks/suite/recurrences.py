"""Recurrences over tokens, by hand one token after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from recurrent import delta_net, delta_product
from torch import Tensor, nn
from torch.nn import functional as F

from archc.bench.case import Case, Peer
from suite import draw, packages

FILE = Path(__file__).with_name("recurrences.arch")
TOKENS = {"small": 128, "medium": 512, "large": 2048}
N, WIDTH = 8, 64


class ByHand(nn.Module):
    """A loop as a module."""

    def __init__(self, loop: Callable[..., Tensor]) -> None:
        super().__init__()
        self.loop = loop

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.loop(*inputs)


def inputs(t: int, steps: tuple[int, ...]) -> draw.Draw:
    """Short keys, so that no state grows."""

    def drawn(generator: torch.Generator) -> list[Tensor]:
        q, key, val, beta = draw.normal((N, t, WIDTH), (N, t, *steps, WIDTH), (N, t, *steps, WIDTH), (N, t, *steps))(generator)
        return [q, F.normalize(key, dim=-1), val, torch.sigmoid(beta)]

    return drawn


def cases() -> list[Case]:
    return [case for size, t in TOKENS.items() for case in (
        Case("DeltaNet", "recurrence", size, FILE, "DeltaNet", inputs(t, ()), eager=lambda: ByHand(delta_net),
             peers={"fla": Peer(packages.delta_rule)}, quick=size == "medium"),
        *(Case(f"DeltaProduct, {j} step{'s' * (j > 1)}", "recurrence", size, FILE, "DeltaProduct", inputs(t, (j,)),
               eager=lambda: ByHand(delta_product), quick=size == "medium" and j == 2) for j in (1, 2, 4)))]

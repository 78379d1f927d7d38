"""Recurrences over tokens, by hand one token after the other."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archc.bench.case import Case, Peer
from suite import draw, packages

FILE = Path(__file__).with_name("recurrences.arch")
TOKENS = {"small": 128, "medium": 512, "large": 2048}
N, WIDTH = 8, 64


class DeltaNet(nn.Module):
    """What needs no state is computed for all tokens before the loop."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> Tensor:
        s = q.new_zeros(q.shape[0], k.shape[2], v.shape[2])
        ys = []
        written = (beta.unsqueeze(2) * k).unsqueeze(3)
        for bk, kt, vt, qt in zip(written.unbind(1), k.unsqueeze(2).unbind(1), v.unsqueeze(2).unbind(1), q.unsqueeze(2).unbind(1),
                                  strict=True):
            s = s - bk * (kt @ s - vt)
            ys.append(qt @ s)
        return torch.cat(ys, 1)


class DeltaProduct(nn.Module):
    """The same with several steps a token."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> Tensor:
        s = q.new_zeros(q.shape[0], k.shape[3], v.shape[3])
        ys = []
        written = (beta.unsqueeze(3) * k).unsqueeze(4)
        for bk, kt, vt, qt in zip(written.unbind(1), k.unsqueeze(3).unbind(1), v.unsqueeze(3).unbind(1), q.unsqueeze(2).unbind(1),
                                  strict=True):
            for bkj, kj, vj in zip(bk.unbind(1), kt.unbind(1), vt.unbind(1), strict=True):
                s = s - bkj * (kj @ s - vj)
            ys.append(qt @ s)
        return torch.cat(ys, 1)


def inputs(t: int, steps: tuple[int, ...]) -> draw.Draw:
    """Short keys, so that no state grows."""

    def drawn(generator: torch.Generator) -> list[Tensor]:
        q, key, val, beta = draw.normal((N, t, WIDTH), (N, t, *steps, WIDTH), (N, t, *steps, WIDTH), (N, t, *steps))(generator)
        return [q, F.normalize(key, dim=-1), val, torch.sigmoid(beta)]

    return drawn


def cases() -> list[Case]:
    found = []
    for size, t in TOKENS.items():
        found.append(Case("DeltaNet", "recurrence", size, FILE, "DeltaNet", inputs(t, ()), eager=DeltaNet, quick=size == "medium",
                          peers={"fla": Peer(packages.delta_rule)}))
        found += [Case(f"DeltaProduct, {j} step{'s' * (j > 1)}", "recurrence", size, FILE, "DeltaProduct", inputs(t, (j,)),
                       eager=DeltaProduct, quick=size == "medium" and j == 2) for j in (1, 2, 4)]
    return found

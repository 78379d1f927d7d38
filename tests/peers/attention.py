"""Attention in plain torch, from Vaswani et al., arXiv 1706.03762."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def attend(q: Tensor, k: Tensor, v: Tensor, causal: bool = True, keep: Tensor | None = None) -> Tensor:
    """q[..., t, d], k[..., s, d], v[..., s, e] -> [..., t, e]; a query that sees no key gives 0. Equation 1."""
    score = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if causal:
        keep = torch.ones(score.shape[-2:], dtype=torch.bool).tril()
    if keep is None:
        keep = torch.ones(score.shape[-2:], dtype=torch.bool)
    score = score.masked_fill(~keep, -math.inf)
    top = score.amax(-1, keepdim=True).detach() if score.shape[-1] else score.new_zeros(())
    weight = torch.exp(score - top.masked_fill(top == -math.inf, 0))
    total = weight.sum(-1, keepdim=True)
    return weight / total.masked_fill(total == 0, 1) @ v


class SelfAttention(nn.Module):
    """Section 3.2.2: heads attend apart, their results are concatenated and mixed."""

    def __init__(self, c: int, heads: int = 4, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(c, 3 * c)
        self.out = nn.Linear(c, c)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for part in self.qkv(x).chunk(3, -1))
        y = attend(q, k, v, self.causal)
        return self.out(y.transpose(-2, -3).flatten(-2))

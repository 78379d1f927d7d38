"""Variants of attention: by hand with the whole matrix of scores, and by torch's fused functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archc.bench.case import Case, Peer
from suite import draw

FILE = Path(__file__).with_name("attention.arch")
SHAPES = {"small": (4, 4, 256, 64), "medium": (2, 4, 1024, 64), "large": (1, 2, 4096, 64)}
WIDTH, CAP, BIAS = 128, 50.0, -6.0


def distance(t: int, device: torch.device) -> Tensor:
    """Of every query from every key: t - s."""
    place = torch.arange(t, device=device)
    return place[:, None] - place


def slopes(h: int, like: Tensor) -> Tensor:
    """ALiBi's, for a power of two of heads."""
    return 2 ** (-8 * torch.arange(1, h + 1, device=like.device, dtype=like.dtype) / h)


class Attention(nn.Module):
    """`kind` is causal, alibi, window, soft-cap, relative or sigmoid."""

    def __init__(self, kind: str, h: int, t: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "relative":
            self.table = nn.Parameter(torch.zeros(h, 2 * t - 1))

    def bias(self, h: int, away: Tensor, like: Tensor) -> Tensor | None:
        """What is added to scores, [h, t, s]."""
        if self.kind == "alibi":
            return -slopes(h, like)[:, None, None] * away
        if self.kind == "relative":
            return self.table[:, away + (len(away) - 1)]
        return None

    def seen(self, away: Tensor) -> Tensor:
        return (away >= 0) & (away < WIDTH) if self.kind == "window" else away >= 0

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        away = distance(q.shape[2], q.device)
        score = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if self.kind == "soft-cap":
            score = CAP * torch.tanh(score / CAP)
        if (bias := self.bias(q.shape[1], away, q)) is not None:
            score = score + bias
        score = score.masked_fill(~self.seen(away), -math.inf)
        return (torch.sigmoid(score + BIAS) if self.kind == "sigmoid" else score.softmax(-1)) @ v


class SDPA(Attention):
    """By torch's fused function: masks and biases are tensors of all queries and keys, made beforehand if nothing is learned."""

    def __init__(self, ours: Attention, h: int, t: int) -> None:
        super().__init__(ours.kind, h, t)
        self.load_state_dict(ours.state_dict())
        away = distance(t, torch.get_default_device())
        mask = self.seen(away)
        if self.kind == "alibi":
            mask = torch.zeros(h, t, t).masked_fill(~mask, -math.inf) - slopes(h, torch.ones(()))[:, None, None] * away
        self.register_buffer("mask", mask)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.kind == "causal":
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        mask = self.mask
        if self.kind == "relative":
            mask = self.bias(q.shape[1], distance(q.shape[2], q.device), q).masked_fill(~mask, -math.inf)[None]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class Flex(nn.Module):
    """torch's FlexAttention. It has no backward on a CPU, and takes no input there that asks for one."""

    def __init__(self, ours: Attention, h: int, t: int) -> None:
        super().__init__()
        from torch.nn.attention.flex_attention import create_block_mask

        slope, kind = slopes(h, torch.ones(())), ours.kind
        self.register_buffer("slope", slope)
        if kind == "relative":
            self.table = nn.Parameter(ours.table.detach().clone(), requires_grad=False)
        self.kind = kind

        def seen(b: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return (q >= k) & (q - k < WIDTH) if kind == "window" else q >= k

        self.block = create_block_mask(seen, None, None, t, t, device=str(torch.get_default_device()))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        from torch.nn.attention.flex_attention import flex_attention

        def bent(score: Tensor, b: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
            if self.kind == "alibi":
                return score - self.slope[head] * (i - j)
            if self.kind == "soft-cap":
                return CAP * torch.tanh(score / CAP)
            if self.kind == "relative":
                return score + self.table[head, i - j + (self.table.shape[1] // 2)]
            return score

        if not q.is_cuda:
            q, k, v = q.detach(), k.detach(), v.detach()
        plain = self.kind in ("causal", "window")
        return flex_attention(q, k, v, score_mod=None if plain else bent, block_mask=self.block)


KINDS = {"causal": "Causal", "alibi": "Alibi", "window": "Window", "soft-cap": "SoftCap", "relative": "Relative",
         "sigmoid": "Sigmoid"}
NAMES = {"causal": "causal attention", "alibi": "attention, ALiBi", "window": "attention, window 128",
         "soft-cap": "attention, soft-cap", "relative": "attention, learned bias", "sigmoid": "attention, sigmoid"}


def cases() -> list[Case]:
    return [case(kind, size, shape) for kind in KINDS for size, shape in SHAPES.items()]


def case(kind: str, size: str, shape: tuple[int, ...]) -> Case:
    _, h, t, _ = shape
    peers = {}
    if kind in ("causal", "alibi", "window", "relative"):
        peers["SDPA"] = Peer(lambda ours: SDPA(ours, h, t))
    if kind != "sigmoid":
        peers["FlexAttention"] = Peer(lambda ours: Flex(ours, h, t), backward=("cuda",), compiled=True)
    eager: Callable[..., nn.Module] = lambda **_: Attention(kind, h, t)  # noqa: E731
    return Case(NAMES[kind], "attention", size, FILE, KINDS[kind], draw.normal(shape, shape, shape),
                {"h": h, "t": t} if kind == "relative" else {}, eager=eager, peers=peers, bound="products",
                quick=size == "medium" and kind in ("causal", "alibi", "window", "sigmoid"))

"""How the inputs of cases are drawn, in float64, from a generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Draw = Callable[[torch.Generator], list[Tensor]]
SIZES = ("small", "medium", "large")


def normal(*shapes: tuple[int, ...], scale: float = 1.0) -> Draw:
    return lambda generator: [scale * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def classes(generator: torch.Generator, count: int, below: int) -> Tensor:
    return torch.randint(0, below, (count,), generator=generator)


def uniform(*shapes: tuple[int, ...], width: float = 1.0) -> Draw:
    """From -width to width."""
    return lambda generator: [width * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1) for shape in shapes]

"""Kernels in Triton: how each is cut into programs, and when it may run. A compiled package carries this file beside `native.py`.

Triton is imported when a tensor of a GPU first arrives, or where TRITON_INTERPRET=1 is set, which runs kernels on any tensor.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

HELD = 1 << 15
"""Elements that the tiles of a program may hold at the same time: 64 registers of 512 threads."""

TILE = 1024  # elements that a program takes at least, where there are so many
PARTS = 1024  # programs that add up parts: enough for any chip, and few enough to add together
SUMMED = 16  # places whose parts a program adds up where rows are too long to stay in registers


class Plan:
    """The tiles, the programs and the warps of a launch.

    `places`: places along the parallel axes, `across` times; `inner`: sizes of the inner axes; `row`: the size of the innermost
    axis; `least`: places of a tile, where neighbours in memory are places; `held`: tiles that live at the same time; `parts`:
    each program adds up a chunk of the places.
    """

    def __init__(self, tensors: Sequence[Tensor], places: int, inner: Sequence[int], row: int = 1, across: int = 1,
                 least: int = 1, held: int = 2, parts: bool = False) -> None:
        import triton.language as tl

        first = next(tensor for tensor in tensors if tensor.dtype.is_floating_point)
        double = first.dtype == torch.float64
        self.device, self.dtype = first.device, torch.float64 if double else torch.float32
        widths = [_above(size) for size in inner]
        whole = math.prod(widths)
        limit = _below(HELD // held // (2 if double else 1))
        most = min(_above(places), max(least, _below(max(1, TILE // whole))))
        self.resident = whole * min(least, most) <= limit
        if not self.resident:
            most = min(_above(places), least if least > 1 else SUMMED if parts else 1)
            left = max(1, TILE // most)
            for at in reversed(range(len(widths))):
                widths[at] = min(widths[at], left)
                left //= widths[at]
            whole = math.prod(widths)
        tiles = -(-places // most)
        self.chunks, self.length = tiles, most
        if parts and self.resident:
            self.length = -(-tiles // min(tiles, max(1, PARTS // across))) * most
            self.chunks = -(-places // self.length)
        self.grid = (self.chunks * across,)
        self.warps = min(16, max(1, whole * most // 256))
        wide = any(tensor.numel() >= 1 << 31 for tensor in tensors)
        self.tiles = (most, *widths, 16 if row % 16 == 0 else 1, tl.float64 if double else tl.float32,
                      tl.int64 if wide else tl.int32)

    def empty(self, dtype: str, *shape: int) -> Tensor:
        """Room for what programs leave for each other."""
        kinds = {"float": self.dtype, "int": torch.int64, "bool": torch.bool}
        return torch.empty(shape, dtype=kinds[dtype], device=self.device)

    def number(self, value: float) -> tuple[float, float]:
        """A number in two parts, as a launch passes floats of 32 bits."""
        near = ctypes.c_float(value).value
        return near, value - near if math.isfinite(near) else 0.0


def _above(size: int) -> int:
    """The power of two that is no smaller."""
    return 1 << max(0, size - 1).bit_length()


def _below(size: int) -> int:
    """The power of two that is no larger."""
    return 1 << size.bit_length() - 1


Launch = Any

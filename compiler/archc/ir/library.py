"""What is said of a library call beside its meaning: which axes play which part, so that a target need not find out again.

A window says how one memory axis is read: x[axis = step*out + dilation*kernel + start].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from archc.checker.sizes import Size
from archc.checker.types import Axis
from archc.ir.graph import Borders


@dataclass(frozen=True)
class Window:
    axis: Axis  # of the tensor that is read
    out: Axis
    kernel: Axis
    step: Size
    dilation: Size
    start: Size
    border: Borders

    @property
    def extent(self) -> Size:
        """How many elements of the (padded) axis all windows together reach over."""
        return self.step * (self.out.size - 1) + self.span

    @property
    def span(self) -> Size:
        """How many elements one window reaches over."""
        return self.dilation * (self.kernel.size - 1) + 1


@dataclass(frozen=True)
class Convolution:
    """x has batch axes, channels (summed), groups (in all) and one axis a window; w has the filters beside them."""

    windows: tuple[Window, ...]
    batch: tuple[Axis, ...]
    groups: tuple[Axis, ...]
    channels: tuple[Axis, ...]
    filters: tuple[Axis, ...]


@dataclass(frozen=True)
class Spread:
    """One axis of a transposed convolution: out = step * axis + dilation * kernel - pad."""

    axis: Axis
    out: Axis
    kernel: Axis
    step: int
    dilation: int
    pad: int

    @property
    def natural(self) -> Size:
        """How many elements the library's transposed convolution gives."""
        return self.step * (self.axis.size - 1) + self.dilation * (self.kernel.size - 1) + 1 - 2 * self.pad


@dataclass(frozen=True)
class Transposed:
    spreads: tuple[Spread, ...]
    batch: tuple[Axis, ...]
    groups: tuple[Axis, ...]
    channels: tuple[Axis, ...]
    filters: tuple[Axis, ...]


@dataclass(frozen=True)
class Pool:
    op: str  # sum or mean
    windows: tuple[Window, ...]
    batch: tuple[Axis, ...]


@dataclass(frozen=True)
class Cat:
    """The parts follow each other along `axis`, each along its own."""

    axis: Axis
    parts: tuple[Axis, ...]


@dataclass(frozen=True)
class Stack:
    """One part beside the other, along an axis that neither has."""

    axis: Axis


@dataclass(frozen=True)
class Standardised:
    """`order` is that in memory. kind: layer; group, where weight and bias belong to the last kept axis, perhaps with the first
    of `over`; batch, where one axis is kept, the second; frozen, by given mean and variance of the second axis."""

    kind: str
    over: frozenset[Axis]
    order: tuple[Axis, ...]
    weight: bool = False
    bias: bool = False


Options = Union[None, Convolution, Transposed, Pool, Cat, Stack, Standardised]
RECORDS: dict[str, type] = {
    "convolution": Convolution, "transposed": Transposed, "pool": Pool, "cat": Cat, "stack": Stack,
    "standardise": Standardised}
"""What is said of each kind of call; nothing of the others."""

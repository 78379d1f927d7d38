"""What a value is before anything runs: a dtype and a set of named axes with symbolic sizes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archc.checker.sizes import Size, product
from archc.ops.table import DType


@dataclass(frozen=True)
class Axis:
    """A dimension with a name. In one graph, one name is one axis with one size.

    The axis named `...` stands for all leading dimensions of the inputs that the signature does not name, flattened.
    """

    name: str
    size: Size

    def __str__(self) -> str:
        return self.name


LEADING = "..."  # the name, and the size symbol, of the flattened leading dimensions of a module's inputs

Dim = tuple[Axis, ...]  # one dimension of memory: usually one axis; several where it is split, the outermost first
Layout = tuple[Dim, ...]  # the dimensions of a tensor in memory order


@dataclass(frozen=True)
class Type:
    """dtype and axes. Axes are a set: order matters only in memory, that is in a Layout."""

    dtype: DType
    axes: frozenset[Axis] = frozenset()

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(sorted(axis.name for axis in self.axes))}]"

    @property
    def count(self) -> Size:
        """The number of elements."""
        return product(axis.size for axis in self.axes)


def flat(layout: Layout) -> tuple[Axis, ...]:
    """All axes of a layout, outermost first."""
    return tuple(axis for dim in layout for axis in dim)


def layout_of(axes: Iterable[Axis]) -> Layout:
    """Each axis a dimension of its own."""
    return tuple((axis,) for axis in axes)


def dim_size(dim: Dim) -> Size:
    return product(axis.size for axis in dim)

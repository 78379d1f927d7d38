"""Which sums go over windows: convolutions, stencils and their derivatives, in any number of dimensions.

    y[b, f, u] = sum over channels c and taps p of  w[f, c, p] * x[b, c, (step * u + dilation * p + offset) / divide]

with one such index for each axis of x that windows run along; `x` may have a border. The gradient of such a sum by its weights
goes over b and u instead. Both are found whatever the axes are called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archc.checker.sizes import Size
from archc.checker.types import Axis
from archc.ir.graph import Graph, Node, Read, topological
from archc.passes.gather import exact_quotient
from archc.rules.integers import indices, split
from archc.rules.structure import fill_of, places_of

MOST = 1 << 10
"""Channels times filters: with more of them, a library that first lays its operands in blocks is faster, measured on AVX-512."""

LARGEST = 32  # taps of a window along an axis


@dataclass(frozen=True)
class Along:
    """The windows along one axis of x. `tap` is None where a window has one element."""

    axis: Axis
    place: Axis
    tap: Axis | None
    step: int
    dilation: int
    offset: Size
    divide: int
    border: str


@dataclass(frozen=True)
class Windows:
    """A sum over windows of `x`; `other` is its weights, or, if it is a gradient by the `weights`, the cotangent."""

    root: Node
    members: tuple[Node, ...]
    x: Node
    other: Node
    weights: bool
    along: tuple[Along, ...]
    batch: frozenset[Axis]
    channels: frozenset[Axis]
    filters: frozenset[Axis]

    @property
    def work(self) -> Size:
        """Channels times filters."""
        total = Size.of(1)
        for axis in self.channels | self.filters:
            total = total * axis.size
        return total


def windows(graph: Graph, reading: Mapping[Node, Sequence[Node]], fixed: frozenset[Node], derivative: bool) -> list[Windows]:
    """The sums over windows of a graph that a kernel may compute. `derivative`: those whose derivatives are such sums too, which
    are those without a border that folds back."""
    found = (window_sum(current, reading) for current in topological(graph.roots))
    return [w for w in found if w is not None and not {w.x, w.other} & fixed and not (w.work.constant or 0) > MOST
            and not (derivative and any(a.border not in ("fill", "trust") for a in w.along))]


def window_sum(root: Node, reading: Mapping[Node, Sequence[Node]] | None = None) -> Windows | None:
    """A sum over windows, or None if it is anything else. `reading`: what lies inside must have no other reader."""
    if root.op != "sum" or root.type.dtype != "float" or root.args[0].op != "mul":
        return None
    product, over = root.args[0], root.attrs
    assert isinstance(over, frozenset)
    read, other = product.args if product.args[0].op == "read" else product.args[::-1]
    if read.op != "read" or other.op == "read" or not isinstance(read.attrs, Read):
        return None
    if reading is not None and (len(reading[product]) > 1 or len(reading[read]) > 1):
        return None
    fill = fill_of(read)
    if fill is not None and (fill.op != "const" or fill.attrs != 0):
        return None
    along = [_along(axis, index, border) for axis, (index, border) in places_of(read).items()]
    known = tuple(a for a in along if a is not None)
    summed = {a.place in over for a in known}
    if len(known) < len(along) or not 1 <= len(along) <= 3 or len(summed) > 1:
        return None
    moving = [axis for a in known for axis in (a.place, a.tap) if axis is not None]
    rest = read.args[0].axes - {a.axis for a in known}
    if len(set(moving)) < len(moving) or rest & set(moving):
        return None
    if all((a.tap, a.step, a.divide, a.offset) == (None, 1, 1, Size.of(0)) for a in known):
        return None  # axes under other names
    members = (root, product, read)
    found = _gradient(members, known, rest) if summed == {True} else _forward(members, known, rest)
    return found if found is not None and (found.channels or found.filters) else None


def _along(axis: Axis, index: Node, border: str) -> Along | None:
    size, divide = exact_quotient(index)
    if size is None or border == "check" or (divide > 1 and border != "fill"):
        return None
    axes = [a for a in index.axes if a.name in indices(size)]
    if not 1 <= len(axes) <= 2 or len(axes) < len(indices(size)):
        return None
    axes.sort(key=lambda a: (a.size.constant is None, a.size.constant or 0, a.name))
    slopes: list[int] = []
    for a in axes:
        parts = split(size, a)
        if parts is None or parts[0].constant is None or indices(parts[0]):
            return None
        slopes.append(parts[0].constant)
        size = parts[1]
    tap = axes[0] if len(axes) == 2 else None
    if tap is not None and not (tap.size.constant is not None and 1 <= tap.size.constant <= LARGEST):
        return None
    if slopes[-1] < 1 or (divide > 1 and slopes[-1] != 1):
        return None
    return Along(axis, axes[-1], tap, slopes[-1], slopes[0] if tap else 0, size, divide, border)


def _forward(members: tuple[Node, ...], along: tuple[Along, ...], rest: frozenset[Axis]) -> Windows | None:
    root, product, read = members
    other = product.args[1] if product.args[0] is read else product.args[0]
    over: frozenset[Axis] = root.attrs  # type: ignore[assignment]
    taps = frozenset(a.tap for a in along if a.tap is not None)
    channels, filters = rest & over, other.axes - over
    if not taps <= over or over != taps | channels or not over <= other.axes or filters & read.axes:
        return None
    return Windows(root, members, read.args[0], other, False, along, rest - over, channels, filters)


def _gradient(members: tuple[Node, ...], along: tuple[Along, ...], rest: frozenset[Axis]) -> Windows | None:
    root, product, read = members
    other = product.args[1] if product.args[0] is read else product.args[0]
    over: frozenset[Axis] = root.attrs  # type: ignore[assignment]
    places = frozenset(a.place for a in along)
    taps = frozenset(a.tap for a in along if a.tap is not None)
    batch, channels, filters = rest & over, rest - over, other.axes - over
    if taps & over or over != places | batch or not over <= other.axes or filters & read.axes:
        return None
    if all(a.divide > 1 for a in along):
        # x[h] * y[u] with h = (u + offset + dilation * p) / divide: rather for every h the u that it meets
        turned = tuple(Along(a.place, a.axis, a.tap, a.divide, -a.dilation, -a.offset, 1, "fill") for a in along)
        return Windows(root, members, other, read.args[0], True, turned, batch, filters, channels)
    if any(a.divide > 1 for a in along):
        return None
    return Windows(root, members, read.args[0], other, True, along, batch, channels, filters)

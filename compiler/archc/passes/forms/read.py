"""Reading by index; its transpose adds into the places that were read. A reading that only renames axes renames back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archc.ir import build
from archc.ir.graph import Node
from archc.passes.cotangent import Cotangent, select, sum_over
from archc.passes.forms.common import ZERO, Parts, Run, plus
from archc.rules.structure import fill_of, places_of, renaming


def tangent(node: Node, tangents: Sequence[Node | None], run: Run) -> Node | None:
    moved, fills = tangents[0], fill_of(node) is not None
    inside: Node | None = None
    if moved is not None:
        # Outside the fill is read, so the tangent is 0 there, even along axes where it is the same inside.
        at = places_of(node) if fills else {axis: place for axis, place in places_of(node).items() if axis in moved.axes}
        inside = build.read(build.expand(moved, at), at, ZERO if fills else None) if at else moved
    filled = tangents[-1] if fills else None
    if filled is None:
        return inside
    return plus((inside, build.apply("where", is_outside(node), filled, ZERO)))


def transpose(node: Node, linear: Callable[[Node], bool], ct: Cotangent, run: Run) -> Parts:
    x = node.args[0]
    if linear(x):
        back = renaming(node)
        if back is not None:
            yield x, Cotangent(build.rename(ct.raw, back), ct.mask and build.rename(ct.mask, back), ct.clean)
        else:
            at = places_of(node)
            yield x, Cotangent(build.accumulate(ct.value, at, x.axes - frozenset(at)))
    fill = fill_of(node)
    if fill is not None and linear(fill):
        yield fill, sum_over(select(ct, is_outside(node), holds=True), node.axes - fill.axes)


def is_outside(node: Node) -> Node:
    """Whether a read with a fill reads it: some index with the border `fill` is outside of its axis."""
    outside: Node | None = None
    for axis, (index, border) in places_of(node).items():
        if border == "fill":
            beyond = build.apply("or", build.apply("lt", index, build.const(0)),
                                 build.apply("ge", index, build.size(axis.size)))
            outside = beyond if outside is None else build.apply("or", outside, beyond)
    assert outside is not None
    return outside

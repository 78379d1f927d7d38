"""Reductions and normalisers: a sum's tangent is the sum of the tangents; the others have theirs in the table of operations,
or, where it needs a second index along an axis, in `archc.ir.meaning`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archc.checker.types import Axis
from archc.ir import build
from archc.ir.graph import Node
from archc.ir.meaning import jvp
from archc.passes.cotangent import Cotangent, scale
from archc.passes.forms.common import NotLinear, Parts, Run


def tangent(node: Node, tangents: Sequence[Node | None], run: Run) -> Node | None:
    moved = tangents[0]
    if moved is None:
        return None
    over: frozenset[Axis] = node.attrs  # type: ignore[assignment]
    if node.op in ("sum", "mean"):
        # A tangent that lacks some of the axes is the same along them.
        kept = over & moved.axes
        if node.op == "mean":
            return build.reduce("mean", moved, kept) if kept else moved
        return build.reduce("sum", moved, over)
    return jvp(node, moved, run.twin)


def reverse(x: Node, axis: Axis) -> Node:
    """The elements along an axis from the last to the first."""
    last = build.size(axis.size - 1)
    return build.read(x, {axis: (build.apply("sub", last, build.iota(axis)), "trust")})


def transpose(node: Node, linear: Callable[[Node], bool], ct: Cotangent, run: Run) -> Parts:
    """The same cotangent for every element that was summed: it lacks the axes."""
    if node.op == "sum":
        yield node.args[0], ct
    elif node.op == "mean":
        count = build.apply("to_float", build.count_of(node.attrs))  # type: ignore[arg-type]
        yield node.args[0], scale(ct, build.apply("div", build.const(1.0), count), run.facts)
    elif node.op == "cumsum":
        # The running sum from the other end.
        assert isinstance(node.attrs, frozenset)
        (axis,) = node.attrs
        whole = build.expand(ct.value, {axis})
        yield node.args[0], Cotangent(reverse(build.reduce("cumsum", reverse(whole, axis), {axis}), axis))
    else:
        raise NotLinear(node)

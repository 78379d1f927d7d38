"""Reductions and normalisers: a sum's tangent is the sum of the tangents; the others have theirs in the table of operations.

A product's partial derivative is the product of the other elements, whatever is zero among them:
    d prod[k](x) / d x_k = prod[j](where(j == k, 1, x_j))
which is a product again, so that it holds for every order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archc.checker.types import Axis
from archc.ir import build
from archc.ir.graph import Node
from archc.ir.meaning import jvp
from archc.passes.cotangent import Cotangent, scale, times
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
    if node.op == "prod":
        return build.reduce("sum", times(moved, _others(node.args[0], over, run)), over)
    return jvp(node, moved)


def _others(x: Node, over: frozenset[Axis], run: Run) -> Node:
    """For every element along the axes, the product of all the others."""
    twins = {axis: run.twin(axis) for axis in sorted(over, key=lambda axis: axis.name)}
    same: Node | None = None
    for axis, twin in twins.items():
        here = build.apply("eq", build.iota(twin), build.iota(axis))
        same = here if same is None else build.apply("and", same, here)
    assert same is not None
    return build.reduce("prod", build.apply("where", same, build.const(1.0), build.rename(x, twins)), twins.values())


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

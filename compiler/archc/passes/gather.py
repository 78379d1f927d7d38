"""Write what is added into places as reads of what was added, wherever an index can be solved for:

    out[h] += v[u, p] at h = a*u + b*p + c     ->     out[h] = sum[p](v[u = (h - b*p - c) / a else 0, p])

Every element of the result is then computed by itself: no order of additions, no atomics; and the derivative of a convolution
is a convolution. An index that counts through several axes (h = i*|k| + k) is solved for all of them: i = h // |k|, k = h % |k|.
Indices by data, and borders that fold back, stay as they are.
"""

from __future__ import annotations

from archc.checker.sizes import Size
from archc.checker.types import Axis
from archc.ir import build
from archc.ir.graph import Accumulate, Graph, Node, rewrite
from archc.ops.table import SMOOTH
from archc.passes.base import Keeps, Pass, also_inside
from archc.rules.integers import as_node, index_of, polynomial, split
from archc.rules.structure import Places, places_of

ZERO = build.const(0.0)


def gather(node: Node) -> Node | None:
    """One accumulate as a sum of reads, if all of its indices can be solved."""
    if node.op != "accumulate" or node.type.dtype not in SMOOTH:
        return None
    attrs: Accumulate = node.attrs  # type: ignore[assignment]
    targets, v = places_of(node), node.args[0]
    inner = v.axes.union(*(index.axes for index in node.args[1:]))
    solved: Places = {}
    for target, (index, border) in targets.items():
        others = frozenset().union(*(other.axes for name, (other, _) in targets.items() if name != target))
        found = _solve(target, index, index.axes - attrs.keep - others) if border in ("fill", "trust") else None
        if found is None:
            return None
        solved |= found
    rest = inner - solved.keys()
    if rest & targets.keys():
        return None  # a target has the name of an axis that is summed here
    result = pushed(build.expand(v, solved), solved)
    return build.expand(build.reduce("sum", result, rest - attrs.keep), node.axes)


def _solve(target: Axis, index: Node, free: frozenset[Axis]) -> Places | None:
    """Where to read so that the index is that of the target: places along some of the free axes."""
    size, divisor = exact_quotient(index)
    if size is None:
        return None
    place = index_of(target) * divisor
    axes = index.axes | {target}
    if divisor == 1 and (digits := _digits(size, free)):
        return _count(target, size, digits, axes)
    candidates = []
    for axis in free:
        parts = split(size, axis)
        if parts and parts[0].constant:
            count = axis.size.constant
            candidates.append((count is not None, -(count or 0), abs(parts[0].constant) != 1, axis.name, axis, parts))
    if not candidates:
        return None
    # the longest axis, so that the shorter ones are left to be summed over: a window's taps rather than its places
    *_, axis, (slope, offset) = min(candidates, key=lambda candidate: candidate[:4])
    step = slope.constant
    assert step is not None
    return {axis: (_exact((place - offset) * (1 if step > 0 else -1), abs(step), axes), "fill")}


def exact_quotient(index: Node) -> tuple[Size | None, int]:
    """An index as a polynomial and what it is exactly divided by."""
    if index.op == "where" and index.args[1].op == "floordiv" and index.args[2] is build.const(-1):
        whole, part = index.args[1].args
        if part.op == "const" and index.args[0] is build.apply("eq", build.apply("mod", whole, part), build.const(0)):
            return polynomial(whole), part.attrs  # type: ignore[return-value]
    return polynomial(index), 1


def _exact(size: Size, divisor: int, axes: frozenset[Axis]) -> Node:
    """An exact division as an index: -1, which is outside, where there is a remainder."""
    whole = as_node(size, axes)
    if divisor == 1:
        return whole
    part = build.const(divisor)
    even = build.apply("eq", build.apply("mod", whole, part), build.const(0))
    return build.apply("where", even, build.apply("floordiv", whole, part), build.const(-1))


def _digits(size: Size, free: frozenset[Axis]) -> list[Axis] | None:
    """The axes that an index counts through, the fastest first: each steps over all of those before. None for fewer than two."""
    slopes = {axis: parts[0] for axis in free if (parts := split(size, axis)) and parts[0].terms}
    found: list[Axis] = []
    step = Size.of(1)
    while True:
        following = [axis for axis, slope in slopes.items() if slope == step and axis not in found]
        if len(following) != 1:
            break
        found.append(following[0])
        step = step * following[0].size
    return found if len(found) > 1 else None


def _count(target: Axis, size: Size, digits: list[Axis], axes: frozenset[Axis]) -> Places:
    """Each digit of the target's index, less what the index has beside the digits."""
    rest = size
    for axis in digits:
        rest = split(rest, axis)[1]  # type: ignore[index]
    left = as_node(index_of(target) - rest, axes)
    covers = rest.constant == 0
    places: Places = {}
    total = Size.of(1)
    for axis in digits[:-1]:
        places[axis] = (build.apply("mod", left, build.size(axis.size)), "trust")
        left = build.apply("floordiv", left, build.size(axis.size))
        total = total * axis.size
    places[digits[-1]] = (left, "trust" if covers and total * digits[-1].size == target.size else "fill")
    return places


def pushed(v: Node, at: Places) -> Node:
    """The read of v at places, 0 outside, as far down as it can be: past factors without the axes, and past sums over other axes
    unless they are of products of which more than one factor has the axes: those are better summed first."""
    moving = frozenset(at).union(*(index.axes for index, _ in at.values()))
    steps: list[tuple[Node, int]] = []
    while True:
        if v.op == "sum" and moving.isdisjoint(v.attrs):  # type: ignore[arg-type]
            place = 0
        elif v.op in ("mul", "div", "neg"):
            having = [i for i, arg in enumerate(v.args) if not arg.axes.isdisjoint(at)]
            if len(having) != 1 or (v.op == "div" and having == [1]) or not at.keys() <= v.args[having[0]].axes:
                while any(outer.op == "sum" for outer, _ in steps):
                    v, _ = steps.pop()
                break
            place = having[0]
        else:
            break
        steps.append((v, place))
        v = v.args[place]
    fills = any(border == "fill" for _, border in at.values())
    result = build.read(v, at, ZERO if fills else None)
    for outer, place in reversed(steps):
        if outer.op == "sum":
            result = build.reduce("sum", result, outer.attrs)  # type: ignore[arg-type]
        else:
            args = list(outer.args)
            args[place] = result
            result = build.apply(outer.op, *args)
    return result


@also_inside
def run(graph: Graph) -> Graph:
    return rewrite(graph, gather)


GATHER = Pass("gather", "write what is added into places as reads, where the index can be solved", run, Keeps.UP_TO_REASSOCIATION)

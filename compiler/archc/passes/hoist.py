"""Take out of a sum what it does not need:  sum[k](a * x) -> a * sum[k](x)  where a has no axis k.

Factors that share no summed axis are summed apart:  sum[j, k](a * b) -> sum[j](a) * sum[k](b)  where a has j alone and b k alone.
The same holds of means, and of a choice of nothing:  sum[k](where(c, x, 0)) -> where(c, sum[k](x), 0).
"""

from __future__ import annotations

from collections.abc import Container

from archc.checker.types import Axis
from archc.ir import build
from archc.ir.graph import Graph, Node, rewrite, users
from archc.passes.base import Keeps, Pass, also_inside
from archc.passes.products import Product, product


def hoist(node: Node, shared: Container[Node] = ()) -> Node | None:
    """One sum or mean with everything taken out that can be. Products that others read as well are made anyway, and stay."""
    if node.op not in ("sum", "mean"):
        return None
    over: frozenset[Axis] = node.attrs  # type: ignore[assignment]
    x = node.args[0]
    if x.op == "where" and over.isdisjoint(x.args[0].axes) and _is_zero(x.args[2]) and over <= x.args[1].axes:
        inner = build.reduce(node.op, x.args[1], over)
        return build.apply("where", x.args[0], hoist(inner, shared) or inner, x.args[2])
    whole = product(x, shared)
    groups = _groups(whole, over)
    if len(groups) == 1 and not whole.negative:
        return None
    result: Node | None = None
    for axes, factors in groups:
        part = Product(tuple(factors)).node()
        assert part is not None
        if axes:
            part = build.reduce(node.op, part, axes)
        result = part if result is None else build.apply("mul", result, part)
    assert result is not None
    if whole.negative:
        result = build.apply("neg", result)
    return build.expand(result, node.axes)


def _groups(whole: Product, over: frozenset[Axis]) -> list[tuple[frozenset[Axis], list[tuple[Node, bool]]]]:
    """Factors joined by the summed axes that they share, each group in the order written; those that have none come first.
    The probability that a draw is divided by stays with the draw: together they are a dropout."""
    groups: list[tuple[frozenset[Axis], list[int]]] = []
    drawn = {factor.args[0]: factor.axes for factor, _ in whole.factors if factor.op == "random" and factor.args}
    for place, (factor, below) in enumerate(whole.factors):
        axes, members = (drawn.get(factor, factor.axes) if below else factor.axes) & over, [place]
        kept = []
        for group in groups:
            if (group[0] & axes) or not (group[0] or axes):
                axes, members = axes | group[0], group[1] + members
            else:
                kept.append(group)
        groups = [*kept, (axes, members)]
    if frozenset().union(*(axes for axes, _ in groups)) != over:
        # Axes along which everything is the same: left to the rules about repeated values.
        return [(over, list(whole.factors))]
    groups.sort(key=lambda group: (bool(group[0]), min(group[1])))
    return [(axes, [whole.factors[place] for place in sorted(members)]) for axes, members in groups]


def _is_zero(node: Node) -> bool:
    return node.op == "const" and node.attrs == 0 and node.type.dtype != "bool"


@also_inside
def run(graph: Graph) -> Graph:
    shared = {current for current, readers in users(graph.roots).items() if current.op in ("mul", "div") and len(readers) > 1}
    return rewrite(graph, lambda current: hoist(current, shared))


HOIST = Pass("hoist", "move factors out of sums that do not index them", run, Keeps.UP_TO_REASSOCIATION)

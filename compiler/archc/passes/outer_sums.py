"""Take sums of products that are larger than their factors out of loops: one product of all steps in place of many small ones.

    scan t { d_w = d_w + sum[n](d_z * h) }   ->   scan t { yield d_z; yield h };  d_w = sum[n, t](d_z * h)

So the gradient of a weight that a loop multiplies its state with is one product after the loop.
"""

from __future__ import annotations

from archc.checker.types import Axis
from archc.ir import build
from archc.ir.graph import Graph, Node, Scan, rewrite, users
from archc.passes.base import Keeps, Pass, also_inside
from archc.passes.loops import Loop, State, added, items


def outer_sums(graph: Graph) -> Graph:
    """The graph with its loops relieved of such sums."""
    results: dict[Node, list[Node]] = {}

    def rule(current: Node) -> Node | None:
        if isinstance(current.attrs, Scan):
            made = _relieved(current)
            if made is None:
                return None
            found, values = made
            results[found] = values
            return found
        known = current.op == "item" and current.args[0] in results
        return results[current.args[0]][current.attrs] if known else None  # type: ignore[index]

    return rewrite(graph, rule)


def _relieved(scan: Node) -> tuple[Node, list[Node]] | None:
    """The loop without the states that only add up outer products, and all results of the old one."""
    attrs: Scan = scan.attrs  # type: ignore[assignment]
    loop, reading = Loop.of(scan), users(attrs.body.roots)
    sums = {k: found for k in range(attrs.states) if (found := _factors(attrs, k, added(attrs, k, reading))) is not None}
    if not sums or len(sums) == attrs.states:
        return None
    states: list[State] = loop.states
    loop.states = [state for k, state in enumerate(states) if k not in sums]
    count = len(loop.yields)
    for factors, _ in sums.values():
        loop.yields += [factor for factor in factors if factor not in loop.yields]
    made = loop.without_unused().node()
    given = items(made)
    of_yield = dict(zip(loop.yields, given[len(loop.states):], strict=True))
    kept = iter(given)
    values: list[Node] = []
    for k, state in enumerate(states):
        if k not in sums:
            values.append(next(kept))
            continue
        factors, over = sums[k]
        whole = build.reduce("sum", build.apply("mul", *(of_yield[factor] for factor in factors)), over | {attrs.axis})
        values.append(build.apply("add", state.start, whole))
    return made, [*values, *given[len(loop.states) : len(loop.states) + count]]


def _factors(scan: Scan, k: int, term: Node | None) -> tuple[tuple[Node, ...], frozenset[Axis]] | None:
    """The factors of what a step adds to a state, and the axes over which their product is summed."""
    if term is None or term.axes != scan.body.inputs[k].type.axes:
        return None
    over: frozenset[Axis] = frozenset()
    if term.op == "sum":
        over, term = term.attrs, term.args[0]  # type: ignore[assignment]
    if term.op != "mul" or any(factor.axes == term.axes for factor in term.args):
        return None
    return term.args, over


OUTER_SUMS = Pass("outer-sums", "take sums of products that are larger than their factors out of loops", also_inside(outer_sums),
                  Keeps.UP_TO_REASSOCIATION)

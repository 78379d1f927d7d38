"""What the sweeps of a kernel compute, in the least work: products of what a loop does not change are made outside of it, and
what costs more to compute again than to read again is kept from one sweep to the next."""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence, Set

from archc.checker.types import Axis
from archc.ir.build import apply, const
from archc.ir.cost import KEPT, effort
from archc.ir.graph import Graph, Node, rewrite, users

Roots = Sequence[Node]
"""What a nest of loops computes at each of its steps."""


def regrouped(graph: Graph, order: Sequence[Axis]) -> Graph:
    """The graph with the factors of each product in the order of the loops that change them, outermost first. A quotient by what
    the innermost loop does not change is a product with its reciprocal."""
    place = {axis: at for at, axis in enumerate(order)}
    graph = rewrite(graph, lambda current: _multiplied(current, order[-1:]))
    reading = users(graph.roots)
    roots = set(graph.roots)

    def inner(current: Node) -> bool:
        readers = reading.get(current, ())
        return current.op == "mul" and current not in roots and len(readers) == 1

    def depth(factor: Node) -> int:
        return max((place[axis] for axis in factor.axes), default=-1)

    def rule(current: Node) -> Node | None:
        if current.op != "mul" or current.type.dtype != "float" or (inner(current) and reading[current][0].op == "mul"):
            return None
        factors, stack = [], list(reversed(current.args))
        while stack:
            factor = stack.pop()
            if inner(factor):
                stack.extend(reversed(factor.args))
            else:
                factors.append(factor)
        ordered = sorted(factors, key=depth)
        if len(factors) < 3 or depth(ordered[1]) == depth(ordered[-1]):
            return None
        made = ordered[0]
        for factor in ordered[1:]:
            made = apply("mul", made, factor)
        return made if made != current else None

    return rewrite(graph, rule)


def _multiplied(current: Node, innermost: Sequence[Axis]) -> Node | None:
    if current.op != "div" or current.args[1].axes.intersection(innermost) or not current.args[0].axes.intersection(innermost):
        return None
    return apply("mul", current.args[0], apply("div", const(1.0), current.args[1]))


def repeated(nests: Sequence[Roots], nodes: Sequence[Node], inside: Set[Axis], over: Container[str]) -> frozenset[Node]:
    """Which values a nest keeps for later ones. `inside`: the axes of the loops, the rest is given; `over`: reductions, whose
    results lie in memory; `nodes`: all, each after its operands."""
    kept: set[Node] = set()
    again = _again(nests, inside, over, kept)
    for current in nodes:
        if current in again and _effort(current, inside, over, kept) > KEPT:
            kept.add(current)
    outer = {arg for roots in nests for n in _within(roots, inside, over, again) - again for arg in n.args}
    outer = {n for n in outer.union(*nests) & again if _effort(n, inside, over, ()) > KEPT}
    parts, wholes = (frozenset(_again(nests, inside, over, found) & found) for found in (kept, outer))
    return min(parts, wholes, key=len)


def _effort(current: Node, inside: Set[Axis], over: Container[str], kept: Collection[Node]) -> int:
    return sum(effort(n.op) for n in _within([current], inside, over, kept) if n not in kept)


def _again(nests: Sequence[Roots], inside: Set[Axis], over: Container[str], kept: Collection[Node]) -> set[Node]:
    """What more than one nest has: those that are kept are not computed again."""
    seen: set[Node] = set()
    again: set[Node] = set()
    for roots in nests:
        here = _within(roots, inside, over, seen.intersection(kept))
        again |= here & seen
        seen |= here
    return again


def _within(roots: Roots, inside: Set[Axis], over: Container[str], known: Container[Node]) -> set[Node]:
    """What is computed step by step for these roots, down to what is known, which is told as well."""
    found: set[Node] = set()
    stack = list(roots)
    while stack:
        current = stack.pop()
        if current in found or not current.args or current.op in over or not current.axes & inside:
            continue
        found.add(current)
        if current not in known:
            stack.extend(current.args)
    return found

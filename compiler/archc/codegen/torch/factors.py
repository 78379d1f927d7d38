"""Multiply what is small first: x * a * b with a, b of fewer axes than x becomes x * (a * b).

In eager torch each product with x is a pass over x, forward and backward; a and b are small. Quotients go below one line.
"""

from __future__ import annotations

from archc.ir import build
from archc.ir.graph import Graph, Node, carry, node, topological, users
from archc.passes.base import Keeps, Pass

Factor = tuple[Node, bool]  # and whether it divides


def small_first(graph: Graph) -> Graph:
    """Chains of products and quotients whose inner values nothing else reads, regrouped."""
    uses = {current: len(found) for current, found in users(graph.roots).items()}
    for root in graph.roots:
        uses[root] = uses.get(root, 0) + 1
    read_by_chain: set[Node] = set()
    order = list(topological(graph.roots))
    for current in order:
        if current.op in ("mul", "div") and current.type.dtype == "float":
            for place, arg in enumerate(current.args):
                if _opens(arg, place, current, uses):
                    read_by_chain.add(arg)
    new: dict[Node, Node] = {}
    for current in order:
        args = tuple(new[arg] for arg in current.args)
        rebuilt = current if args == current.args else node(current.op, args, current.attrs, current.type)
        new[current] = rebuilt
        if current.op in ("mul", "div") and current not in read_by_chain and current.type.dtype == "float":
            new[current] = _regrouped(current, new, uses) or rebuilt
    return graph.with_roots((new[root] for root in graph.roots), carry(graph.notes, new))


SMALL_FIRST = Pass("small-first", "factors of few axes are multiplied with each other before they meet larger ones", small_first,
                   Keeps.UP_TO_REASSOCIATION)


def _opens(arg: Node, place: int, parent: Node, uses: dict[Node, int]) -> bool:
    """Whether an operand belongs to the chain of its reader."""
    below = parent.op == "div" and place == 1
    return arg.op in ("mul", "div") and uses.get(arg, 0) == 1 and arg.axes == parent.axes and not below


def _factors(current: Node, uses: dict[Node, int]) -> list[Factor]:
    found: list[Factor] = []
    stack = [current]
    while stack:
        chain = stack.pop()
        inner = [_opens(arg, place, chain, uses) for place, arg in enumerate(chain.args)]
        found += [(arg, chain.op == "div" and place == 1)
                  for place, arg in reversed(list(enumerate(chain.args))) if not inner[place]]
        stack += [arg for place, arg in enumerate(chain.args) if inner[place]]
    return found[::-1]


def _regrouped(current: Node, new: dict[Node, Node], uses: dict[Node, int]) -> Node | None:
    factors = _factors(current, uses)
    small = [factor for factor in factors if factor[0].axes != current.axes]
    large = [factor for factor in factors if factor[0].axes == current.axes]
    together = frozenset().union(*(factor.axes for factor, _ in small)) if small else frozenset()
    if len(small) < 2 or not large or together == current.axes or all(below for _, below in large):
        return None
    if sum(1 for factor, _ in small if factor.axes) < 1:
        return None
    scale = _product(small, new)
    value = _product(large, new)
    if scale is None or value is None:
        return None
    top, bottom = scale
    result, below = value
    assert result is not None
    if below is not None:
        result = build.apply("div", result, below)
    if top is None:
        assert bottom is not None
        return build.apply("div", result, bottom)
    return build.apply("mul", result, top if bottom is None else build.apply("div", top, bottom))


def _product(factors: list[Factor], new: dict[Node, Node]) -> tuple[Node | None, Node | None]:
    """What stands above the line and what below; smaller factors are multiplied first."""
    sides: list[Node | None] = []
    for below in (False, True):
        side: Node | None = None
        for factor in sorted((new[f] for f, b in factors if b == below), key=lambda f: len(f.axes)):
            side = factor if side is None else build.apply("mul", side, factor)
        sides.append(side)
    return sides[0], sides[1]

"""Standardisation over trailing dimensions, (x - mean) / sqrt(var + eps), perhaps times a weight and plus a bias: layer_norm, and
group_norm where the weight belongs to the channels before. torch has a fused kernel for both, with second derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass

from archc.checker.types import Axis, flat
from archc.ir import build
from archc.ir.graph import Graph, Library, Node, carry, node, topological, users

Orders = dict[Node, "tuple[Axis, ...] | None"]


@dataclass(frozen=True)
class Standardised:
    """`order` is that in memory; `grouped`: weight and bias belong to the last kept axis, perhaps with the first of `over`."""

    over: frozenset[Axis]
    order: tuple[Axis, ...]
    weight: bool = False
    bias: bool = False
    grouped: bool = False


def orders(graph: Graph) -> Orders:
    """The order of dimensions that a value has by itself: that of the input it is made from by elementwise operations."""
    layouts = {port.node: flat(port.layout) for port in graph.inputs if port.role == "input"}
    found: Orders = {}
    for current in topological(graph.roots):
        if current in layouts:
            found[current] = layouts[current]
        else:
            candidates = [order for arg in current.args if (order := found.get(arg)) and frozenset(order) == current.axes]
            found[current] = candidates[0] if candidates else None
    return found


def norms(graph: Graph) -> Graph:
    """Bottom up, once: standardisation, then its weight, then its bias."""
    uses = {current: len(found) for current, found in users(graph.roots).items()}
    for root in graph.roots:
        uses[root] = uses.get(root, 0) + 1
    natural = orders(graph)
    new: dict[Node, Node] = {}
    count: dict[Node, int] = {}
    for current in topological(graph.roots):
        args = tuple(new[arg] for arg in current.args)
        rebuilt = current if args == current.args else node(current.op, args, current.attrs, current.type)
        found = None
        if current.op in ("mul", "div"):
            found = _standardised(rebuilt, natural.get(current), count) or _weighted(rebuilt, count)
        elif current.op == "add":
            found = _biased(rebuilt, count)
        new[current] = found or rebuilt
        count[new[current]] = count.get(new[current], 0) + uses[current]
    return graph.with_roots((new[root] for root in graph.roots), carry(graph.notes, new))


def _standardised(current: Node, order: tuple[Axis, ...] | None, uses: dict[Node, int]) -> Node | None:
    if order is None or current.type.dtype != "float":
        return None
    for centred, scale in (current.args, current.args[::-1]) if current.op == "mul" else (current.args,):
        root = "rsqrt" if current.op == "mul" else "sqrt"
        if centred.op != "sub" or scale.op != root or scale.args[0].op != "add":
            continue
        x, mean = centred.args
        for variance, eps in (scale.args[0].args, scale.args[0].args[::-1]):
            over = variance.attrs
            if variance.op != "var" or mean.op != "mean" or variance.args[0] is not x or mean.args[0] is not x:
                continue
            if over != mean.attrs or not isinstance(over, frozenset) or eps.axes or not _is_number(eps):
                continue
            # In training, a batch norm reads mean and variance again: they are computed anyway.
            if uses.get(variance, 0) > 1 or uses.get(mean, 0) > 1 or x.axes != current.axes:
                continue
            if over and frozenset(order[len(order) - len(over):]) == over and len(over) < len(order):
                hole = node("input", (), "0", x.type)
                body = _rebuilt(hole, over, node("input", (), "1", eps.type), current)
                return node("library", (x, eps), Library("standardise", body, (Standardised(over, order),)), current.type)
    return None


def _rebuilt(x: Node, over: frozenset[Axis], eps: Node, like: Node) -> Node:
    centred = build.apply("sub", x, build.reduce("mean", x, over))
    variance = build.apply("add", build.reduce("var", x, over), eps)
    if like.op == "div":
        return build.apply("div", centred, build.apply("sqrt", variance))
    return build.apply("mul", centred, build.apply("rsqrt", variance))


def _is_number(eps: Node) -> bool:
    return eps.op in ("const", "input") and eps.type.dtype == "float"


def _part(current: Node, uses: dict[Node, int]) -> tuple[Node, Library, Standardised, Node] | None:
    for inner, other in (current.args, current.args[::-1]):
        library = inner.attrs
        if isinstance(library, Library) and library.kind == "standardise" and uses.get(inner, 0) <= 1 and other.axes:
            spec = library.options[0]
            assert isinstance(spec, Standardised)
            return inner, library, spec, other
    return None


def _weighted(current: Node, uses: dict[Node, int]) -> Node | None:
    found = _part(current, uses) if current.op == "mul" else None
    if found is None:
        return None
    inner, library, spec, weight = found
    if spec.weight or spec.bias or weight.type.dtype != "float":
        return None
    kept = len(spec.order) - len(spec.over)
    plain = weight.axes == spec.over
    after = frozenset(spec.order[kept:kept + 1])
    before = frozenset(spec.order[kept - 1:kept])
    grouped = weight.axes in (before | after, before) and kept == 2 and len(spec.over) >= 1
    if not plain and not grouped:
        return None
    hole = node("input", (), "2", weight.type)
    options = Standardised(spec.over, spec.order, True, False, grouped and not plain)
    body = build.apply("mul", library.body, hole)
    return node("library", (*inner.args, weight), Library("standardise", body, (options,)), current.type)


def _biased(current: Node, uses: dict[Node, int]) -> Node | None:
    found = _part(current, uses)
    if found is None:
        return None
    inner, library, spec, bias = found
    if not spec.weight or spec.bias or bias.axes != inner.args[2].axes or bias.type.dtype != "float":
        return None
    hole = node("input", (), "3", bias.type)
    options = Standardised(spec.over, spec.order, True, True, spec.grouped)
    body = build.apply("add", library.body, hole)
    return node("library", (*inner.args, bias), Library("standardise", body, (options,)), current.type)

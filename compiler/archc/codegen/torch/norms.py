"""Standardisation, (x - mean) / sqrt(var + eps), perhaps times a weight and plus a bias, where torch has a fused kernel with
second derivatives: over trailing dimensions (layer_norm; group_norm where the weight belongs to the channels before), over all
but the channels (batch_norm), and by a mean and variance that are stored (batch_norm in evaluation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from archc.checker.types import Axis, flat
from archc.ir import build
from archc.ir.graph import Graph, Library, Node, carry, node, topological, users
from archc.ir.library import Standardised
from archc.passes.base import Keeps, Pass

Orders = dict[Node, "tuple[Axis, ...] | None"]


@dataclass(frozen=True)
class _Found:
    """The parts of a standardisation; mean and variance are args of their own where they are frozen."""

    x: Node
    statistics: tuple[Node, ...]
    eps: Node
    over: frozenset[Axis]


def orders(graph: Graph) -> Orders:
    """The order of dimensions that a value has by itself: that of the input or result that it is made from elementwise."""
    layouts = {port.node: flat(port.layout) for port in graph.inputs if port.role == "input"}
    found: Orders = {}
    for current in topological(graph.roots):
        if current in layouts:
            found[current] = layouts[current]
        elif isinstance(current.attrs, int) and current.op == "item" and hasattr(current.args[0].attrs, "results"):
            found[current] = flat(current.args[0].attrs.results[current.attrs])  # type: ignore[union-attr]
        else:
            candidates = [order for arg in current.args if (order := found.get(arg)) and frozenset(order) == current.axes]
            found[current] = candidates[0] if candidates else None
    return found


def norms(graph: Graph) -> Graph:
    """Bottom up, once: standardisation, then its weight, then its bias."""
    return _Norms(graph).run()


STANDARDISE = Pass("standardise", "layer, group and batch normalization become library calls", norms, Keeps.UP_TO_REASSOCIATION)


class _Norms:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.natural = orders(graph)
        self.buffers = {port.node for port in graph.inputs if port.role == "buffer"}
        self.live = set(topological([*(o.node for o in graph.outputs), *(p.node for p in graph.penalties)]))
        self.readers = users(graph.roots)
        self.roots = graph.roots
        self.new: dict[Node, Node] = {}

    def run(self) -> Graph:
        for current in topological(self.roots):
            args = tuple(self.new[arg] for arg in current.args)
            rebuilt = current if args == current.args else node(current.op, args, current.attrs, current.type)
            found = None
            if current.op in ("mul", "div"):
                found = self.standardised(current) or self.part(current, rebuilt, "weight")
            elif current.op == "add":
                found = self.part(current, rebuilt, "bias")
            self.new[current] = found or rebuilt
        return self.graph.with_roots((self.new[root] for root in self.roots), carry(self.graph.notes, self.new))

    def alone(self, current: Node, reader: Node | None = None) -> bool:
        """Whether nothing that has a derivative reads a value but one reader: what is stored may."""
        readers = [other for other in self.readers[current] if other in self.live]
        return len(readers) <= 1 and current not in [o.node for o in self.graph.outputs]

    def standardised(self, current: Node) -> Node | None:
        order = self.natural.get(current)
        found = self.match(current) if order and current.type.dtype == "float" else None
        if found is None or order is None or found.x.axes != current.axes:
            return None
        over = found.over
        trailing = frozenset(order[len(order) - len(over):]) == over and 0 < len(over) < len(order)
        second = len(order) > 1 and frozenset(order) - over == {order[1]}
        if found.statistics:
            kind = "frozen" if second else None
        elif trailing:
            kind = "layer"
        else:
            kind = "batch" if second else None
        if kind is None:
            return None
        args = tuple(self.new[arg] for arg in (found.x, found.eps, *found.statistics))
        x, eps, *statistics = (node("input", (), str(i), arg.type) for i, arg in enumerate(args))
        mean, variance = statistics or (build.reduce("mean", x, over), build.reduce("var", x, over))
        centred, spread = build.apply("sub", x, mean), build.apply("add", variance, eps)
        if current.op == "div":
            body = build.apply("div", centred, build.apply("sqrt", spread))
        else:
            body = build.apply("mul", centred, build.apply("rsqrt", spread))
        return node("library", args, Library("standardise", body, Standardised(kind, over, order)), current.type)

    def match(self, current: Node) -> _Found | None:
        root = "rsqrt" if current.op == "mul" else "sqrt"
        for centred, scale in (current.args, current.args[::-1]) if current.op == "mul" else (current.args,):
            if centred.op != "sub" or scale.op != root or scale.args[0].op != "add":
                continue
            x, mean = centred.args
            for variance, eps in (scale.args[0].args, scale.args[0].args[::-1]):
                if eps.axes or eps.op not in ("const", "input") or eps.type.dtype != "float":
                    continue
                if {mean, variance} <= self.buffers and mean.axes == variance.axes:
                    return _Found(x, (mean, variance), eps, x.axes - mean.axes)
                both = (mean.op, variance.op) == ("mean", "var") and mean.args == variance.args == (x,)
                if both and mean.attrs == variance.attrs:
                    assert isinstance(mean.attrs, frozenset)
                    if self.alone(mean) and self.alone(variance):
                        return _Found(x, (), eps, mean.attrs)
        return None

    def part(self, current: Node, rebuilt: Node, what: str) -> Node | None:
        """A weight or bias taken into the standardisation that it belongs to."""
        for place in (0, 1):
            inner, other = rebuilt.args[place], rebuilt.args[1 - place]
            library = inner.attrs
            if not isinstance(library, Library) or library.kind != "standardise" or not other.axes or other.type.dtype != "float":
                continue
            spec = library.options
            assert isinstance(spec, Standardised)
            if len(self.readers[current.args[place]]) > 1 or not self.alone(current.args[place]):
                continue
            kind = _kind(spec, other.axes) if what == "weight" else spec.kind
            ready = not spec.weight and not spec.bias if what == "weight" else spec.weight and not spec.bias
            if current.op == "div" or not ready or kind is None or (what == "bias" and other.axes != inner.args[-1].axes):
                continue
            hole = node("input", (), str(len(inner.args)), other.type)
            body = build.apply(current.op, library.body, hole)
            options = replace(spec, kind=kind, weight=True, bias=what == "bias")
            return node("library", (*inner.args, other), Library("standardise", body, options), current.type)
        return None


def _kind(spec: Standardised, axes: frozenset[Axis]) -> str | None:
    """What a standardisation with a weight of these axes is."""
    kept = len(spec.order) - len(spec.over)
    if spec.kind in ("batch", "frozen"):
        return spec.kind if axes == {spec.order[1]} else None
    if axes == spec.over:
        return "layer"
    before, after = frozenset(spec.order[kept - 1:kept]), frozenset(spec.order[kept:kept + 1])
    return "group" if kept == 2 and axes in (before, before | after) else None

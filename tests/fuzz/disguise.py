"""The same graph under other names and in another order, and graphs that differ from it in one thing: for the digest."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis, Layout, Type
from archc.ir.entry import graph_symbols
from archc.ir.graph import (
    Accumulate,
    At,
    Call,
    Fourier,
    Graph,
    Matrix,
    Node,
    Notes,
    Output,
    Port,
    Random,
    Read,
    Scan,
    Table,
    Update,
    node,
    topological,
)
from archc.ir.text import axes_of
from archc.ops.table import OPS


@dataclass
class _Disguise:
    """Renames axes, symbols, ports and serials, and swaps commutative operands at random."""

    rng: random.Random
    symbols: Mapping[str, Size]
    axes: Mapping[Axis, Axis]
    nodes: dict[Node, Node] = field(default_factory=dict)

    def size(self, size: Size) -> Size:
        return size.substitute(self.symbols)

    def type(self, type: Type) -> Type:
        return Type(type.dtype, frozenset(self.axes[axis] for axis in type.axes))

    def layout(self, layout: Layout) -> Layout:
        return tuple(tuple(self.axes[axis] for axis in dim) for dim in layout)

    def attrs(self, attrs: Any, ports: Mapping[str, str], order: list[int]) -> Any:
        if isinstance(attrs, Axis):
            return self.axes[attrs]
        if isinstance(attrs, Size):
            return self.size(attrs)
        if isinstance(attrs, frozenset):
            return frozenset(self.axes[axis] for axis in attrs)
        if isinstance(attrs, Read):
            return Read(tuple(At(self.axes[attrs.at[i].axis], attrs.at[i].border) for i in order))
        if isinstance(attrs, Fourier):
            half = attrs.half and (self.axes[attrs.half[0]], self.axes[attrs.half[1]])
            return Fourier(frozenset(self.axes[axis] for axis in attrs.over), half, attrs.norm)
        if isinstance(attrs, Accumulate):
            at = tuple(At(self.axes[attrs.at[i].axis], attrs.at[i].border) for i in order)
            return Accumulate(at, frozenset(self.axes[axis] for axis in attrs.keep))
        if isinstance(attrs, Matrix):
            return Matrix(self.axes[attrs.rows], self.axes[attrs.columns])
        if isinstance(attrs, Table):
            return replace(attrs, axes=tuple(self.axes[axis] for axis in attrs.axes))
        if isinstance(attrs, Random):
            return Random(attrs.kind, tuple(self.axes[axis] for axis in attrs.axes), 1000 - 7 * attrs.serial)
        if isinstance(attrs, Call):
            body, names = self.graph(attrs.body)
            vjp, _ = self.graph(attrs.vjp)
            return Call(body, vjp, tuple(names[n] for n in attrs.wrt), tuple(names[n] for n in attrs.stopped), attrs.surrogate)
        if isinstance(attrs, Scan):
            return replace(attrs, axis=self.axes[attrs.axis], body=self.graph(attrs.body)[0])
        return attrs

    def node(self, old: Node, ports: Mapping[str, str], new: Mapping[Node, Node]) -> Node:
        args = [new[arg] for arg in old.args]
        order: list[int] = []
        if isinstance(old.attrs, Read | Accumulate):
            order = list(range(len(old.attrs.at)))
            self.rng.shuffle(order)
            args[1 : 1 + len(order)] = [args[1 + i] for i in order]
        elif old.op in OPS and OPS[old.op].commutes and self.rng.random() < 0.5:
            args.reverse()
        attrs = ports[str(old.attrs)] if old.op == "input" else self.attrs(old.attrs, ports, order)
        return node(old.op, args, attrs, self.type(old.type))

    def graph(self, graph: Graph) -> tuple[Graph, dict[str, str]]:
        ports = {port.name: f"p{1000 - i}" for i, port in enumerate(graph.inputs)}
        new: dict[Node, Node] = {}
        roots = list(graph.roots)
        self.rng.shuffle(roots)
        for old in topological(roots):
            new[old] = self.node(old, ports, new)
        rename = {name: str(size) for name, size in self.symbols.items()}
        checks = [replace(c, left=self.size(c.left), right=self.size(c.right), message="other words") for c in graph.checks]
        definitions = [replace(d, symbol=rename[d.symbol], size=self.size(d.size), whole=self.size(d.whole),
                               part=self.size(d.part)) for d in graph.definitions]
        self.rng.shuffle(checks)
        self.rng.shuffle(definitions)
        updates = [Update(ports[u.buffer], new[u.node]) for u in graph.updates]
        self.rng.shuffle(updates)
        return Graph(
            "other", tuple(Port(ports[p.name], self.type(p.type), self.layout(p.layout), p.role) for p in graph.inputs),
            tuple(Output(f"r{i}", new[o.node], self.layout(o.layout)) for i, o in enumerate(graph.outputs)), tuple(updates),
            tuple(Output(f"l{i}", new[o.node], self.layout(o.layout)) for i, o in enumerate(graph.penalties)),
            tuple(rename[name] for name in graph.numbers), tuple(definitions), tuple(checks), Notes()), ports


def disguised(graph: Graph, rng: random.Random) -> Graph:
    """An equal graph that shares no name with the first. `...` keeps its name, which is a word of the language."""
    symbols = sorted(graph_symbols(graph).union(graph.numbers, *(d.whole.symbols | d.part.symbols | {d.symbol}
                                                                 for d in graph.definitions)) - {LEADING})
    fresh = [f"s{i}" for i in range(len(symbols))]
    rng.shuffle(fresh)
    by_symbol = {old: Size.symbol(new) for old, new in zip(symbols, fresh, strict=True)}
    axes = list(axes_of(graph))
    names = [f"q{i}" for i in range(len(axes))]
    rng.shuffle(names)
    by_axis = {axis: Axis(LEADING if axis.name == LEADING else name, axis.size.substitute(by_symbol))
               for axis, name in zip(axes, names, strict=True)}
    return _Disguise(rng, by_symbol, by_axis).graph(graph)[0]


def changed(graph: Graph) -> Iterator[tuple[str, Graph]]:
    """Graphs that differ from this one in one thing each, with a word for it."""
    for old in topological(graph.roots):
        for what, new in _changes(old):
            yield f"{what} of {old.op}", _replaced(graph, old, new)
    if len(graph.outputs) > 1 and graph.outputs[0].node is not graph.outputs[1].node:
        yield "order of outputs", replace(graph, outputs=(*graph.outputs[1:], graph.outputs[0]))
    for i, port in enumerate(graph.inputs):
        if port.role == "param":
            inputs = (*graph.inputs[:i], replace(port, role="buffer"), *graph.inputs[i + 1 :])
            yield "role of an input", replace(graph, inputs=inputs)
        # Only an axis that another input has too gives a dimension a place that renaming cannot change.
        elsewhere = {axis for other in graph.inputs if other is not port for axis in other.type.axes}
        if len(port.layout) > 1 and elsewhere & {*port.layout[0], *port.layout[-1]}:
            inputs = (*graph.inputs[:i], replace(port, layout=port.layout[::-1]), *graph.inputs[i + 1 :])
            if LEADING not in [axis.name for axis in port.type.axes]:
                yield "layout of an input", replace(graph, inputs=inputs)
    for check in graph.checks:
        yield "bound of a check", replace(graph, checks=(replace(check, right=check.right + 1),))


def _changes(old: Node) -> Iterator[tuple[str, Node]]:
    if old.op == "const" and isinstance(old.attrs, float):
        yield "value", node("const", (), old.attrs + 0.5, old.type)
    if old.op in OPS and OPS[old.op].form == "elementwise" and len(old.args) == 2:
        if not OPS[old.op].commutes and old.args[0] is not old.args[1] and old.args[0].type.dtype == old.args[1].type.dtype:
            yield "order of operands", node(old.op, old.args[::-1], None, old.type)
        if old.op in ("add", "mul", "sub"):
            yield "operation", node("maximum", old.args, None, old.type)
    if old.op in ("sum", "mean", "softmax"):
        other = {"sum": "max", "mean": "var", "softmax": "log_softmax"}[old.op]
        yield "operation", node(other, old.args, old.attrs, old.type)
    if old.op in ("solve", "solve_lower", "solve_upper"):
        yield "operation", node("solve_upper" if old.op != "solve_upper" else "solve", old.args, old.attrs, old.type)
    if isinstance(old.attrs, Fourier):
        other_norm = "forward" if old.attrs.norm == "ortho" else "ortho"
        yield "norm", node(old.op, old.args, replace(old.attrs, norm=other_norm), old.type)
        if old.op in ("fft", "ifft"):
            yield "direction", node({"fft": "ifft", "ifft": "fft"}[old.op], old.args, old.attrs, old.type)
    if isinstance(old.attrs, Read) and old.attrs.at[0].border == "edge":
        yield "border", node("read", old.args, Read((replace(old.attrs.at[0], border="wrap"), *old.attrs.at[1:])), old.type)


def _replaced(graph: Graph, old: Node, new: Node) -> Graph:
    made: dict[Node, Node] = {}
    for current in topological(graph.roots):
        args = tuple(made[arg] for arg in current.args)
        made[current] = new if current is old else node(current.op, args, current.attrs, current.type)
    return graph.with_roots(made[root] for root in graph.roots)

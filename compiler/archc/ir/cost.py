"""The one cost model: arithmetic and bytes of nodes and graphs, as sizes over the graph's symbols.

A node by itself reads its operands and writes its result; a graph can do no better than to read each input and write each output
once. Whoever groups, recomputes or predicts time compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archc.checker.sizes import Size, product
from archc.checker.types import Type, flat
from archc.ir.graph import Accumulate, Call, Fourier, Graph, Library, Matrix, Node, Scan, topological
from archc.ops.table import OPS

NOTHING = Size.of(0)
SPECIAL = 12
"""Additions that one call of a special function costs, vectorised: a polynomial, and the range of its argument."""
KEPT = 8
"""Additions in whose time a value is written to memory of a thread and read again."""


@dataclass(frozen=True)
class Work:
    """Additions and multiplications, calls of special functions, bytes read and bytes written."""

    flops: Size = NOTHING
    special: Size = NOTHING
    read: Size = NOTHING
    written: Size = NOTHING

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.special + other.special, self.read + other.read, self.written + other.written)

    def times(self, count: Size) -> Work:
        return Work(self.flops * count, self.special * count, self.read * count, self.written * count)

    def evaluate(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The numbers for given sizes: flops, special, read, written."""
        return {name: getattr(self, name).evaluate(sizes) for name in ("flops", "special", "read", "written")}


def effort(op: str) -> int:
    """Additions that an elementwise operation costs an element."""
    row = OPS.get(op)
    return row.cost.flops + SPECIAL * row.cost.special if row else 0


def size_in_bytes(type: Type, float_bytes: int = 4) -> Size:
    """The bytes of a tensor. An int has 8, a bool 1, a complex number two floats."""
    width = {"float": float_bytes, "int": 8, "bool": 1, "complex": 2 * float_bytes}[type.dtype]
    return type.count * width


def node_work(node: Node, float_bytes: int = 4) -> Work:
    """The work of one node that is computed by itself. Inputs, constants, indices and views cost nothing where they are made."""
    if node.op in ("input", "const", "size", "iota", "table", "expand", "item"):
        return Work()
    read = sum((size_in_bytes(arg.type, float_bytes) for arg in node.args), NOTHING)
    moved = Work(read=read, written=size_in_bytes(node.type, float_bytes))
    row = OPS.get(node.op)
    if row is not None:
        if isinstance(node.attrs, Fourier):
            return moved + Work(_transform(node, node.attrs, row.cost.flops))
        count = node.type.count if row.form == "elementwise" else node.args[0].type.count
        if isinstance(node.attrs, Matrix):
            count = sum((arg.type.count for arg in node.args), NOTHING) * node.attrs.rows.size
        return moved + Work(count * row.cost.flops * _reals(node), count * row.cost.special)
    if isinstance(node.attrs, Accumulate):
        axes = node.args[0].axes.union(*(index.axes for index in node.args[1:]), node.attrs.keep)
        return moved + Work(product(axis.size for axis in axes))
    if isinstance(node.attrs, Scan):
        return graph_work(node.attrs.body, float_bytes).times(node.attrs.axis.size)
    if isinstance(node.attrs, Call):
        return graph_work(node.attrs.body, float_bytes)
    if isinstance(node.attrs, Library):
        inner = sum((node_work(n, float_bytes) for n in topological([node.attrs.body])), Work())
        return moved + Work(inner.flops, inner.special)
    return moved  # a read, a draw, a sub-module


def _transform(node: Node, attrs: Fourier, flops: int) -> Size:
    """5 n log2 n for every transform of n complex numbers (Cooley & Tukey 1965), half of it for one of floats."""
    lines = product(axis.size for axis in node.axes - attrs.axes)
    length = product(axis.size for axis in attrs.elements)
    whole = lines * length * length.log2() * flops
    return whole // 2 if attrs.half else whole


def _reals(node: Node) -> int:
    """Operations on real numbers for one on complex ones: a product of two has four products and two sums."""
    complexes = sum(arg.type.dtype == "complex" for arg in node.args)
    if not complexes:
        return 1
    return {"mul": 6, "div": 9, "exp": 3, "ipow": 6, "abs": 3}.get(node.op, 2) if complexes == len(node.args) else 2


def graph_work(graph: Graph, float_bytes: int = 4) -> Work:
    """The work of all nodes, each computed by itself: what a graph costs that nobody has grouped."""
    return sum((node_work(node, float_bytes) for node in topological(graph.roots)), Work())


def least_traffic(graph: Graph, float_bytes: int = 4) -> Work:
    """The bytes that no implementation can do without: every input that is used read once, every result written once."""
    used = {node.attrs for node in topological(graph.roots) if node.op == "input"}
    read = sum((size_in_bytes(port.type, float_bytes) for port in graph.inputs
               if port.name in used and port.role != "number"), NOTHING)
    results = [Type(o.node.type.dtype, frozenset(flat(o.layout))) for o in (*graph.outputs, *graph.penalties)]
    buffers = {port.name: port.type for port in graph.inputs}
    results += [buffers[update.buffer] for update in graph.updates]
    return Work(read=read, written=sum((size_in_bytes(type, float_bytes) for type in results), NOTHING))


def held(graph: Graph, float_bytes: int = 4) -> dict[Node, Size]:
    """What loops give and other loops read step by step, and its bytes: memory that is held from the one to the other."""
    found: dict[Node, Size] = {}
    for node in topological(graph.roots):
        if isinstance(node.attrs, Scan):
            sequences = node.args[node.attrs.states : node.attrs.states + node.attrs.sequences]
            given = (arg for arg in sequences if arg.op == "item" and isinstance(arg.args[0].attrs, Scan))
            found |= {arg: size_in_bytes(arg.type, float_bytes) for arg in given}
    return found

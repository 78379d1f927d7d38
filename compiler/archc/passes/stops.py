"""Why a kernel ends where it ends: for each operation that no kernel computes, and between two kernels."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

from archc.ir.graph import Call, Graph, Library, Node, Read, Scan, topological, users
from archc.ops.table import OPS
from archc.passes.slices import places

KINDS = {
    "read": "a read at other places", "accumulate": "a sum at other places", "random": "a draw", "member": "a sub-module",
    "scan": "a loop that no kernel computes", "table": "a table of constants", "call": "a fn with a derivative of its own",
}


@dataclass(frozen=True)
class Stop:
    """An operation at the border of a kernel: what it gives the kernel, or takes from it."""

    kernel: Node
    node: Node
    gives: bool
    why: str


def refusal(n: Node, over_axes: Set[str]) -> str | None:
    """Why no kernel computes an operation; None where one does. `over_axes`: the rows over axes that kernels compute."""
    row = OPS.get(n.op)
    if n.op != "expand" and n.op not in over_axes and (row is None or row.form != "elementwise"):
        matrix = row is not None and row.form == "matrix"
        return KINDS.get(n.op) or ("a solver of matrices" if matrix else f"{n.op}, which goes along its axes in order")
    if any(value.type.dtype == "complex" for value in (n, *n.args)):
        return "complex numbers"
    if not n.axes and all(not arg.axes for arg in n.args):
        return "single numbers"
    if row is not None and row.form == "reduce" and any(arg.op == "read" and not places(arg) for arg in n.args):
        return "a sum over a window"
    return None


def stops(graph: Graph, over_axes: Set[str]) -> Iterator[Stop]:
    """What stands around each kernel of a grouped graph."""
    reading = users(graph.roots)
    for n in topological(graph.roots):
        if not (isinstance(n.attrs, Call) and n.attrs.fused):
            continue
        for arg in dict.fromkeys(n.args):
            if why := _between(arg, n, over_axes):
                yield Stop(n, arg, True, why)
        for reader in dict.fromkeys(reader for item in reading[n] for reader in reading[item]):
            if not _kernel(reader) and (why := _between(reader, n, over_axes)):
                yield Stop(n, reader, False, why)


def _kernel(n: Node) -> Call | None:
    source = n.args[0] if n.op == "item" else n
    return source.attrs if isinstance(source.attrs, Call) and source.attrs.fused else None


def _between(n: Node, kernel: Node, over_axes: Set[str]) -> str | None:
    if n.op in ("input", "const", "size", "iota"):
        return None
    if (other := _kernel(n)) is not None:
        this = kernel.attrs
        assert isinstance(this, Call)
        return f"kernel {other.body.name}, whose axes do not fit: {_axes(other.body)} there, {_axes(this.body)} here"
    while n.op in ("item", "expand"):
        n = n.args[0]
    if n.op in ("input", "const", "size", "iota"):
        return None
    if isinstance(n.attrs, Library):
        return f"{n.attrs.kind}, which the library does"
    if isinstance(n.attrs, Read | Scan):
        return KINDS[n.op]
    if n.op in ("sum", "mean") or (n.op in ("mul", "div") and all(arg.axes < n.axes for arg in n.args)):
        return refusal(n, over_axes) or "a product that the library contracts"
    return refusal(n, over_axes) or "too little work for a kernel"


def _axes(graph: Graph) -> str:
    found = {axis.name for output in graph.outputs for axis in output.node.axes}
    return "[" + ", ".join(sorted(found)) + "]"

"""The verifier: what every pass must leave true. A graph that is wrong is a bug of archc, never the user's mistake."""

from __future__ import annotations

from collections.abc import Iterable

from archc.checker.types import LEADING, Axis, Layout, flat
from archc.diagnostics.model import CompilerBug
from archc.ir import entry
from archc.ir.forms import form_of
from archc.ir.forms.base import Wrong, demand
from archc.ir.forms.call import SEVERAL
from archc.ir.graph import Graph, Node, Output, inside, topological
from archc.ir.text import axes_of, write, write_marked


def verify(graph: Graph, level: int = 2, after: str = "") -> None:
    """Raises CompilerBug, with the graph's text and a mark at what is wrong, unless the graph is whole.

    level 0: nothing. 1: ports, outputs, and every node by its form. 2: also that axis names are unique, that every size symbol
    is determined by something, and the graphs inside calls. `after` names the pass that is to blame.
    """
    if level <= 0:
        return
    at: Node | None = None
    try:
        _verify_ports(graph)
        for node in topological(graph.roots):
            at = node
            _verify_node(graph, node)
        at = None
        for output in (*graph.outputs, *graph.penalties):
            _verify_output(output)
        _verify_updates(graph)
        if level >= 2:
            _verify_axes(graph)
            entry.plan(graph)
            _verify_inside(graph, graph)
    except Wrong as wrong:
        raise CompilerBug(_report(graph, at, str(wrong), after)) from None
    except CompilerBug as bug:
        raise CompilerBug(_report(graph, at, str(bug), after)) from None


def _report(graph: Graph, at: Node | None, message: str, after: str) -> str:
    blame = f" after {after}" if after else ""
    try:
        text = write(graph) if at is None else write_marked(graph, at, message)
    except Exception as problem:  # a graph may be too broken to write, and the first message must not be lost for it
        text = f"(the graph cannot be written: {problem})\n"
    return f"graph {graph.name} is wrong{blame}: {message}\n{text}"


def _verify_ports(graph: Graph) -> None:
    names = [port.name for port in graph.inputs]
    for name in names:
        demand(names.count(name) == 1, f"two inputs are called {name}")
    for port in graph.inputs:
        axes = flat(port.layout)
        demand(len(set(axes)) == len(axes), f"{port.name} has an axis twice in its layout")
        demand(port.type.axes == frozenset(axes), f"the layout of {port.name} holds other axes than its type")
        demand(port.role in ("input", "param", "buffer", "number"), f"{port.name} has no role {port.role}")
        demand(port.role != "number" or not axes, f"the number {port.name} has axes")
        _verify_leading(port.name, port.layout)
    for graph_names, what in ((graph.numbers, "numbers"), (tuple(o.name for o in graph.outputs), "outputs")):
        demand(len(set(graph_names)) == len(graph_names), f"two {what} have one name")


def _verify_leading(name: str, layout: Layout) -> None:
    for i, dim in enumerate(layout):
        leads = LEADING in [axis.name for axis in dim]
        demand(not leads or (i == 0 and len(dim) == 1), f"`...` is not the first dimension of {name}")


def _verify_node(graph: Graph, node: Node) -> None:
    form = form_of(node)
    demand(form is not None, f"there is no operation {node.op}")
    assert form is not None
    for arg in node.args:
        demand(node.op == "item" or arg.op not in SEVERAL, f"{node.op} uses a call itself instead of a result of it")
    form.verify(node)
    if node.op == "input":
        port = next((port for port in graph.inputs if port.name == node.attrs), None)
        demand(port is not None, f"no input of the graph is called {node.attrs}")
        assert port is not None
        demand(port.type == node.type, f"input {node.attrs} is {port.type}, not {node.type}")


def _verify_output(output: Output) -> None:
    axes = flat(output.layout)
    demand(len(set(axes)) == len(axes), f"output {output.name} has an axis twice in its layout")
    demand(output.node.axes <= frozenset(axes), f"output {output.name} is {output.node.type}, more than its layout holds")
    demand(output.node.op not in SEVERAL, f"output {output.name} is a call itself instead of a result of it")
    _verify_leading(output.name, output.layout)


def _verify_updates(graph: Graph) -> None:
    buffers = {port.name: port.type for port in graph.inputs if port.role == "buffer"}
    seen: set[str] = set()
    for update in graph.updates:
        demand(update.buffer in buffers, f"{update.buffer} is updated and is no buffer")
        demand(update.buffer not in seen, f"{update.buffer} is updated twice")
        seen.add(update.buffer)
        wanted, found = buffers[update.buffer], update.node.type
        demand(found.dtype == wanted.dtype and found.axes <= wanted.axes, f"{update.buffer} is {wanted}, its update is {found}")


def _verify_axes(graph: Graph) -> None:
    _unique(axes_of(graph))


def _unique(axes: Iterable[Axis]) -> None:
    by_name: dict[str, Axis] = {}
    for axis in axes:
        other = by_name.setdefault(axis.name, axis)
        demand(other == axis, f"two axes are called {axis.name}: one has size {other.size}, one has size {axis.size}")


def _verify_inside(graph: Graph, around: Graph) -> None:
    """The graphs inside nodes speak of the same axes and sizes as the graph around them, so nothing there is solved again."""
    for inner in dict.fromkeys(inner for node in topological(graph.roots) for inner in inside(node)):
        _unique([*axes_of(around), *axes_of(inner)])
        verify(inner, level=1)
        _verify_inside(inner, around)

"""Nodes that carry graphs, for random graphs: a fn with a derivative of its own, and a loop."""

from __future__ import annotations

from collections.abc import Sequence

from archc.checker.types import Axis, Layout, Type
from archc.ir import build
from archc.ir.graph import Call, Graph, Node, Output, Port, Scan, node
from archc.ir.meaning import derivative


def layout(axes: frozenset[Axis]) -> Layout:
    return tuple((axis,) for axis in sorted(axes, key=str))


def product(first: Node, second: Node) -> Node:
    """a * tanh(b) as a fn with its own derivative."""
    ports = [Port(name, arg.type, layout(arg.axes)) for name, arg in (("a", first), ("b", second))]
    a, b = (port.node for port in ports)
    squashed = build.apply("tanh", b)
    y = build.apply("mul", a, squashed)
    dy = Port("dy", y.type, layout(y.axes))
    slope = derivative(squashed, 0)
    assert slope is not None
    gradients = [build.apply("mul", dy.node, squashed), build.apply("mul", dy.node, build.apply("mul", a, slope))]
    outputs = tuple(Output(f"d{p.name}", build.reduce("sum", g, g.axes - p.type.axes), p.layout)
                    for p, g in zip(ports, gradients, strict=True))
    call = Call(Graph("product", tuple(ports), (Output("y", y, layout(y.axes)),)), Graph("product_grad", (*ports, dy), outputs),
                ("a", "b"))
    return build.item(node("call", (first, second), call), 0, y.type)


def squashed_sum(x: Node, axis: Axis, constants: Sequence[Node], reverse: bool, step: bool) -> tuple[Node, Node]:
    """s = tanh(s * c + x) along an axis, perhaps with the step in the sum: the last state, and each change of it."""
    axes = x.axes - {axis}
    ports = [Port("s", Type("float", axes), layout(axes)), Port("e", Type("float", axes), layout(axes))]
    ports += [Port(f"o{i}", c.type, layout(c.axes)) for i, c in enumerate(constants)]
    ports += [Port("step", Type("int"), ())] if step else []
    state, element = ports[0].node, ports[1].node
    change = build.apply("mul", state, ports[2].node if constants else build.const(0.5))
    change = build.apply("add", change, build.apply("to_float", ports[-1].node)) if step else change
    new = build.expand(build.apply("tanh", build.apply("add", change, element)), axes)
    results = (Output("s", new, layout(axes)), Output("y", build.apply("sub", new, state), layout(axes)))
    attrs = Scan(axis, reverse, 1, 1, step, Graph("step", tuple(ports), results))
    scan = node("scan", (build.expand(build.const(0.0), axes), x, *constants), attrs)
    return build.item(scan, 0, Type("float", axes)), build.item(scan, 1, Type("float", x.axes))

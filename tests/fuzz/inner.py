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


def squashed_sum(x: Node, axis: Axis, constants: Sequence[Node], reverse: bool, step: bool,
                 start: Node | None = None) -> tuple[Node, Node]:
    """s = tanh(s * c + x) along an axis, perhaps with the step in the sum: the last state, and each change of it. It starts at
    0, or somewhere else."""
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
    scan = node("scan", (build.expand(build.const(0.0), axes) if start is None else start, x, *constants), attrs)
    return build.item(scan, 0, Type("float", axes)), build.item(scan, 1, Type("float", x.axes))


def tangled(x: Node, axis: Axis, constants: Sequence[Node], reverse: bool) -> tuple[Node, ...]:
    """Two float states that need each other, a flag and a counter, what is read of all steps at once, and a loop in the loop over
    all of them. Gives two last states and two yields, all within -2 and 2."""
    axes = x.axes - {axis}
    ports = [Port(name, Type("float", axes), layout(axes)) for name in ("a", "b")] + [Port("odd", Type("bool"), ())]
    ports += [Port("count", Type("int"), ())]
    states = len(ports)
    ports += [Port("e", Type("float", axes), layout(axes))]
    ports += [Port(f"o{i}", c.type, layout(c.axes)) for i, c in enumerate(constants)]
    ports += [Port("all", x.type, layout(x.axes))]
    of = {port.name: port.node for port in ports}
    read = build.read(of["all"], {axis: (build.apply("mod", of["count"], build.size(axis.size)), "trust")})
    change = build.apply("add", build.apply("mul", of["a"], of.get("o0", build.const(0.5))), of["e"])
    first = build.apply("where", of["odd"], build.apply("tanh", change), build.apply("mul", of["a"], build.const(0.7)))
    every = build.expand(build.apply("mul", first, of["all"]), x.axes)
    first = squashed_sum(every, axis, [of["b"]], not reverse, False, build.apply("tanh", of["b"]))[0]
    second = build.apply("tanh", build.apply("sub", build.apply("mul", of["b"], read), of["a"]))
    nexts = [first, second, build.apply("not", of["odd"]), build.apply("add", of["count"], build.const(2))]
    yields = [build.apply("sub", first, of["b"]), second]
    whole = [build.expand(r, axes) if r.type.dtype == "float" else r for r in (*nexts, *yields)]
    results = tuple(Output(f"out{k}", r, layout(r.axes)) for k, r in enumerate(whole))
    attrs = Scan(axis, reverse, states, 1, False, Graph("step", tuple(ports), results))
    starts = [*(build.expand(build.const(value), axes) for value in (0.25, -0.5)), build.const(True), build.const(1)]
    scan = node("scan", (*starts, x, *constants, x), attrs)
    lasts = tuple(build.item(scan, k, Type("float", axes)) for k in range(2))
    return *lasts, *(build.item(scan, states + k, Type("float", x.axes)) for k in range(2))

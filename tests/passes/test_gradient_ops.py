"""Every row of the op table, differentiated: first and second order against central differences, forwards and backwards."""

from __future__ import annotations

import numpy as np
import pytest

from archc.checker.sizes import Size
from archc.checker.types import Axis, Type, layout_of
from archc.ir import build
from archc.ir.graph import Graph, Output, Port
from archc.ir.verify import verify
from archc.ops.table import OPS
from tests.passes.oracle import check_gradient, draw

N, C, K = (Axis(name, Size.symbol(name)) for name in "nck")
ROWS = [name for name, row in OPS.items()
        if row.form == "elementwise" and set(row.dtypes[:-1]) & set("fnzva") and name != "detach"]


def port(name: str, *axes: Axis, dtype: str = "float") -> Port:
    return Port(name, Type(dtype, frozenset(axes)), layout_of(axes))


@pytest.mark.parametrize("name", ROWS)
def test_elementwise(name: str) -> None:
    row = OPS[name]
    ports, args = [], []
    for place, letter in enumerate(row.dtypes[:-1]):
        if letter == "i":
            args.append(build.const(3))
            continue
        ports.append(port("xyz"[place], *((N, C), (C,), (N,))[place], dtype="bool" if letter == "b" else "float"))
        args.append(ports[-1].node)
    node = build.apply(name, *args)
    if node.type.dtype != "float":
        return
    graph = Graph(name, tuple(ports), (Output("out", node, layout_of((N, C) if C in node.axes else (N,))),))
    rng = np.random.default_rng(len(name))
    low, high = row.domain
    inputs = draw(graph, rng, max(low, -2.0), min(high, 2.0))
    inner = 0.3 * (min(high, 2.0) - max(low, -2.0))
    if low > -10.0:
        inputs = draw(graph, rng, max(low, -2.0) + inner / 2, min(high, 2.0) - inner / 2)
    check_gradient(graph, inputs, rng, order=2)


@pytest.mark.parametrize("axes", [(C,), (C, K), (K, N)], ids=["one", "two", "first"])
@pytest.mark.parametrize("name", [name for name, row in OPS.items()
                                  if row.form in ("reduce", "normalise") and row.dtypes[-1] in "fnzv"])
def test_over_axes(name: str, axes: tuple[Axis, ...]) -> None:
    x = port("x", N, C, K)
    node = build.reduce(name, x.node, axes[:1] if OPS[name].one_axis else axes)
    graph = Graph(name, (x,), (Output("out", node, layout_of(sorted(node.axes, key=lambda axis: axis.name))),))
    rng = np.random.default_rng(len(axes))
    inputs = draw(graph, rng, sizes={"n": 2, "c": 3, "k": 2})
    if name == "finite_max":
        assert not np.any(list(draw_gradient(graph, inputs, rng).values()))
        return
    check_gradient(graph, inputs, rng, order=2)


@pytest.mark.parametrize("name", [name for name, row in OPS.items() if row.form == "matrix"])
def test_matrices(name: str) -> None:
    """Of a batch of matrices that are not symmetric: the derivative is true of every element."""
    turned = Axis("d", C.size)
    a, b = port("a", N, C, turned), port("b", C, K)
    ports = (a, b)[: OPS[name].arity]
    node = build.matrix(name, C, turned, *(p.node for p in ports))
    order = [axis for axis in (N, C, turned, K) if axis in node.axes]
    graph = Graph(name, ports, (Output("out", node, layout_of(order)),))
    rng = np.random.default_rng(3)
    inputs = draw(graph, rng, sizes={"n": 2, "c": 3, "k": 2})
    inputs["a"] = inputs["a"] @ inputs["a"].swapaxes(-1, -2) + 3 * np.eye(3) + 0.1 * rng.normal(size=(2, 3, 3))
    check_gradient(graph, inputs, rng, order=2, tolerance=1e-5)


def draw_gradient(graph: Graph, inputs: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    from archc.ir.evaluate import evaluate
    from archc.passes.gradient import gradient

    back = gradient(graph)
    verify(back)
    rest = {p.name: rng.normal(size=inputs["x"].shape[:1]) for p in back.inputs if p.name not in inputs}
    shape = evaluate(graph, inputs).outputs["out"].shape
    return dict(evaluate(back, {**inputs, **{name: rng.normal(size=shape) for name in rest}}).outputs)

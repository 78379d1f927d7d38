"""Derivatives in complex values, to second order, backwards and forwards, against central differences of both parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archc import api
from archc.checker.sizes import Size
from archc.checker.types import Axis, Type, layout_of
from archc.ir import build
from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph, Node, Output, Port
from archc.ir.verify import verify
from archc.passes.base import run
from archc.passes.gradient import gradient
from archc.passes.pairs import pairs
from archc.pipelines import SECOND_ORDER
from tests.passes.oracle import check_gradient, draw

N, C, T = (Axis(name, Size.symbol(name)) for name in "nct")
F = Axis("f", T.size // 2 + 1)
Z, W = (Port(name, Type("complex", frozenset(axes)), layout_of(axes)) for name, axes in (("z", (N, C)), ("w", (C,))))
X = Port("x", Type("float", frozenset({C})), layout_of((C,)))


def graph(node: Node, *ports: Port) -> Graph:
    axes = sorted(node.axes, key=str)
    return Graph("g", ports, (Output("out", node, layout_of(axes)),), numbers=("t",) if T in node.axes else ())


BEFORE = build.apply("sub", build.iota(C), build.const(1))
ELEMENTWISE = {
    "a product": build.apply("mul", Z.node, W.node), "a product with floats": build.apply("mul", Z.node, X.node),
    "a sum with floats": build.apply("mul", build.apply("add", Z.node, X.node), Z.node),
    "a difference": build.apply("mul", build.apply("sub", X.node, Z.node), W.node),
    "a quotient": build.apply("div", Z.node, W.node), "a float over it": build.apply("div", X.node, W.node),
    "over a float": build.apply("div", Z.node, X.node), "a power": build.apply("ipow", Z.node, build.const(3)),
    "exp": build.apply("exp", Z.node), "conj": build.apply("mul", build.apply("conj", Z.node), Z.node),
    "real": build.apply("mul", build.apply("real", Z.node), Z.node),
    "abs": build.apply("abs", build.apply("mul", Z.node, X.node)),
    "imag": build.apply("mul", build.apply("imag", Z.node), W.node), "angle": build.apply("angle", Z.node),
    "put together": build.apply("mul", build.apply("complex", X.node, build.apply("real", Z.node)), Z.node),
    "where": build.apply("where", build.apply("lt", build.iota(C), build.const(1)), build.apply("mul", Z.node, W.node), X.node),
    "sum": build.reduce("sum", build.apply("mul", Z.node, W.node), {C}),
    "mean": build.reduce("mean", build.apply("exp", Z.node), {N}),
    "cumsum": build.apply("mul", build.reduce("cumsum", Z.node, {C}), W.node),
    "a shift": build.apply("mul", build.read(Z.node, {C: (BEFORE, "fill")}, build.const(0.5)), W.node),
    "added into places": build.accumulate(build.apply("mul", Z.node, W.node), {C: (build.iota(N), "wrap")}, frozenset()),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name: str) -> None:
    found = graph(ELEMENTWISE[name], Z, W, X)
    verify(found)
    rng = np.random.default_rng(len(name))
    inputs = draw(found, rng, sizes={"n": 2, "c": 3})
    inputs["x"] = np.abs(inputs["x"]) + 0.5
    inputs["w"] = inputs["w"] + 3
    verify(check_gradient(found, inputs, rng, order=2))


@pytest.mark.parametrize("size", [1, 4, 5])
@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("op", ["fft", "ifft", "rfft", "irfft"])
def test_transforms(op: str, norm: str, size: int) -> None:
    """Over one axis and over two, of a square of the operand so that the second derivative is not zero."""
    last = F if op == "irfft" else T
    dtype: Any = "float" if op == "rfft" else "complex"
    x = Port("x", Type(dtype, frozenset({N, last})), layout_of((N, last)))
    square = build.apply("mul", x.node, x.node)
    half = (T, F) if op in ("rfft", "irfft") else None
    for over in ((), (N,)) if half else ((T,), (N, T)):
        found = graph(build.fourier(op, square, over, half, norm), x)
        found = Graph("g", found.inputs, found.outputs, numbers=("t",))
        check_at(found, {"t": size}, np.random.default_rng(size))


def check_at(found: Graph, numbers: dict[str, int], rng: np.random.Generator) -> None:
    """<ct, J dx> and <J' ct, dx>, and a central difference, of the graph and of its gradient."""
    from tests.passes.test_random_graphs import check_along_a_line, normal

    (x,) = found.inputs
    shape = [axis.size.evaluate({"n": 2, **numbers}) for (axis,) in x.layout]
    check_along_a_line(found, {"x": normal(rng, shape, x.type.dtype == "complex")}, numbers, rng, order=2)


def test_a_real_operand_of_a_complex_transform() -> None:
    x = Port("x", Type("float", frozenset({N, T})), layout_of((N, T)))
    y = build.fourier("fft", build.apply("exp", x.node), {T})
    found = Graph("g", (x,), (Output("out", y, layout_of((N, T))),), numbers=("t",))
    check_at(found, {"t": 5}, np.random.default_rng(0))


def test_derivatives_at_zero_are_zero() -> None:
    """As the table promises, and as torch has them."""
    for op in ("abs", "angle"):
        found = gradient(graph(build.apply(op, Z.node), Z))
        given = {"z": np.zeros((2, 3), complex), "d_out": np.ones((3, 2))}
        assert not np.any(evaluate(found, given).outputs["d_z"])


def test_the_pipelines_keep_the_second_derivative() -> None:
    spectrum = build.fourier("rfft", build.apply("mul", X2.node, X2.node), (), (T, F))
    y = build.fourier("irfft", build.apply("mul", spectrum, V.node), (), (T, F))
    found = Graph("g", (X2, V), (Output("out", y, layout_of((N, T))),), numbers=("t",))
    rng = np.random.default_rng(3)
    inputs = {"x": rng.normal(size=(2, 6)), "v": rng.normal(size=4) + 1j * rng.normal(size=4)}
    plain, tidy = gradient(gradient(found)), run(found, SECOND_ORDER)
    verify(tidy)
    for port in plain.inputs:
        if port.name not in inputs:
            shape = [axis.size.evaluate({"n": 2, "t": 6}) for (axis,) in port.layout]
            inputs[port.name] = rng.normal(size=shape) + (1j * rng.normal(size=shape) if port.type.dtype == "complex" else 0)
    a, b = (evaluate(g, inputs, {"t": 6}).outputs for g in (plain, tidy))
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-11, atol=1e-11)


X2 = Port("x", Type("float", frozenset({N, T})), layout_of((N, T)))
V = Port("v", Type("complex", frozenset({F})), layout_of((F,)))


LOOP = """
layer Loop(c: axis) {
    param w[c]: complex = complex(normal(1), normal(1))
    param g[c] = 1
    forward(x[n, t, c], z[n, c]: complex) -> [n, t, c] {
        scan t {
            state S[n, c] = z
            state R[n, c] = 0
            S = S * 0.5 * exp(complex(0, 1) * g) + w * x
            R = 0.3 * R + abs(S)
            yield y = real(S * conj(w)) * R
        }
        return y
    }
}
"""


def test_a_loop_with_a_complex_state(tmp_path: Path) -> None:
    """Cotangents of its states are complex, whatever they start from; of its parts as well."""
    (tmp_path / "loop.arch").write_text(LOOP)
    found, rng = api.graph(tmp_path / "loop.arch", "Loop"), np.random.default_rng(0)
    inputs = draw(found, rng, sizes={"n": 2, "t": 3, "c": 2})
    verify(check_gradient(found, inputs, rng, order=2))
    verify(run(found, SECOND_ORDER))
    apart = {name: np.stack([a.real, a.imag], -1) if a.dtype.kind == "c" else a for name, a in inputs.items()}
    verify(check_gradient(pairs(found), apart, rng))

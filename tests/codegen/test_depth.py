"""Graphs thousands of operations deep are lowered like any others."""

from __future__ import annotations

import numpy as np
import pytest

from archc.ir import build
from archc.ir.graph import Node
from tests.codegen.builders import axes, graph, port
from tests.codegen.harness import compare

DEPTH = 1200  # beyond the depth to which Python recurses


def chain(op: str, x: Node, y: Node) -> Node:
    for i in range(DEPTH):
        x = build.apply(op, x, build.apply("add", y, build.const(1.0 + i / DEPTH)) if op != "mul" else build.apply("cos", y))
        if op == "mul":
            y = build.apply("mul", y, build.const(0.5))
    return x


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "maximum"])
@pytest.mark.parametrize("around", ["", "sum", "where"])
def test_a_long_chain(op: str, around: str) -> None:
    n, k = axes("n k")
    x, y = port("x", n, k), port("y", k)
    value = chain(op, x.node, y.node)
    if around == "sum":
        value = build.reduce("sum", value, {k})
    elif around == "where":
        value = build.apply("where", build.apply("gt", x.node, build.const(0.0)), value, build.const(0.0))
    out = [n] if around == "sum" else [n, k]
    compare(graph([x, y], value, *out), {"x": np.full((2, 3), 0.5), "y": np.full(3, 0.25)}, {})


def test_a_deep_index() -> None:
    n, t = axes("n t")
    x = port("x", n, t)
    index = build.iota(t)
    for _ in range(DEPTH):
        index = build.apply("add", index, build.const(1))
    compare(graph([x], build.read(x.node, {t: (index, "wrap")}), n, t), {"x": np.arange(10.0).reshape(2, 5)}, {})

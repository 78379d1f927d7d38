"""Sums of products become contractions that never hold the product."""

from __future__ import annotations

import numpy as np
import pytest

from archc.checker.types import LEADING, Axis
from archc.codegen.torch.recognise import recognise
from archc.ir import build
from archc.ir.graph import Graph, Node, Output, topological
from tests.codegen.builders import axes, axis, graph, port
from tests.codegen.harness import compare


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape)


def mul(*args: Node) -> Node:
    total = args[0]
    for arg in args[1:]:
        total = build.apply("mul", total, arg)
    return total


def largest(g: Graph) -> int:
    """The most axes that a value of the recognised graph has, outside of what library calls stand for."""
    return max(len(current.axes) for current in topological(recognise(g).roots))


SIZES = {"n": 2, "i": 3, "o": 4, "k": 5, "h": 2, "t": 3, "s": 4, "d": 5, "e": 2, "c": 3}


@pytest.mark.parametrize(
    "left, right, over, out, wanted",
    [
        ("n i", "o i", "i", "n o", "F.linear("),
        ("n i", "i o", "i", "n o", " @ "),
        ("i n", "o i", "i", "n o", "F.linear("),
        ("n i", "i", "i", "n", " @ "),
        ("i", "o i", "i", "o", ""),
        ("i", "i", "i", "", ""),
        ("n t d", "n s d", "d", "n t s", " @ "),
        ("n h t d", "n h s d", "d", "n h t s", " @ "),
        ("n t h d", "n s h d", "d", "n h t s", " @ "),
        ("n i k", "o i k", "i k", "n o", "F.linear("),
        ("n k i", "o i k", "i k", "n o", "F.linear("),
        ("n h i", "h i o", "i", "n h o", ""),
        ("n i", "o k i", "i", "n o k", "F.linear("),
        ("n i h", "o i", "i", "n o h", "F.linear("),
        ("n i h", "n i", "i", "n h", ""),
        ("n h i", "h o i k", "i k", "n h o", ""),
        ("n t s", "n s h e", "s", "n t h e", ""),
    ],
)
def test_contractions(left: str, right: str, over: str, out: str, wanted: str) -> None:
    names = {name: axis(name) for name in SIZES}
    a, b = (port(text, *(names[x] for x in spec.split())) for text, spec in (("a", left), ("b", right)))
    g = graph(
        [a, b], build.reduce("sum", mul(a.node, b.node), {names[x] for x in over.split()}), *(names[x] for x in out.split())
    )
    text = compare(g, {"a": draw(*(SIZES[x] for x in left.split())), "b": draw(*(SIZES[x] for x in right.split()))}, {})
    assert wanted in text
    for size in (0, 1):
        compare(g, {"a": draw(*[size] * len(left.split())), "b": draw(*[size] * len(right.split()))}, {})


def test_kan_is_two_products() -> None:
    n, i, o, k = axes("n i o k")
    x, base, coef, basis = port("x", n, i), port("base", o, i), port("coef", o, i, k), port("basis", n, i, k)
    inner = build.reduce("sum", mul(coef.node, basis.node), {k})
    body = build.apply("add", mul(base.node, build.apply("silu", x.node)), inner)
    g = graph([x, base, coef, basis], build.reduce("sum", body, {i}), n, o)
    text = compare(g, {"x": draw(2, 3), "base": draw(4, 3), "coef": draw(4, 3, 5), "basis": draw(2, 3, 5)}, {})
    assert text.count("F.linear(") == 2
    assert largest(g) == 3


def test_factors_come_out_of_a_sum() -> None:
    n, i, o = axes("n i o")
    x, w, s, b = port("x", n, i), port("w", o, i), port("s", n), port("b", o)
    body = build.apply("div", mul(s.node, x.node, w.node), b.node)
    g = graph([x, w, s, b], build.reduce("sum", body, {i}), n, o)
    text = compare(g, {"x": draw(2, 3), "w": draw(4, 3), "s": draw(2), "b": draw(4) + 3}, {})
    assert "F.linear(x, w)" in text and largest(g) == 2


def test_three_factors_are_two_products() -> None:
    n, i, j, o = axes("n i j o")
    x, a, b = port("x", n, i), port("a", i, j), port("b", j, o)
    g = graph([x, a, b], build.reduce("sum", mul(x.node, a.node, b.node), {i, j}), n, o)
    compare(g, {"x": draw(2, 3), "a": draw(3, 4), "b": draw(4, 5)}, {})
    assert largest(g) == 2


def test_a_factor_that_occurs_twice_counts_twice() -> None:
    n, i, o = axes("n i o")
    x, w, v = port("x", n, i), port("w", o, i), port("v", i)
    for factors in ((w, x, x), (w, x, v, x, v), (v, v, x, w, w)):
        g = graph([x, w, v], build.reduce("sum", mul(*(factor.node for factor in factors)), {i}), n, o)
        compare(g, {"x": draw(2, 3), "w": draw(4, 3), "v": draw(3)}, {})
        assert largest(g) == 2


def test_mean_of_a_product() -> None:
    n, i, o = axes("n i o")
    x, w = port("x", n, i), port("w", o, i)
    g = graph([x, w], build.reduce("mean", mul(x.node, w.node), {i}), n, o)
    assert "F.linear(" in compare(g, {"x": draw(2, 3), "w": draw(4, 3)}, {})


def test_a_plain_sum_stays() -> None:
    n, i = axes("n i")
    x, y = port("x", n, i), port("y", n, i)
    g = graph([x, y], build.reduce("sum", mul(x.node, y.node), {i}), n)
    text = compare(g, {"x": draw(2, 3), "y": draw(2, 3)}, {})
    assert "(x * y).sum(-1)" in text


def test_ints_are_not_given_to_the_matrix_product() -> None:
    n, i, o = axes("n i o")
    x, w = port("x", n, i, dtype="int"), port("w", o, i, dtype="int")
    g = graph([x, w], build.reduce("sum", mul(x.node, w.node), {i}), n, o)
    text = compare(g, {"x": np.arange(6).reshape(2, 3), "w": np.arange(12).reshape(4, 3)}, {})
    assert "linear" not in text and "@" not in text


@pytest.mark.parametrize("lead", [(), (2,), (3, 2), (0,)])
@pytest.mark.parametrize("spec", ["t i|o i|i|t o", "t h i|h i o|i|t h o", "t d|s d|d|t s"])
def test_leading_dimensions_of_products(lead: tuple[int, ...], spec: str) -> None:
    left, right, over, out = (part.split() for part in spec.split("|"))
    names = {name: axis(name) for name in SIZES}
    dots = Axis(LEADING, axis(LEADING).size)
    both = right[0] == "s"
    a = port("a", dots, *(names[x] for x in left))
    b = port("b", *([dots] if both else []), *(names[x] for x in right))
    value = build.reduce("sum", mul(a.node, b.node), {names[x] for x in over})
    g = Graph("g", (a, b), (Output("y", value, ((dots,), *((names[x],) for x in out))),))
    text = compare(
        g, {"a": draw(*lead, *(SIZES[x] for x in left)), "b": draw(*(lead if both else ()), *(SIZES[x] for x in right))}, {}
    )
    assert "reshape" not in text


def test_a_bias_goes_into_the_product() -> None:
    n, i, o = axes("n i o")
    x, w, b = port("x", n, i), port("w", o, i), port("b", o)
    g = graph([x, w, b], build.apply("add", build.reduce("sum", mul(x.node, w.node), {i}), b.node), n, o)
    assert "F.linear(x, w, b)" in compare(g, {"x": draw(2, 3), "w": draw(4, 3), "b": draw(4)}, {})

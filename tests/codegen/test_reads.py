"""Reads become views, slices, gathers or advanced indexing; the numbers are those of the evaluator, for every size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from archc.checker.types import LEADING, Axis
from archc.ir import build
from archc.ir.graph import Graph, Node, Output
from tests.codegen.builders import axes, axis, graph, linear_index, port
from tests.codegen.harness import callable_of, compare


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).uniform(-1, 1, shape)


def shifted(offset: int, border: str, step: int = 1, reverse: bool = False, longer: int = 0) -> Graph:
    n, t = axes("n t")
    u = axis("u", t.size + longer)
    x = port("x", n, t)
    index = linear_index((step, u), offset)
    if reverse:
        index = build.apply("sub", build.size(u.size - 1 + offset), build.iota(u))
    fill = build.const(-1.5) if border == "fill" else None
    return graph([x], build.read(x.node, {t: (index, border)}, fill), n, u)


@pytest.mark.parametrize("size", [0, 1, 2, 5])
@pytest.mark.parametrize("border", ["fill", "edge", "reflect", "wrap"])
@pytest.mark.parametrize(
    "offset, step, reverse, longer",
    [
        (-1, 1, False, 0),
        (1, 1, False, 0),
        (-3, 1, False, 0),
        (0, 2, False, 0),
        (-1, 3, False, 2),
        (0, 1, True, 0),
        (1, 1, True, 1),
        (-2, 1, False, 4),
    ],
)
def test_shifts(size: int, border: str, offset: int, step: int, reverse: bool, longer: int) -> None:
    if size == 0 and border != "fill" and longer:
        pytest.skip("nothing to read")
    compare(shifted(offset, border, step, reverse, longer), {"x": draw(2, size)}, {})


def test_a_rename_is_no_code() -> None:
    t, s, d = axis("t"), Axis("s", axis("t").size), axis("d")
    x = port("x", t, d)
    g = graph([x], build.read(x.node, {t: (build.iota(s), "trust")}), s, d)
    assert "return (x,)" in compare(g, {"x": draw(3, 2)}, {})


def test_a_split_is_a_view_and_a_merge_too() -> None:
    n, k = axis("n"), axis("k", 3)
    g_ = axis("g")
    m = axis("m", g_.size * 3)
    x = port("x", n, (g_, k))
    flat = build.read(
        x.node,
        {
            g_: (build.apply("floordiv", build.iota(m), build.const(3)), "trust"),
            k: (build.apply("mod", build.iota(m), build.const(3)), "trust"),
        },
    )
    text = compare(graph([x], flat, n, m), {"x": draw(2, 6)}, {})
    assert "return (x,)" in text
    y = port("y", n, m)
    g = graph([port("x", (g_, k)), y], build.read(y.node, {m: (linear_index((3, g_), k), "trust")}), n, g_, k)
    assert ".unflatten(" in compare(g, {"x": draw(6), "y": draw(2, 6)}, {})


def test_a_constant_index_selects() -> None:
    n, part = axis("n"), axis("part", 3)
    x = port("x", n, part)
    text = compare(graph([x], build.read(x.node, {part: (build.const(1), "trust")}), n), {"x": draw(2, 3)}, {})
    assert ".select(" in text


@pytest.mark.parametrize("border", ["check", "edge", "wrap", "reflect", "fill"])
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_gather_by_one_tensor(border: Any, rank: int) -> None:
    v, d = axes("v d")
    where = axes("n t")[:rank]
    table, token = port("table", v, d, role="param"), port("token", *where, dtype="int")
    value = build.read(table.node, {v: (token.node, border)}, build.const(0.5) if border == "fill" else None)
    low, high = (0, 5) if border == "check" else (-7, 9)
    ids = np.random.default_rng(0).integers(low, high, (2, 3)[:rank])
    text = compare(graph([table, token], value, *where, d), {"table": draw(5, 2), "token": ids}, {})
    assert "F.embedding(" in text


def test_a_checked_gather_raises_outside() -> None:
    v, d, n = axes("v d n")
    for dims in ((v, d), (d, v)):
        table, token = port("table", *dims, role="param"), port("token", n, dtype="int")
        g = graph([table, token], build.read(table.node, {v: (token.node, "check")}), n, d)
        call, _ = callable_of(g)
        for bad in (-1, 5):
            with pytest.raises((IndexError, RuntimeError)):
                call(torch.zeros(5, 5, dtype=torch.float64), torch.tensor([0, bad]))


@pytest.mark.parametrize("border", ["check", "edge", "wrap", "reflect", "fill"])
@pytest.mark.parametrize("form", ["same", "one more", "two more"])
def test_a_gather_that_shares_an_axis(border: Any, form: str) -> None:
    n, v, d, t, s = axes("n v d t s")
    free = {"same": (n,), "one more": (n, t), "two more": (n, t, s)}[form]
    x, index = port("x", n, v, d), port("index", *free, dtype="int")
    value = build.read(x.node, {v: (index.node, border)}, build.const(0.5) if border == "fill" else None)
    low, high = (0, 4) if border == "check" else (-6, 9)
    ids = np.random.default_rng(0).integers(low, high, (2, 3, 2)[: len(free)])
    compare(graph([x, index], value, *free, d), {"x": draw(2, 4, 3), "index": ids}, {})


def test_two_axes_by_two_tensors_with_a_fill_that_is_computed() -> None:
    n, h, w, t = axes("n h w t")
    x, i, j, f = port("x", n, h, w), port("i", t, dtype="int"), port("j", n, t, dtype="int"), port("f")
    value = build.read(x.node, {h: (i.node, "fill"), w: (j.node, "edge")}, f.node)
    rng = np.random.default_rng(0)
    compare(
        graph([x, i, j, f], value, n, t),
        {"x": draw(2, 3, 4), "i": rng.integers(-2, 5, 5), "j": rng.integers(-2, 6, (2, 5)), "f": np.array(0.25)},
        {},
    )


def test_a_diagonal() -> None:
    h, w, n = axes("h w n")
    d = axis("d", h.size)
    x = port("x", n, h, w)
    g = graph([x], build.read(x.node, {h: (build.iota(d), "trust"), w: (build.iota(d), "trust")}), n, d)
    compare(g, {"x": draw(2, 3, 3)}, {})


def leading_graph(value_of: Any) -> Graph:
    dots, t, c = Axis(LEADING, axis(LEADING).size), *axes("t c")
    x = port("x", dots, t, c)
    value, out = value_of(x.node, dots, t, c)
    return Graph("g", (x,), (Output("y", value, tuple((a,) for a in out)),))


def softmax_over_time(x: Node, dots: Axis, t: Axis, c: Axis) -> tuple[Node, tuple[Axis, ...]]:
    return build.reduce("softmax", x, {t}), (dots, c, t)


def mean_of_all(x: Node, dots: Axis, t: Axis, c: Axis) -> tuple[Node, tuple[Axis, ...]]:
    return build.apply("sub", x, build.reduce("mean", x, {dots})), (dots, t, c)


def scores(x: Node, dots: Axis, t: Axis, c: Axis) -> tuple[Node, tuple[Axis, ...]]:
    s = Axis("s", t.size)
    return build.reduce("sum", build.apply("mul", x, build.rename(x, {t: s})), {c}), (dots, t, s)


def shifted_in_time(x: Node, dots: Axis, t: Axis, c: Axis) -> tuple[Node, tuple[Axis, ...]]:
    return build.read(x, {t: (linear_index(t, -1), "fill")}, build.const(0.0)), (dots, t, c)


def without_them(x: Node, dots: Axis, t: Axis, c: Axis) -> tuple[Node, tuple[Axis, ...]]:
    return build.apply("to_float", build.iota(t)), (dots, t)


@pytest.mark.parametrize("lead", [(), (2,), (2, 3), (0, 2)])
@pytest.mark.parametrize("value_of", [softmax_over_time, mean_of_all, scores, shifted_in_time, without_them])
def test_leading_dimensions(lead: tuple[int, ...], value_of: Any) -> None:
    g = leading_graph(value_of)
    text = compare(g, {"x": draw(*lead, 3, 4)}, {})
    assert ("reshape" in text) == (value_of is mean_of_all)


@pytest.mark.parametrize("order", ["n a b", "a n b", "a b n", "b a n"])
def test_a_diagonal_under_an_axis_that_the_value_has(order: str) -> None:
    """An axis read at the index of another that the value has."""
    n, a = axes("n a")
    b = axis("b", a.size)
    dims = [{"n": n, "a": a, "b": b}[text] for text in order.split()]
    x = port("x", *dims)
    value = build.read(x.node, {b: (build.iota(a), "trust")})
    found = graph([x], value, n, a)
    text = compare(found, {"x": np.random.default_rng(0).normal(size=[{"n": 2, "a": 3, "b": 3}[t] for t in order.split()])}, {})
    assert ".diagonal(" in text
    # With more that is renamed, and beside a use of the whole.
    c = axis("c", n.size)
    both = build.read(x.node, {b: (build.iota(a), "trust"), n: (build.iota(c), "trust")})
    whole = build.apply("sub", x.node, build.read(value, {a: (build.iota(b), "trust")}))
    for made, out in ((both, (c, a)), (whole, (n, a, b))):
        compare(graph([x], made, *out), {"x": np.random.default_rng(1).normal(size=[3 for _ in dims])}, {})

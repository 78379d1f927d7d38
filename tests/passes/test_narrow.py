"""Narrowing against brute force: what a live range leaves out is neutral, and it leaves out what can be left out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archc import api
from archc.checker.sizes import Size
from archc.checker.types import Axis, Type, layout_of
from archc.ir import build
from archc.ir.build import apply, const, iota
from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph, Node, Output, Port, topological
from archc.ir.text import parse, write
from archc.passes.base import run
from archc.passes.narrow import NARROW, NEUTRAL, Narrowed, narrowed, narrowings
from archc.pipelines import CPP, INFERENCE

ROWS, PLACES = 7, 9
T, S = Axis("t", Size.of(ROWS)), Axis("s", Size.of(PLACES))
X, W = Port("x", Type("float", frozenset({T})), ((T,),)), Port("w", Type("int"), ())
SCORE = Port("score", Type("float", frozenset({T, S})), ((T,), (S,)))
FORMS = st.sampled_from([(1, 0), (1, 3), (2, -1), (-1, 4), (3, 0), (-2, 9)])


@st.composite
def ints(draw: Any) -> Node:
    """An int that is affine in s, or what conditions make of one."""
    scale, shift = draw(FORMS)
    value = apply("add", apply("mul", const(scale), iota(S)), const(shift))
    if draw(st.booleans()):
        value = apply("sub", value, draw(st.sampled_from([iota(T), W.node, apply("floordiv", iota(T), const(2))])))
    shape = draw(st.integers(0, 4))
    if shape == 0:
        return apply("abs", value)
    if shape == 1:
        return apply(draw(st.sampled_from(["maximum", "minimum"])), value, draw(st.sampled_from([iota(T), const(2)])))
    if shape == 2:
        return apply("floordiv", value, draw(st.sampled_from([const(2), const(3), W.node])))
    return value


@st.composite
def conditions(draw: Any, depth: int = 2) -> Node:
    if depth and draw(st.booleans()):
        joined = apply(draw(st.sampled_from(["and", "or"])), draw(conditions(depth - 1)), draw(conditions(depth - 1)))
        return apply("not", joined) if draw(st.integers(0, 3)) == 0 else joined
    op = draw(st.sampled_from(["lt", "le", "gt", "ge", "eq"]))
    if draw(st.integers(0, 3)) == 0:  # floats
        away = apply("sub", apply("mul", X.node, const(2.5)), apply("sub", apply("to_float", iota(S)), const(3.5)))
        return apply(op, apply("abs", away) if draw(st.booleans()) else away, const(draw(st.sampled_from([1.5, 0.0, -1.0]))))
    left, right = draw(ints()), draw(st.sampled_from([const(2), iota(T), W.node, const(0)]))
    return apply(op, left, right) if draw(st.booleans()) else apply(op, right, left)


def values(nodes: dict[str, Node], given: dict[str, Any], axes: tuple[Axis, ...] = (T,)) -> dict[str, Any]:
    """Each along axes."""
    ports = (X, W, SCORE)
    outputs = tuple(Output(name, n, layout_of(axes)) for name, n in nodes.items())
    return dict(evaluate(Graph("g", ports, outputs), given).outputs)


def inputs(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, ROWS)
    x[0] = rng.choice([0.2, 0.6, math.nan, math.inf, 1e30])  # on a knot, or nowhere
    return {"x": x, "w": np.array(rng.integers(1, 4)), "score": rng.normal(size=(ROWS, PLACES))}


@settings(max_examples=120, deadline=None)
@given(conditions(), st.integers(0, 1000))
def test_what_a_mask_leaves_out_is_neutral(condition: Node, seed: int) -> None:
    term = apply("where", condition, SCORE.node, const(-math.inf))
    for op, value in (("max", term), ("sum", apply("mul", apply("exp", term), const(2.0))),
                      ("min", apply("neg", term)), ("sum", apply("where", condition, SCORE.node, const(0.0)))):
        for found in narrowed(build.reduce(op, value, {S})):
            lo, hi = found.ends()
            given = inputs(seed)
            got = values({"lo": lo, "hi": hi}, given) | values({"term": value, "holds": apply("bool_to_int", condition)}, given,
                                                              (T, S))
            assert (0 <= got["lo"]).all()
            assert (got["hi"] <= PLACES).all()
            place = np.arange(PLACES)
            live = (place >= got["lo"][:, None]) & (place < got["hi"][:, None])
            assert (got["term"][~live] == NEUTRAL[op]).all()
            if found.live.exact:
                assert got["holds"][live].all()
            if found.live.width is not None:
                usual = abs(given["x"]) < 1e9
                assert ((got["hi"] - got["lo"])[usual] <= found.live.width + 1).all()


@settings(max_examples=80, deadline=None)
@given(FORMS, FORMS, st.sampled_from(["lt", "le", "gt", "ge", "eq"]), st.sampled_from(["and", "or"]), st.integers(0, 9))
def test_the_range_of_affine_conditions_is_tight(one: tuple[int, int], two: tuple[int, int], op: str, join: str,
                                                 seed: int) -> None:
    parts = [apply(o, apply("add", apply("mul", const(a), iota(S)), const(b)), iota(T))
             for (a, b), o in ((one, op), (two, "le"))]
    condition = apply(join, *parts)
    term = apply("where", condition, SCORE.node, const(0.0))
    live = {n.axis: n for n in narrowed(build.reduce("sum", term, {S}))}
    got = values({"holds": apply("bool_to_int", condition)}, inputs(seed), (T, S))["holds"].astype(bool)
    if S not in live:
        assert got[:, 0].any() or got[:, -1].any()  # it may hold at an end
        return
    lo, hi = live[S].ends()
    ends = values({"lo": lo, "hi": hi}, inputs(seed))
    each = [values({"holds": apply("bool_to_int", part)}, inputs(seed), (T, S))["holds"] for part in parts]
    for row in range(ROWS):
        (places,) = np.nonzero(got[row])
        if join == "or" and not all(part[row].any() for part in each):
            continue  # the hull of two ranges, one of which has no place in it
        if len(places):
            assert places[0] - 1 <= ends["lo"][row] <= places[0]
            assert places[-1] + 1 <= ends["hi"][row] <= places[-1] + 2
        elif join == "and" and op != "eq":
            assert ends["hi"][row] <= ends["lo"][row] + 1


@settings(max_examples=80, deadline=None)
@given(conditions(), st.integers(0, ROWS - 1), st.integers(1, ROWS), st.integers(1, 4), st.integers(0, 9))
def test_blocks_of_rows(condition: Node, first: int, count: int, size: int, seed: int) -> None:
    """A block outside of the live places has no true condition, one within the full places has no false one."""
    last = min(first + count, ROWS) - 1
    for found in narrowed(build.reduce("max", apply("where", condition, SCORE.node, const(-math.inf)), {S})):
        blocks = found.blocks(T, const(first), const(last))
        if blocks is None:
            continue
        got = values(vars(blocks), inputs(seed)) | values({"holds": apply("bool_to_int", condition)}, inputs(seed), (T, S))
        for start in range(0, PLACES, size):
            end = min(start + size, PLACES)
            for row in range(first, last + 1):
                inside = got["holds"][row, start:end]
                if end <= got["live_lo"][row] or start >= got["live_hi"][row]:
                    assert not inside.any()
                if got["full_lo"][row] <= start and end <= got["full_hi"][row]:
                    assert inside.all()


# ------------------------------------------------------------------------------------------------ the standard library
def compiled(folder: Path, family: str, signature: str, body: str) -> Graph:
    """A layer that says one expression of the standard library, simplified."""
    text = f"import std.{family}\nlayer L(width: int = 4) {{\n  forward({signature} {{\n    return {body}\n  }}\n}}\n"
    (folder / "l.arch").write_text(text)
    return run(api.graph(folder / "l.arch", "L"), INFERENCE)


def remark(graph: Graph) -> str:
    noted = run(graph, [NARROW])
    assert write(parse(write(noted))) == write(noted)
    (last, *_) = [n for n in reversed(list(topological(noted.roots))) if n.op == "sum"]
    return noted.notes.remarks.get(last, "")


MASKS = {
    "causal(score)": "s < t + 1",
    "causal(soft_cap(score, 20))": "s < t + 1",
    "causal(alibi(score))": "s < t + 1",
    "sliding(score, 128)": "t - 127 <= s < t + 1, at most 128",
    "sliding(score, width)": "t + 1 - width <= s < t + 1",
    "dilated(score, 6, 3)": "t - 6 <= s < t + 7, at most 13, or fewer",
    "prefix(score, count)": "s < max(count, t + 1)",
    "where(t <= s, score, -inf) / 2": "t <= s",
    "where(2 * s + 1 < t, score, -inf)": "s < ceil(0.5 * t - 0.5)",
}


SCORES = "score[n, h, t, s], v[n, h, s, e], count[n, h]: int) -> [n, h, t, e]"


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("use", ["weigh", "weigh_one"])
def test_masks_of_attention(mask: str, use: str, tmp_path: Path) -> None:
    assert remark(compiled(tmp_path, "attention", SCORES, f"{use}({mask}, v)")) == f"{MASKS[mask]}, if v is finite"


def test_a_mask_over_a_sigmoid_and_one_that_has_no_range(tmp_path: Path) -> None:
    signature = "score[n, t, s], v[n, s, e], of[n, t]: int, to[n, s]: int) -> [n, t, e]"
    found = remark(compiled(tmp_path, "attention", signature, "sum[s](where(s <= t, sigmoid(score), 0) * v)"))
    assert found == "s < t + 1, if v is finite"
    assert not remark(compiled(tmp_path, "attention", signature, "weigh(same_document(score, of, to), v)"))
    assert not remark(compiled(tmp_path, "attention", signature, "weigh(soft_cap(causal(score)), v)"))  # -inf becomes -cap


def test_neighbourhoods_read_the_rows_of_pixels_around(tmp_path: Path) -> None:
    graph = compiled(tmp_path, "attention", "score[t, s], v[s, e]) -> [t, e]", "weigh(neighbourhood(score, 4, 3), v)")
    (found,) = narrowed(graph.outputs[0].node)
    layout = graph.outputs[0].layout
    outputs = tuple(Output(name, n, layout) for name, n in zip(("lo", "hi"), found.ends(), strict=True))
    got = evaluate(Graph("g", graph.inputs, outputs, numbers=graph.numbers),
                   {"score": np.zeros((20, 20)), "v": np.zeros((20, 1))}, {"width": 4}).outputs
    row = np.clip(np.arange(20) // 4, 1, 3)
    assert (got["lo"][:, 0] == 4 * (row - 1)).all()
    assert (got["hi"][:, 0] == 4 * (row + 2)).all()


@pytest.mark.parametrize("grid", [1, 5, 16])
@pytest.mark.parametrize("order", [0, 1, 2, 3, 4, 5])
def test_splines_touch_their_own_functions_only(order: int, grid: int, tmp_path: Path) -> None:
    graph = compiled(tmp_path, "kan", "x[n], c[k]) -> [n]", f"sum[k](c * bspline(x, k, {grid}, {order}))")
    (found,) = narrowed(graph.outputs[0].node)
    assert found.live.width == order + 1
    assert [n.attrs for n in found.live.finite] == ["c"]
    lo, hi = found.ends()
    layout = graph.outputs[0].layout
    rng = np.random.default_rng(order)
    x = np.concatenate([rng.uniform(-2.5, 2.5, 200), np.linspace(-1, 1, 2 * grid + 1), [math.nan, math.inf, -math.inf, 3e38]])
    count = grid + order
    outputs = (Output("lo", lo, layout), Output("hi", hi, layout))
    for dtype in ("float64", "float32"):
        given = {"x": x.astype(dtype), "c": np.ones(count, dtype)}
        got = evaluate(Graph("g", graph.inputs, outputs, numbers=graph.numbers), given, {"width": 4}, dtype=dtype).outputs
        basis = np.stack([evaluate(graph, {**given, "c": np.eye(count, dtype=dtype)[k]}, {"width": 4}, dtype=dtype)
                          .outputs[graph.outputs[0].name] for k in range(count)], 1)
        live = (np.arange(count) >= got["lo"][:, None]) & (np.arange(count) < got["hi"][:, None])
        assert (basis[np.isfinite(x)][~live[np.isfinite(x)]] == 0).all()
        assert (got["hi"] - got["lo"])[abs(x) < 1e9].max() <= order + 2
        assert (got["hi"] - got["lo"])[:200].mean() <= order + 1
        assert live[np.isnan(x)].all()  # what nan gives does not change


def test_derivatives_of_splines_and_attention_are_narrow() -> None:
    from archc.passes.gradient import gradient
    from archc.passes.group import TIDY

    graph = run(api.graph("std.kan", "KAN"), INFERENCE)
    texts = [n.text({}) for n in narrowings(run(gradient(graph, ["x"]), TIDY))]
    assert any(text.startswith("floor(2.5 * x + 1.5) + 1 <= k < ceil(2.5 * x + 5.5), at most 4") for text in texts)
    causal = parse("""
graph f(x: float[t, s], v: float[s, e])
  axis s = 6
  axis t = 6
  %at = iota s : int[s]
  %row = iota t : int[t]
  %c = le %at, %row : bool[t, s]
  %m = where %c, %x, -inf : float[t, s]
  %p = softmax[s] %m : float[t, s]
  %pv = mul %p, %v : float[t, s, e]
  %y = sum[s] %pv : float[t, e]
  return y[t, e] = %y
""")
    texts = [n.text({}) for n in narrowings(run(gradient(causal, ["x", "v"]), TIDY))]
    assert any(text.startswith("s <= t") for text in texts)  # the gradient of v: over the queries that see it
    assert any(text.startswith("s < t + 1") for text in texts)


def test_a_kernel_group_keeps_the_remarks() -> None:
    graph = run(api.graph("std.kan", "KAN"), CPP)
    assert "at most 4" in write(graph)


def test_deep_and_shared_expressions_are_looked_at_once() -> None:
    place: Node = apply("to_float", iota(S))
    condition = apply("lt", iota(S), iota(T))
    for _ in range(3000):
        place = apply("add", place, place)
        condition = apply("and", condition, apply("not", condition))
    term = apply("where", condition, apply("relu", place), const(0.0))
    assert [type(found) for found in narrowed(build.reduce("sum", term, {S}))] in ([], [Narrowed])

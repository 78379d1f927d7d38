"""Layers: params, buffers and modes, sub-layers, static choices, functions as arguments, derivatives of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph
from archc.ir.lower import lower_package
from tests.checker.programs import codes, graph, run, unit

RNG = np.random.default_rng(1)

LINEAR = """
layer Linear(i: axis, o: axis) {
    param weight[o, i] = normal(0.1)
    forward(x[..., i]) -> [..., o] { return sum[i](weight * x) }
}
"""


def params(graph_: Graph) -> list[str]:
    return [port.name for port in graph_.inputs if port.role == "param"]


def test_sub_layers_have_paths_and_their_axes_are_bound_by_arguments() -> None:
    text = LINEAR + """
layer Net(i: axis, h: axis, o: axis) {
    first = Linear(i=i, o=h)
    last  = Linear(i=h, o=o)
    forward(x[n, i]) -> [n, o] { return last(relu(first(x))) }
}
"""
    found = graph(text)
    assert params(found) == ["first.weight", "last.weight"]
    x, a, b = RNG.normal(size=(2, 3)), RNG.normal(size=(4, 3)), RNG.normal(size=(5, 4))
    result = evaluate(found, {"x": x, "first.weight": a, "last.weight": b}, {"i": 3, "h": 4, "o": 5})
    np.testing.assert_allclose(result.outputs["result"], np.maximum(x @ a.T, 0) @ b.T)


def test_a_square_sub_layer_may_have_one_axis_twice() -> None:
    text = LINEAR + """
layer Net(c: axis) {
    inner = Linear(i=c, o=c)
    forward(x[n, c]) -> like x { return x + inner(x) }
}
"""
    x, w = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 3))
    np.testing.assert_allclose(run(text, {"x": x, "inner.weight": w}, {"c": 3}), x + x @ w.T)


def test_repeat_makes_a_list_and_for_unrolls_it() -> None:
    text = LINEAR + """
layer Net(c: axis, static depth: int = 3) {
    blocks = repeat depth as l { Linear(i=c, o=c) }
    forward(x[n, c]) -> like x {
        for block in blocks { x = tanh(block(x)) }
        return x
    }
}
"""
    assert params(graph(text)) == ["blocks.0.weight", "blocks.1.weight", "blocks.2.weight"]
    assert len(params(graph(text, depth=5))) == 5
    package = lower_package([unit(text)], "test.arch")
    assert [module.name for module in package] == ["Linear", "Net"]


def test_one_instance_used_twice_ties_its_weights() -> None:
    text = LINEAR + "layer Net(c: axis) {\n    a = Linear(i=c, o=c)\n    forward(x[n, c]) -> like x { return a(a(x)) }\n}\n"
    assert params(graph(text)) == ["a.weight"]


def test_a_second_name_for_an_instance_is_no_second_module() -> None:
    text = LINEAR + """
layer Net(c: axis) {
    a = Linear(i=c, o=c)
    b = a
    forward(x[n, c]) -> like x { return b(a(x)) }
}
"""
    assert params(graph(text)) == ["a.weight"]
    *_, net = lower_package([unit(text)], "test.arch")
    assert [child.name for child in net.children] == ["a"]


def test_a_method_that_updates_outside_of_training_has_no_gradient() -> None:
    text = """
layer Count() {
    buffer seen[] = 0
    forward(x[n]) -> [n] { return x / max(seen, 1) }
    fn fit(x[n]) -> [] {
        update seen = seen + |n|
        return seen
    }
}
"""
    assert [m.no_grad for m in unit(text).methods] == [False, True]


def test_layers_and_functions_are_arguments() -> None:
    text = LINEAR + """
layer Twice(i: axis, o: axis) {
    forward(x[..., i]) -> [..., o] { return 2 * sum[i](x) }
}
layer Net(c: axis, inner: layer = Linear, act: fn(x) = tanh) {
    map = inner(i=c, o=c)
    forward(x[n, c]) -> like x { return act(map(x)) }
}
"""
    x = RNG.normal(size=(2, 3))
    got = run(text, {"x": x}, {"c": 3}, inner="Twice", act="exp")
    np.testing.assert_allclose(got, np.exp(2 * np.broadcast_to(x.sum(1, keepdims=True), (2, 3))))


def test_train_and_eval_are_two_graphs_of_one_text() -> None:
    text = """
layer Mean(c: axis, momentum: float = 0.25) {
    buffer running[c] = 0
    forward(x[n, c]) -> like x {
        when training {
            m = mean[n](x)
            update running = running + momentum * (m - running)
        } else { m = running }
        return x - m
    }
}
"""
    x, running = RNG.normal(size=(4, 3)), RNG.normal(size=3)
    train = evaluate(graph(text), {"x": x, "running": running, "momentum": np.array(0.25)}, {"c": 3, "momentum": 0.25})
    np.testing.assert_allclose(train.outputs["result"], x - x.mean(0))
    np.testing.assert_allclose(train.updates["running"], running + 0.25 * (x.mean(0) - running))
    again = evaluate(graph(text, "eval"), {"x": x, "running": running}, {"c": 3})
    np.testing.assert_allclose(again.outputs["result"], x - running)
    assert again.updates == {}


def test_dropout_is_absent_in_eval() -> None:
    text = "layer Drop() {\n    forward(x[n]) -> [n] { return dropout(x, 0.5) }\n}\n"
    assert any(op.op == "random" for op in _nodes(graph(text)))
    assert not any(op.op == "random" for op in _nodes(graph(text, "eval")))
    x = np.ones(4000)
    got = run(text, {"x": x})
    assert set(np.unique(got)) == {0.0, 2.0} and abs(got.mean() - 1) < 0.1


def _nodes(graph_: Graph) -> list[object]:
    from archc.ir.graph import topological

    return list(topological(graph_.roots))


@pytest.mark.parametrize(("order", "expected"), [(0, 1.0), (1, 2.0), (3, 8.0)])
def test_static_choices_are_made_before_checking(order: int, expected: float) -> None:
    text = """
layer Power(static order: int = 2) {
    forward(x[n]) -> [n] {
        y = 1
        for j in range(order) { y = y * x }
        if order == 0 { y = y + 0 * x } else if order > 5 { y = missing_name }
        return y
    }
}
"""
    assert run(text, {"x": np.array([2.0])}, order=order) == [expected]


def test_a_layer_may_contain_itself_while_a_static_argument_falls() -> None:
    text = """
layer Deep(c: axis, static level: int = 3) {
    param gain[] = 2
    if level > 1 { inner = Deep(c=c, level=level - 1) }
    forward(x[n, c]) -> like x {
        y = gain * x
        if level > 1 { y = inner(y) }
        return y
    }
}
"""
    assert params(graph(text)) == ["gain", "inner.gain", "inner.inner.gain"]


def test_a_fn_calls_itself_under_a_static_if() -> None:
    text = """
fn power(x, static n: int) {
    if n == 0 { y = 1 + 0 * x } else { y = x * power(x, n - 1) }
    return y
}
layer Whole() { forward(x[k]) -> [k] { return power(x, 5) } }
"""
    np.testing.assert_allclose(run(text, {"x": np.array([2.0, 3.0])}), [32, 243])
    assert codes("fn f(x) { return f(x) }") == ["limit"]
    assert codes("fn f(x) {\n    a = f(x)\n    b = f(x)\n    return a + b\n}") == ["limit"]


def test_further_methods_see_the_params() -> None:
    text = """
layer Pair(c: axis) {
    param w[c] = 1
    forward(x[n, c]) -> [n] { return score(x) }
    fn score(x[n, c]) -> [n] { return sum[c](w * x) }
}
"""
    found = unit(text)
    assert [m.name for m in found.methods] == ["forward", "score"]
    x, w = RNG.normal(size=(2, 3)), RNG.normal(size=3)
    np.testing.assert_allclose(run(text, {"x": x, "w": w}, {"c": 3}), x @ w)


def test_a_derivative_of_ones_own_is_a_unit_of_the_graph() -> None:
    text = """
fn binary(x) surrogate grad(dy) { x: dy * where(abs(x) <= 1, 1, 0) } { return sign(x) }
layer Whole() { forward(x[n]) -> [n] { return 2 * binary(x) } }
"""
    call = next(n for n in _nodes(graph(text)) if n.op == "call")
    assert call.attrs.surrogate and call.attrs.wrt == ("x",)
    np.testing.assert_allclose(run(text, {"x": np.array([-0.5, 3.0])}), [-2, 2])


HYPER = LINEAR + """
layer Net(z: axis, i: axis, o: axis) {
    param w0[o, i] = normal(0.1)
    param g[o, i, z] = normal(0.1)
    inner = Linear(i=i, o=o)
    forward(x[n, i], u[n, z]) -> [n, o] { return inner(x) with { weight: w0 + sum[z](g * u) } }
}
"""


def test_a_call_may_supply_params_with_further_axes() -> None:
    found = graph(HYPER)
    assert params(found) == ["w0", "g"]  # inner.weight is supplied by every call, so it is not made
    x, u, w0, g = (RNG.normal(size=s) for s in ((2, 3), (2, 4), (5, 3), (5, 3, 4)))
    result = evaluate(found, {"x": x, "u": u, "w0": w0, "g": g}, {"z": 4, "i": 3, "o": 5})
    weight = w0 + np.einsum("oiz,nz->noi", g, u)
    np.testing.assert_allclose(result.outputs["result"], np.einsum("noi,ni->no", weight, x))


def test_a_param_that_some_call_leaves_alone_is_made() -> None:
    text = HYPER.replace("return inner(x) with", "return inner(x) + inner(x) with")
    assert params(graph(text)) == ["w0", "g", "inner.weight"]


def test_initialisers_draw_for_every_element_with_the_stated_spread() -> None:
    text = """
layer Whole(i: axis, o: axis) {
    param a[o, i] = kaiming_uniform[i](sqrt(5))
    param b[o, i] = xavier_normal(2)
    param c[o, i] = eye()
    param d[o, i] = a + 1
    param e[o]    = 0.1 * o
    forward(x[n, i]) -> [n, o] { return sum[i]((a + b + c + d) * x) + e }
}
"""
    package = lower_package([unit(text)], "test.arch")
    (module,) = package
    numbers = {"i": 40, "o": 50}
    values: dict[str, np.ndarray] = {}
    for item in module.stored:
        assert item.value is not None
        inputs = {port.name: values[port.name] for port in item.value.inputs}
        values[item.name] = evaluate(item.value, inputs, numbers).outputs[item.name]
    assert np.abs(values["a"]).max() <= 1 / np.sqrt(40) and abs(values["a"].std() * np.sqrt(120) - 1) < 0.05
    assert abs(values["b"].std() / (2 * np.sqrt(2 / 90)) - 1) < 0.05
    np.testing.assert_array_equal(values["c"], np.eye(50, 40))
    np.testing.assert_array_equal(values["d"], values["a"] + 1)
    np.testing.assert_allclose(values["e"], 0.1 * np.arange(50))


def test_the_same_text_gives_the_same_program() -> None:
    text = LINEAR + "layer Net(c: axis) {\n    a = Linear(i=c, o=c)\n    forward(x[n, c]) -> like x { return a(x) }\n}\n"
    assert graph(text) == graph(text)

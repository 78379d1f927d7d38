"""Named axes: broadcast, splits, `...`, renaming at calls, borders of reads. Values against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.checker.programs import codes, fn_layer, graph, run, unit

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def one(body: str, signature: str, result: str) -> str:
    return f"layer Whole() {{\n    forward({signature}) -> {result} {{\n        {body}\n    }}\n}}\n"


def test_operands_broadcast_by_name_and_the_result_has_its_own_order() -> None:
    x, y = normal(3, 4), normal(5, 3)
    got = run(one("return x * y", "x[a, b], y[c, a]", "[c, b, a]"), {"x": x, "y": y})
    np.testing.assert_allclose(got, np.einsum("ab,ca->cba", x, y))


def test_a_result_is_repeated_along_axes_that_its_value_lacks() -> None:
    x = normal(3, 4)
    got = run(one("return sum[b](x)", "x[a, b]", "[b, a]"), {"x": x})
    np.testing.assert_allclose(got, np.broadcast_to(x.sum(1), (4, 3)))


def test_parts_and_whole_of_a_split_are_one_axis() -> None:
    text = """
layer Group(c: axis, groups: int = 2) {
    param gamma[c] = 1
    forward(x[n, (g=groups k)=c]) -> like x {
        return (x - mean[k](x)) * gamma + sum[c](x)
    }
}
"""
    x, gamma = normal(3, 6), normal(6)
    got = run(text, {"x": x, "gamma": gamma}, {"c": 6, "groups": 2})
    parts = x.reshape(3, 2, 3)
    expected = (parts - parts.mean(2, keepdims=True)).reshape(3, 6) * gamma + x.sum(1, keepdims=True)
    np.testing.assert_allclose(got, expected)


def test_an_index_on_a_whole_reads_through_the_split() -> None:
    text = "layer Roll(c: axis) {\n    forward(x[n, (g=2 k)=c]) -> like x { return x[c = c - 1 wrap] + sum[k](0 * x) }\n}\n"
    x = normal(3, 6)
    np.testing.assert_allclose(run(text, {"x": x}, {"c": 6}), np.roll(x, 1, axis=1))


def test_leading_axes_pass_through_calls_and_cannot_be_captured() -> None:
    fn = "fn total(a[..., k], b[k]) -> [..., k] { return a + sum[k](b) }"
    # The caller's `k` rides along in `...` while its `c` is bound to the callee's k.
    text = fn_layer(fn, "x[k, c], y[c]", "total[k = c](x, y)", "[k, c]")
    x, y = normal(3, 4), normal(4)
    np.testing.assert_allclose(run(text, {"x": x, "y": y}), x + y.sum())


def test_two_names_of_a_callee_may_stand_for_one_axis() -> None:
    fn = "fn scores(q[..., t, d], k[..., s, d]) -> [..., t] { return sum[s](sum[d](q * k)) }"
    text = fn_layer(fn, "x[t, d]", "scores[s = t](x, x)", "[t]")
    x = normal(3, 4)
    np.testing.assert_allclose(run(text, {"x": x}), (x @ x.T).sum(1))


def test_arguments_without_a_leading_axis_are_broadcast() -> None:
    fn = "fn dot(a[..., k], b[..., k]) -> [...] { return sum[k](a * b) }"
    text = fn_layer(fn, "x[h, k], y[n, k]", "dot(x, y)", "[n, h]")
    x, y = normal(2, 4), normal(3, 4)
    np.testing.assert_allclose(run(text, {"x": x, "y": y}), y @ x.T)


def test_a_fresh_result_axis_takes_its_stated_size_and_a_bound_name() -> None:
    fn = "fn halve(a[..., h]) -> [..., u = (|h| + 1) // 2] { return a[h = 2 * u] }"
    text = fn_layer(fn, "x[n, h]", "halve[u = half](x)", "[n, half = (|h| + 1) // 2]")
    x = normal(2, 7)
    np.testing.assert_allclose(run(text, {"x": x}), x[:, ::2])


def test_a_split_of_the_callee_meets_another_split_of_the_caller() -> None:
    text = """
layer Norm(c: axis) {
    forward(x[n, (g=3 k)=c]) -> like x { return x - mean[k](x) }
}
layer Whole(c: axis) {
    norm = Norm(c=c)
    forward(x[n, (h=2 d)=c]) -> like x { return norm(x) + mean[d](x) }
}
"""
    x = normal(2, 12)
    parts, halves = x.reshape(2, 3, 4), x.reshape(2, 2, 6)
    expected = (parts - parts.mean(2, keepdims=True)).reshape(2, 12) + np.repeat(halves.mean(2), 6, axis=1)
    np.testing.assert_allclose(run(text, {"x": x}, {"c": 12}), expected)


@pytest.mark.parametrize(("border", "mode", "extra"), [
    ("else 0", "constant", {}), ("else 2.5", "constant", {"constant_values": 2.5}),
    ("edge", "edge", {}), ("reflect", "reflect", {}), ("wrap", "wrap", {}),
])  # fmt: skip
def test_every_border_is_the_padding_of_numpy(border: str, mode: str, extra: dict[str, float]) -> None:
    x = normal(3, 5)
    got = run(one(f"return x[t = t - 2 {border}]", "x[n, t]", "[n, t]"), {"x": x})
    padded = np.pad(x, ((0, 0), (2, 2)), mode=mode, **extra)  # type: ignore[call-overload]
    np.testing.assert_allclose(got, padded[:, :5])


def test_exact_division_reads_nothing_between() -> None:
    got = run(one("return x[t = u / 2 else 0]", "x[n, t]", "[n, u = 2 * |t|]"), {"x": (x := normal(2, 3))})
    expected = np.zeros((2, 6))
    expected[:, ::2] = x
    np.testing.assert_allclose(got, expected)


def test_a_gather_takes_its_index_from_data() -> None:
    table, token = normal(7, 3), RNG.integers(0, 7, (2, 4))
    got = run(one("return table[v = token]", "table[v, d], token[n, t]: int", "[n, t, d]"), {"table": table, "token": token})
    np.testing.assert_allclose(got, table[token])


def test_axes_one_after_the_other() -> None:
    body = "axis z = a + b\n        return cat[z](x, y)"
    x, y = normal(2, 3), normal(2, 4)
    got = run(one(body, "x[n, a], y[n, b]", "[n, z = |a| + |b|]"), {"x": x, "y": y})
    np.testing.assert_allclose(got, np.concatenate([x, y], axis=1))


def test_running_sums_and_order_along_one_axis() -> None:
    x = normal(3, 6)
    np.testing.assert_allclose(run(one("return cumsum[t](x)", "x[n, t]", "[n, t]"), {"x": x}), np.cumsum(x, 1))
    np.testing.assert_allclose(run(one("return sort[t](x)", "x[n, t]", "[n, t]"), {"x": x}), np.sort(x, 1))
    body = "axis j = 2\n        best, places = top_k[t = j](x)\n        return best + places"
    got = run(one(body, "x[n, t]", "[n, j = 2]"), {"x": x})
    order = np.argsort(-x, 1)[:, :2]
    np.testing.assert_allclose(got, np.take_along_axis(x, order, 1) + order)
    assert codes(one("return cumsum[n, t](x)", "x[n, t]", "[n, t]")) == ["one-axis"]
    assert codes(one("return sort[n, t](x)", "x[n, t]", "[n, t]")) == ["one-axis"]


def test_sizes_are_integers_and_axes_are_indices() -> None:
    x = normal(2, 5)
    got = run(one("return sum[t](x * t) / |t| + max(|n| - 7, 1)", "x[n, t]", "[n]"), {"x": x})
    np.testing.assert_allclose(got, x @ np.arange(5) / 5 + 1)


def test_a_constructor_size_that_a_split_divides_is_a_definition() -> None:
    found = graph("layer Heads(c: axis, heads: int) {\n    forward(x[n, (h=heads d)=c]) -> [n, h] { return sum[d](x) }\n}\n")
    (definition,) = found.definitions
    assert (definition.symbol, str(definition.size)) == ("d", "(c // heads)")


def test_a_provable_miss_is_an_error_and_an_open_one_is_checked_at_entry() -> None:
    assert codes(one("return x[t = |t|]", "x[n, t]", "[n]")) == ["index-outside"]
    found = graph(one("return x[t = 3]", "x[n, t]", "[n]"))
    assert [(str(c.left), str(c.right), c.relation) for c in found.checks] == [("t", "4", "at least")]


def test_sizes_that_cannot_agree_are_an_error() -> None:
    fn = "fn same(a[k=3]) -> [k] { return a }"
    assert codes(fn_layer(fn, "x[j=4]", "same[k = j](x)", "[j]")) == ["size-mismatch"]


def test_all_errors_of_a_file_come_in_one_go() -> None:
    text = "fn f(x[n]) -> [n] { return y }\nfn g(x[n]) -> [n] {\n    a = z\n    b = 2 * a\n    return w + b\n}\n"
    assert codes(text) == ["unknown-name"] * 3


def test_names_that_python_cpp_and_sql_reserve_are_names() -> None:
    words = ["lambda", "class", "def", "select", "from", "float64", "template", "auto", "pass", "yield_", "table", "order"]
    for word in words:
        text = f"layer Whole() {{\n    forward({word}[n]) -> [n] {{ return 2 * {word} }}\n}}\n"
        assert codes(text) == [], word
    assert unit("layer Whole() {\n    forward(lambda[n]) -> [n] { return lambda }\n}\n").methods[0].inputs[0].name == "lambda"


def test_a_split_said_again_is_checked() -> None:
    text = "layer A(e: axis) {{\n    axis e = (part=2 d)\n    forward(x[n, e]) -> [n, e] {{\n        axis e = (part={} d)\n"
    text += "        return x * where(part == 0, 1, d)\n    }}\n}}\n"
    assert codes(text.format(2)) == [] and codes(text.format(3)) == ["size-mismatch"]


def test_a_number_is_the_index_of_a_static_list() -> None:
    body = "fn f(x, static pre: ints = [1, 2]) {{ return x * pre[{}] }}"
    assert codes(body.format(0)) == codes(body.format(1)) == [] and codes(body.format(2)) == ["index-outside"]
    assert codes(body.format("1.5")) == codes(body.format("n")) != []
    for read in ("x[0]", "sum[0](x)", "g[0](x)", "x[n, 1]"):
        assert codes(f"fn g(y[n]) {{ return y }}\nfn f(x[n]) {{ return {read} }}") == ["index-without-axis"]


def test_an_axis_that_only_inputs_have_is_no_axis_of_a_param() -> None:
    text = "layer A({}) {{\n    param w[d] = 1\n    forward(x[n, d]) -> like x {{ return w * x }}\n}}\n"
    assert codes(text.format("")) == ["open-param"] and codes(text.format("d: axis")) == []


CHOICE = """{} {{
        if heads > 0 {{
            axis c = (head=heads d)
            return x / (1 + sum[d](x * x))
        }} else {{
            axis c = (q={} d)
            return x / (1 + sum[q](x * x))
        }}
    }}"""


@pytest.mark.parametrize("heads", [0, 3])
def test_a_split_holds_where_its_static_choice_is_taken(heads: int) -> None:
    x = np.random.default_rng(0).normal(size=(5, 6))
    parts = x.reshape((5, 3, 2) if heads else (5, 2, 3))
    expected = (parts / (1 + np.sum(parts**2, axis=2 if heads else 1, keepdims=True))).reshape(5, 6)
    statics = f"c: axis, static heads: int = {heads}"
    layer = f"layer A({statics}) {{\n    {CHOICE.format('forward(x[n, c]) -> like x', 2)}\n}}\n"
    np.testing.assert_allclose(run(layer, {"x": x}, {"c": 6}), expected)
    around = f"layer B(c: axis) {{\n    a = A(c=c, heads={heads})\n    forward(x[n, c]) -> like x {{ return a(x) }}\n}}\n"
    np.testing.assert_allclose(run(layer + around, {"x": x}, {"c": 6}), expected)
    fn = CHOICE.format("fn f(x[n, c], static heads: int = 0) -> like x", 2)
    np.testing.assert_allclose(run(fn_layer(fn, "x[n, c]", f"f(x, {heads=})", "[n, c]"), {"x": x}), expected)


def test_a_choice_made_in_the_body_of_a_layer_leaves_a_split_out() -> None:
    text = "layer A(c: axis, static sizes: ints = [0, 3], static at: int = 0) {{\n    part = sizes[at]\n    {}\n}}\n"
    text = text.format(CHOICE.format("forward(x[n, c]) -> like x", 2).replace("=heads", "=3").replace("heads", "part"))
    x = np.ones((1, 6))
    np.testing.assert_allclose(run(text, {"x": x}, {"c": 6}), x / 3)
    np.testing.assert_allclose(run(text, {"x": x}, {"c": 6}, at=1), x / 3)
    np.testing.assert_allclose(run(text, {"x": np.ones((1, 12))}, {"c": 12}, at=1), np.ones((1, 12)) / 5)


def test_splits_of_one_axis_that_are_both_taken_are_two() -> None:
    both = "fn f(x[n, c], static a: bool = true) -> like x {{\n    if a {{ axis c = (p=2 d) }}\n"
    both += "    if {} {{ axis c = (q=2 d) }}\n    return x\n}}\n"
    assert codes(both.format("not a")) == []
    assert "second-split" in codes(both.format("a")) and "second-split" in codes(both.format("true"))

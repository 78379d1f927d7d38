"""Programs that fuzzing found, by what went wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archc import api
from archc.ir.digest import digest
from archc.ir.evaluate import evaluate
from archc.ir.graph import Scan, topological
from archc.ir.to_source import to_source
from archc.passes.base import run
from archc.pipelines import TRAINING
from tests.checker.programs import codes, graph, load


@pytest.mark.parametrize(("text", "code"), [
    ("layer L(c: axis) { param w[n, c] = 1\n forward(x[n, c]) -> [n, c] { return x * w } }", "open-param"),
    ("layer L(c: axis) { param a[n] = given\n param w[n] = 1\n forward(x[n, c]) -> [n, c] { return x * w + a } }", "open-param"),
    ("layer L(o: axis, o: axis) { param w[o] = 1\n forward(x[n]) -> [n, o] { return w * x } }", "declared-twice"),
    ("layer L(o: axis, o: int) { param w[o] = 1\n forward(x[n]) -> [n, o] { return w * x } }", "declared-twice"),
    ("layer L() { buffer b[]: int = 0\n forward(x[n]) -> [n] { update b = 0.5\n return x } }", "result-dtype"),
    ("layer L() { buffer b[]: bool = true\n forward(x[n]) -> [n] { update b = 1\n return x } }", "result-dtype"),
    ("layer L(i: axis, o: axis) { param w[o, i] = 1\n param a[o] = uniform(w)\n"
     " forward(x[i]) -> [o] { return a * sum[i](w * x) } }", "result-axes"),
    ("fn f(o: axis, o: axis, x[n]) -> [n] { return x }", "declared-twice"),
    (f"layer L() {{ forward(x[t]) -> [t] {{ scan t {{ state {'s'}[u] = 0\n s = s + 1\n yield y = x }}\n return y }} }}",
     "fresh-axis"),
])
def test_what_was_let_through(text: str, code: str) -> None:
    assert code in codes(text)


def test_a_param_may_take_its_size_from_one_that_its_start_reads() -> None:
    text = "layer L() { param a[n] = given\n param w[n] = 2 * a\n forward(x[n]) -> [n] { return x * w + a } }"
    program, problems = load(text)
    assert program is not None and codes(text) == [], problems.found
    assert api.emitted(api.open_text(text, "given.arch"), None, {})


def test_what_a_penalty_and_a_stored_value_share_is_there_for_both() -> None:
    text = """layer L(c: axis) {
    param gamma[c] = 1
    buffer seen[c] = 0
    forward(x[n, c]) -> like x {
        penalty size = sum[c](gamma * gamma)
        update seen = sum[c](gamma * gamma)
        return x * gamma
    }
}
"""
    layer = api.load_text(text, "shared.arch").L(c=3)
    layer(torch.ones(2, 3))
    torch.testing.assert_close(layer.seen, torch.full((3,), 3.0))


def test_an_int_is_stored_in_a_buffer_of_floats() -> None:
    found = graph("layer L() { buffer b[] = 1\n forward(x[n]) -> [n] { update b = 128\n return x * b } }")
    assert [update.node.type.dtype for update in found.updates] == ["float"]


@pytest.mark.parametrize("text", [
    # an argument with a default left out of a call of a fn with a derivative of its own
    "fn f(x[n], by[n] = 2) grad(dy) { x: dy * by, by: none } { return x * by }\n"
    "layer L() { forward(x[n]) -> [n] { return f(x) } }",
    # a number as the start of a loop in a loop, as an int
    "fn total(x[..., k]) -> (last[...]) { scan k { state s[...] = 0\n s = s + x\n finally last = s } }\n"
    "layer L() { forward(x[t, k]) -> [t] { scan t { state b[] = 0\n b = b + total(x * (1 + b))\n yield y = b }\n return y } }",
    # one value read twice in a loop
    "layer L() { forward(x[t, i]) -> [t, i] { axis j = |i|\n scan t { state s[i, j] = 0\n s = s + x * x[i = j]\n"
    " yield y = sum[j](s * tanh(x[i = j])) }\n return y } }",
    # two splits of one axis: the sizes of one follow from those of the other
    "layer N(c: axis) { forward(x[n, (g=3 k)=c]) -> like x { return x - mean[k](x) } }\n"
    "layer L(c: axis) { norm = N(c=c)\n forward(x[n, (h=2 d)=c]) -> like x { return norm(x) + mean[d](x) } }",
    # an axis that is made of two whole ones, read in its parts
    "import std.hyper\nlayer L() { forward(z[n, d]) -> [n, e = 2 * |d|] { return quarter_circle(z) } }",
])
def test_source_of_it_is_the_same_graph(text: str) -> None:
    original = graph(text)
    assert digest(graph(to_source(original, "L"))) == digest(original)


def test_an_index_in_a_loop_stays_an_index() -> None:
    """It was carried in as data, and the read was no view any more."""
    found = graph("layer L() { forward(x[t, c]) -> [t, c] { scan t { state s[c] = 0\n s = s[c = |c| - 1 - c] + x\n"
                  " yield y = s }\n return y } }")
    (scan,) = (node.attrs for node in topological(found.roots) if isinstance(node.attrs, Scan))
    assert [port.type.dtype for port in scan.body.inputs] == ["float", "float"]


def test_the_derivative_of_a_loop_whose_yields_need_no_state() -> None:
    """Its loop has no state, which trimming did not expect."""
    text = "layer L() { forward(x[t]) -> [t] { scan t { state s[] = 0\n s = s + 1\n yield y = tanh(x) }\n return y } }"
    derived = run(graph(text), TRAINING)
    x = np.linspace(-1, 1, 5)
    found = evaluate(derived, {"x": x, **{port.name: np.ones(5) for port in derived.inputs if port.name != "x"}}, {})
    np.testing.assert_allclose(found.outputs["d_x"], 1 - np.tanh(x) ** 2, rtol=1e-12)


def test_a_check_whose_read_nobody_needs_is_in_the_source() -> None:
    text = "layer L(c: axis) { param place[s=32, c] = 1\n forward(x[n, t, c]) -> like x { y = place[s = t]\n return 2 * x } }"
    first = graph(text, "L")
    assert [check.relation for check in first.checks] == ["at least"]
    assert digest(graph(to_source(first, "L"), "L")) == digest(first)


def test_an_index_given_to_a_loop_of_a_fn_is_the_step() -> None:
    text = """fn total(x[..., k]) -> (last[...]) {
    scan k {
        state s[...] = 0
        s = tanh(s + x)
        finally last = s
    }
}
layer L() { forward(x[n, k]) -> [n] { return total(k) + sum[k](x) } }
"""
    first = graph(text, "L")
    assert digest(graph(to_source(first, "L"), "L")) == digest(first)

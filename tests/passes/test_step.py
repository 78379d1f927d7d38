"""Steps of graphs, by the evaluator: element after element gives what the whole graph gives; what cannot be so is refused."""

from __future__ import annotations

import numpy as np
import pytest

from archc.checker.types import flat
from archc.diagnostics.model import UserError
from archc.ir.evaluate import evaluate
from archc.ir.text import parse, write
from archc.passes.base import run
from archc.passes.step import step, stepped
from archc.pipelines import STEPPING
from tests.checker.programs import graph
from tests.passes.steps import by_steps

RNG = np.random.default_rng(5)


def layer(body: str, signature: str = "x[n, t]", result: str = "[n, t]", head: str = "") -> str:
    return f"layer L() {{\n{head}\n    forward({signature}) -> {result} {{\n{body}\n    }}\n}}\n"


SCAN = "scan t {\n state s[n] = 0\n s = 0.5 * s + x\n yield y = s\n finally last = s\n }"
X, Z = RNG.normal(size=(2, 6)), RNG.normal(size=(2, 6))
CASES: dict[str, tuple[str, dict[str, object]]] = {
    "one state": (layer(f"{SCAN}\n return y"), {"x": X}),
    "what is made before and after": (layer(f"{SCAN}\n return tanh(y) * x + t"), {"x": X}),
    "an int and a bool state": (layer("""
        scan t {
            state count[n] = 0
            state seen[n] = false
            state steps[] = 0
            seen = seen or x > 0.5
            count = count + where(seen, 1.0, 0.0) * t
            steps = steps + 1
            yield y = count + steps
        }
        return y"""), {"x": X}),
    "the last state as a result": ("""
layer L() {
    forward(x[n, t], start[n] = 2) -> (y[n, t], end[n]) {
        scan t {
            state s[n] = start
            s = 0.5 * s + x
            yield y = s
            finally end = s ^ 2
        }
    }
}
""", {"x": X, "start": RNG.normal(size=2)}),
    "the first element starts": (layer("scan t {\n state s[n] = x[t = 0]\n s = 0.9 * s + 0.1 * x\n yield y = s\n }\n return y"),
                                 {"x": X}),
    "a loop in the scan": (layer("""
        scan t {
            state s[n] = 0
            for j { s = tanh(s + w * x) }
            yield y = s
        }
        return y""", "x[n, t], w[j]"), {"x": X, "w": RNG.normal(size=3)}),
    "the scan in a loop's place": ("""
fn total(x[..., k]) -> (last[...]) {
    scan k {
        state s[...] = 0
        s = tanh(s + x)
        finally last = s
    }
}
layer L() {
    forward(x[n, t, k]) -> [n, t] {
        z = total(x)
        scan t {
            state s[n] = 0
            s = 0.5 * s + z + total(x * s)
            yield y = s
        }
        return y
    }
}
""", {"x": RNG.normal(size=(2, 5, 3))}),
    "two scans after one another": (layer(f"""{SCAN}
        scan t {{
            state r[n] = 1
            r = 0.5 * r + y
            yield q = r
        }}
        return q + y"""), {"x": X}),
    "elements before, inside and outside": (layer("""
        z = x[t = t - 1 else 0] + 2 * x[t = t - 3 else 0.5]
        scan t {
            state s[n] = 0
            s = 0.5 * s + z + x[t = t - 2 else -1]
            yield y = s
        }
        return y[t = t - 1 edge] + y"""), {"x": X}),
    "a causal convolution": (layer("""
        z = sum[p](w * x[t = t + p - (|p| - 1) else 0])
        scan t {
            state s[n] = 0
            s = 0.5 * s + z
            yield y = s
        }
        return y""", head="    param w[p=4] = normal(1)"), {"x": X, "w": RNG.normal(size=4)}),
    "a dilated convolution": (layer(f"""{SCAN}
        return sum[p](w * y[t = t - 2 * p else 0])""", head="    param w[p=3] = normal(1)"), {"x": X, "w": RNG.normal(size=3)}),
    "running sums": (layer(f"{SCAN}\n return cumsum[t](y * x)"), {"x": X}),
    "a table along the axis": (layer(f"{SCAN}\n return y + place", head="    param place[t=6] = normal(1)"),
                               {"x": X, "place": RNG.normal(size=6)}),
    "a table that is read at the index": (layer(f"{SCAN}\n return y + place[u = t % 5]", head="    param place[u=5] = normal(1)"),
                                          {"x": X, "place": RNG.normal(size=5)}),
    "two inputs along it, and others": (layer("""
        scan t {
            state s[n] = 0
            s = 0.5 * s + x * g + sum[k](c)
            yield y = s
        }
        return y""", "x[n, t], g[t], c[n, k]"), {"x": X, "g": RNG.normal(size=6), "c": RNG.normal(size=(2, 3))}),
    "a derivative of one's own": ("""
fn hard(x) surrogate grad(dy) { x: dy } { return sign(x) }
layer L() {
    forward(x[n, t]) -> [n, t] {
        scan t {
            state s[n] = 0
            s = 0.5 * s + hard(x)
            yield y = hard(s)
        }
        return hard(y + x)
    }
}
""", {"x": X}),
}


@pytest.mark.parametrize("name", CASES)
def test_element_after_element(name: str) -> None:
    text, inputs = CASES[name]
    whole = graph(text, mode="eval")
    axis = next(axis for port in whole.inputs for axis in flat(port.layout) if axis.name == "t")
    expected, found = evaluate(whole, inputs).outputs, by_steps(whole, axis, inputs)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-12, atol=1e-12)
    once = run(whole, STEPPING)
    assert parse(write(once)) == once


def test_states_are_named_as_in_the_text_and_laid_out_as_declared() -> None:
    text = layer("""
        z = x[t = t - 2 else 0]
        scan t {
            state memory[v, n] = 0
            memory = memory + z * w
            yield y = sum[v](memory)
        }
        return y""", "x[n, t], w[v, t]")
    found = step(graph(text))
    ports = {port.name: [axis.name for axis in flat(port.layout)] for port in found.inputs}
    assert ports == {"x": ["n"], "w": ["v"], "memory": ["v", "n"], "x_before": ["n", "past"]}
    assert [output.name for output in found.outputs] == ["result", "x_before", "memory"]


@pytest.mark.parametrize(("body", "why"), [
    (f"{SCAN}\n return y - mean[t](y)", "needs all elements of t at once"),
    (f"{SCAN}\n return softmax[t](y)", "needs all elements of t at once"),
    (f"{SCAN}\n return y + x[t = t + 1 else 0]", "have not come yet"),
    (f"{SCAN}\n return y[t = |t| - 1 - t]", "how many elements|fixed number of steps"),
    (f"{SCAN}\n return y[t = t // 2]", "fixed number of steps"),
    (f"{SCAN}\n return y + last", "known after the last one"),
    (f"{SCAN}\n return y / |t|", "how many elements t has"),
    (f"{SCAN}\n return y[t = t - 1 wrap]", "reads by 'wrap'"),
    (f"{SCAN}\n return y + sort[t](x)", "needs all elements of t at once"),
    (SCAN.replace("scan t", "scan t reverse") + "\n return y", "scans t in reverse"),
    (SCAN.replace("= 0\n", "= sum[t](x)\n") + "\n return y", "needs all elements of t at once"),
    ("return x", "nothing is scanned"),
])
def test_what_needs_other_elements_is_refused(body: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        step(graph(layer(body)))


def test_one_draw_for_all_steps_is_refused_and_one_for_each_is_not() -> None:
    both = layer(f"mask = dropout(1 + 0 * c, 0.5)\n z = dropout(x, 0.5)\n {SCAN}\n return y + RESULT", "x[n, t], c[n]")
    assert step(graph(both.replace("RESULT", "z"))) is not None
    with pytest.raises(UserError, match="draws once"):
        step(graph(both.replace("RESULT", "mask")))


def test_along_an_axis_that_is_not_scanned() -> None:
    """A batch axis is stepped through like any other: every element has a scan of its own."""
    whole = graph(layer(f"{SCAN}\n return y"))
    axis = next(axis for port in whole.inputs for axis in flat(port.layout) if axis.name == "n")
    made = stepped(whole, axis)
    assert made.states == ()
    np.testing.assert_allclose(by_steps(whole, axis, {"x": X}, step=made)["result"], evaluate(whole, {"x": X}).outputs["result"])

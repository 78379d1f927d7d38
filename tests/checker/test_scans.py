"""Loops in the language: states, first and last, reverse, loops in loops, reads of other steps, draws at each step, mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from archc.ir.evaluate import evaluate
from tests.checker.programs import codes, graph, run

RNG = np.random.default_rng(0)


def layer(body: str, signature: str = "x[n, t]", result: str = "[n, t]") -> str:
    return f"layer L() {{\n    forward({signature}) -> {result} {{\n{body}\n    }}\n}}\n"


def test_states_take_their_new_values_in_order() -> None:
    """A statement sees what those before it have made: b adds the new a."""
    x = RNG.normal(size=(2, 5))
    text = layer("""
        scan t {
            state a[n] = 0
            state b[n] = 1
            a = a + x
            b = b * 0.5 + a
            yield y = b
        }
        return y""")
    b, ys = np.ones(2), []
    for a in np.cumsum(x, 1).T:
        b = b * 0.5 + a
        ys.append(b)
    np.testing.assert_allclose(run(text, {"x": x}), np.stack(ys, 1), rtol=1e-13)


def test_first_and_last_state_are_values() -> None:
    """A sequence in two pieces, the second from where the first ends, in reverse order of nothing else."""
    x, start = RNG.normal(size=(2, 6)), RNG.normal(size=2)
    text = """
fn decay(x[n, t], start[n] = 0) -> (y[n, t], last[n]) {
    scan t {
        state s[n] = start
        s = 0.5 * s + x
        yield y = s
        finally last = s
    }
}
layer L() {
    forward(x[n, t], z[n, u], start[n]) -> [n, u] {
        y, last = decay(x, start)
        more, end = decay[t = u](z, last)
        return more + 0 * end
    }
}
"""
    s, ys = start, []
    for value in x.T:
        s = 0.5 * s + value
        ys.append(s)
    got = run(text, {"x": x[:, :4], "z": x[:, 4:], "start": start})
    np.testing.assert_allclose(got, np.stack(ys[4:], 1), rtol=1e-13)


def test_reverse_and_the_step() -> None:
    x = RNG.normal(size=(2, 5))
    text = layer("""
        scan t reverse {
            state s[n] = 0
            s = 0.5 * s + x * t
            yield y = s
        }
        return y""")
    s, ys = np.zeros(2), {}
    for t in reversed(range(5)):
        s = 0.5 * s + x[:, t] * t
        ys[t] = s
    np.testing.assert_allclose(run(text, {"x": x}), np.stack([ys[t] for t in range(5)], 1), rtol=1e-13)


def test_a_scan_in_a_function_that_a_scan_calls() -> None:
    """The inner one runs along another axis for every step of the outer one."""
    x = RNG.normal(size=(3, 4))
    text = """
fn total(x[..., k]) -> (last[...]) {
    scan k {
        state s[...] = 0
        s = s + x
        finally last = s
    }
}
layer L() {
    forward(x[t, k]) -> [t] {
        scan t {
            state best[] = 0
            best = max(0.9 * best, total(x * (1 + best)))
            yield y = best
        }
        return y
    }
}
"""
    best, ys = 0.0, []
    for row in x:
        best = max(0.9 * best, float((row * (1 + best)).sum()))
        ys.append(best)
    np.testing.assert_allclose(run(text, {"x": x}), ys, rtol=1e-13)


def test_dropout_draws_anew_at_every_step() -> None:
    text = layer("""
        scan t {
            state s[n] = 1
            kept = dropout(s, 0.5)
            s = s + 0 * x
            yield y = kept
        }
        return y""")
    x = np.zeros((4, 40))
    y = run(text, {"x": x})
    assert set(np.unique(y)) == {0.0, 2.0}
    assert len({tuple(column) for column in y.T}) > 8
    np.testing.assert_array_equal(run(text, {"x": x}), y)
    np.testing.assert_array_equal(run(text, {"x": x}, mode="eval"), np.ones((4, 40)))


def test_dropout_in_a_loop_in_a_scan_draws_at_every_turn_of_both() -> None:
    text = layer("""
        scan t {
            state s[n] = 0
            z = 1 + 0 * y
            for j { z = dropout(z, 0.5) }
            s = s + z
            yield out = z
        }
        return out""", "y[n], w[j], x[n, t]", "[n, t]")
    y = evaluate(graph(text), {"y": np.zeros(4), "w": np.zeros(2), "x": np.zeros((4, 40))}).outputs["result"]
    assert set(np.unique(y)) == {0.0, 4.0}
    assert len({tuple(column) for column in y.T}) > 4


def test_a_draw_before_the_scan_is_the_same_at_every_step() -> None:
    text = layer("""
        mask = dropout(1 + 0 * sum[t](x), 0.5)
        scan t {
            state s[n] = 0
            s = s + x
            yield y = mask + 0 * s
        }
        return y""")
    y = run(text, {"x": np.zeros((9, 5))})
    assert set(np.unique(y)) == {0.0, 2.0}
    np.testing.assert_array_equal(y, np.repeat(y[:, :1], 5, 1))


@pytest.mark.parametrize(("body", "code"), [
    ("scan t {\n yield y = x\n }\n return y", "scan-without-state"),
    ("scan t {\n state s[n, t] = 0\n s = s + x\n yield y = s\n }\n return y", "state-has-axis"),
    ("scan t {\n state s[n] = 0\n s = s + x\n return s\n }", "return-in-scan"),
    ("scan t {\n state s[n] = 0\n state s[n] = 0\n yield y = s\n }\n return y", "declared-twice"),
    ("scan t {\n state s[n] = 0\n s = s + x\n s = 2 * s\n yield y = s\n }\n return y", "assigned-twice"),
    ("scan t {\n state s[] = 0\n s = s + x\n yield y = s\n }\n return y", "result-axes"),
    ("for t { z = x }\n return x", "outside-scan"),
])
def test_mistakes(body: str, code: str) -> None:
    assert code in codes(layer(body))

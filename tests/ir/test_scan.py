"""Loops along an axis: values against numpy, text, digest, and what the verifier refuses."""

from __future__ import annotations

import numpy as np
import pytest

from archc.diagnostics.model import CompilerBug
from archc.ir.digest import digest
from archc.ir.evaluate import evaluate
from archc.ir.text import parse, write
from archc.ir.verify import verify
from tests.checker.programs import graph, run

RNG = np.random.default_rng(3)
CUMULATIVE = """graph cumulative(x: float[n, t], decay: float, start: float[n])
  loop $0 along t states 1 sequences 1 step {{
    graph step(state0: float[n], element0: float[n], outer0: float, step: int)
      %0 = mul %state0, %outer0   : float[n]
      %1 = add {order}            : float[n]
      %2 = to_float %step         : float
      %3 = add %1, %2             : float[n]
      return out0[n] = %1
      return out1[n] = %3
  }}
  %0 = scan $0 %start, %x, %decay  : float
  %1 = item 0 %0                   : float[n]
  %2 = item 1 %0                   : float[n, t]
  return last[n] = %1
  return y[n, t] = %2
"""


def text(order: str = "%0, %element0") -> str:
    return CUMULATIVE.format(order=order)


def test_values() -> None:
    x, decay, start = RNG.normal(size=(2, 5)), 0.5, RNG.normal(size=2)
    for reverse in (False, True):
        program = parse(text().replace("along t", "along t" + " reverse" * reverse))
        verify(program)
        result = evaluate(program, {"x": x, "decay": decay, "start": start})
        state, ys = start, {}
        for t in range(5)[:: -1 if reverse else 1]:
            state = state * decay + x[:, t]
            ys[t] = state + t
        np.testing.assert_allclose(result.outputs["last"], state, rtol=1e-14)
        np.testing.assert_allclose(result.outputs["y"], np.stack([ys[t] for t in range(5)], 1), rtol=1e-14)


def test_a_value_from_outside_is_read_at_other_steps() -> None:
    """In a scan an index that names the axis reads the whole of a value made outside."""
    source = """
layer L() {
    forward(x[n, t]) -> [n, t] {
        scan t {
            state s[n] = 0
            s = s + x[t = t - 1 else 0]
            yield y = s + x
        }
        return y
    }
}
"""
    x = RNG.normal(size=(2, 5))
    before = np.cumsum(np.pad(x, ((0, 0), (1, 0)))[:, :5], axis=1)
    np.testing.assert_allclose(run(source, {"x": x}), before + x, rtol=1e-13)


def test_over_nothing() -> None:
    result = evaluate(parse(text()), {"x": np.zeros((2, 0)), "decay": 1.0, "start": np.array([1.0, 2.0])})
    np.testing.assert_array_equal(result.outputs["last"], [1, 2])
    assert result.outputs["y"].shape == (2, 0)


def test_candidates_in_a_batch() -> None:
    x, decay, start = RNG.normal(size=(2, 5)), RNG.uniform(size=3), RNG.normal(size=2)
    together = evaluate(parse(text()), {"x": x, "decay": decay, "start": start}, batch=3)
    for i in range(3):
        alone = evaluate(parse(text()), {"x": x, "decay": decay[i], "start": start})
        np.testing.assert_allclose(together.outputs["y"][i], alone.outputs["y"], rtol=1e-14)


def test_text_and_digest() -> None:
    program = parse(text())
    assert parse(write(program)) == program
    assert digest(program) == digest(parse(text("%element0, %0")))
    assert digest(program) != digest(parse(text().replace("along t", "along t reverse")))
    assert digest(program) != digest(parse(text().replace("mul %state0", "add %state0")))


@pytest.mark.parametrize(("change", "message"), [
    (("%start, %x, %decay", "%x, %start, %decay"), "operand 0 of the scan"),
    (("%start, %x, %decay", "%start, %x"), "the step of the scan has 4 inputs for 2 operands"),
    (("return out0[n] = %1", "return out0[n] = %step"), "a state is"),
    (("float[n, t]\n  return last", "float[n]\n  return last"), "result 1 is"),
    (("sequences 1", "sequences 0"), "operand 1 of the scan is"),
])
def test_what_is_refused(change: tuple[str, str], message: str) -> None:
    with pytest.raises(CompilerBug, match=message):
        verify(parse(text().replace(*change)))


DELTA = """
fn delta_product(q[..., t, k], key[..., t, j, k], val[..., t, j, v], beta[..., t, j], start[..., k, v] = 0)
        -> (y[..., t, v], last[..., k, v]) {
    scan t {
        state S[..., k, v] = start
        for j { S = S - beta * key * (sum[k](key * S) - val) }
        yield y = sum[k](q * S)
        finally last = S
    }
}
layer L() {
    forward(q[n, t, k], key[n, t, j, k], val[n, t, j, v], beta[n, t, j]) -> [n, t, v] {
        y, last = delta_product(q, key, val, beta)
        return y
    }
}
"""


def test_a_loop_inside_a_scan() -> None:
    n, t, j, k, v = 2, 4, 3, 5, 2
    q, key, val = RNG.normal(size=(n, t, k)), RNG.normal(size=(n, t, j, k)), RNG.normal(size=(n, t, j, v))
    beta = RNG.uniform(size=(n, t, j))
    state, ys = np.zeros((n, k, v)), []
    for step in range(t):
        for i in range(j):
            kk = key[:, step, i]
            state = state - beta[:, step, i, None, None] * kk[:, :, None] * (
                np.einsum("nk,nkv->nv", kk, state) - val[:, step, i])[:, None, :]
        ys.append(np.einsum("nk,nkv->nv", q[:, step], state))
    result = run(DELTA, {"q": q, "key": key, "val": val, "beta": beta})
    np.testing.assert_allclose(result, np.stack(ys, 1), rtol=1e-12, atol=1e-12)
    verify(graph(DELTA))
    assert parse(write(graph(DELTA))) == graph(DELTA)

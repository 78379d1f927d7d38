"""What no state changes leaves a loop, where it is no larger outside; the value stays."""

from __future__ import annotations

import numpy as np
import pytest

from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph, Scan, topological
from archc.ir.verify import verify
from archc.passes.lift import lift
from tests.checker.programs import graph

RNG = np.random.default_rng(2)
TEXT = """
layer L() {{
    forward(x[n, t], g[n, t], k[n, t, i], w[i]) -> [n, t{more}] {{
        scan t {{
            state s[n, i] = 0
            s = {step}
            yield y = {given}
        }}
        return y
    }}
}}
"""
INPUTS = {"x": RNG.normal(size=(2, 5)), "g": RNG.normal(size=(2, 5)), "k": RNG.normal(size=(2, 5, 3)), "w": RNG.normal(size=3)}


def program(step: str = "0.5 * s + x", given: str = "sum[i](s)", more: str = "") -> Graph:
    return graph(TEXT.format(step=step, given=given, more=more))


def inside(whole: Graph) -> list[str]:
    """The operations of the loop's body."""
    (scan,) = (n.attrs for n in topological(whole.roots) if isinstance(n.attrs, Scan))
    return [n.op for n in topological(scan.body.roots)]


@pytest.mark.parametrize(("made", "gone"), [
    (program("s + tanh(g * x * k)"), "tanh"),  # no larger than k
    (program("s + exp(g * w)"), "exp"),  # larger than g, and no larger than the state
    (program("s + sum[i](k * w) * x"), "sum"),
    (program("s + x[t = t - 1 else 0] * x"), "mul"),
    (program("s + x * t"), "mul"),
    (program(given="tanh(sum[i](s) * x) + g"), "tanh"),  # done to what is yielded
    (program("tanh(s + k)", "s * k + x", ", i"), "mul"),
])
def test_what_leaves(made: Graph, gone: str) -> None:
    found = lift(made)
    verify(found)
    assert inside(found).count(gone) == inside(made).count(gone) - 1
    for name, value in evaluate(made, INPUTS).outputs.items():
        np.testing.assert_allclose(evaluate(found, INPUTS).outputs[name], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("made", [
    program("s + g * w"),  # larger than g
    program("s + dropout(k, 0.5)"),  # drawn at every step
    program("s * x"),
    program(),
    program("tanh(s)", "s", ", i"),  # the state reads it too
])
def test_what_stays(made: Graph) -> None:
    assert lift(made) == made

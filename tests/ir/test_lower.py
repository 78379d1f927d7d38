"""Lowering makes whole graphs: what a program stores is there even where nothing reads it."""

from __future__ import annotations

import numpy as np

from archc.ir.evaluate import evaluate
from archc.ir.verify import verify
from tests.checker.programs import graph


def test_a_buffer_that_is_written_and_never_read() -> None:
    program = graph("""
layer Inner() {
    buffer seen[] = 0
    forward(x[n]) -> like x {
        update seen = sum[n](x)
        return x
    }
}
layer Outer() {
    inner = Inner()
    buffer last[] = 0
    forward(x[n]) -> [n] {
        update last = 2 * sum[n](x)
        return inner(x)
    }
}
""")
    verify(program)
    result = evaluate(program, {"x": np.ones(3), "last": np.zeros(()), "inner.seen": np.zeros(())})
    assert (result.updates["last"], result.updates["inner.seen"]) == (6, 3)

"""What has no derivative yet is said, not a bug."""

from __future__ import annotations

import pytest

from archc.diagnostics.model import Limit
from archc.passes.gradient import gradient
from tests.checker.programs import graph


def test_the_gradient_of_a_scan_is_a_stated_limit() -> None:
    text = """
layer Sum() {
    forward(x[n, t]) -> (y[n, t]) {
        scan t {
            state s[n] = 0
            s = s + x
            yield y = s
        }
    }
}
"""
    with pytest.raises(Limit, match="not supported yet"):
        gradient(graph(text))

"""Static types: dtype, axes, sizes and their constraints are known before any code is made; the rest is one check at entry."""

from __future__ import annotations

import pytest
import torch

from archc import api
from tests.promises.programs import codes, layer

GROUPED = """
layer Grouped(channels: axis, groups: int = 8) {
    forward(x[n, (g=groups k)=channels, h]) -> [n, g, h] { return mean[k](x) }
}
"""


@pytest.mark.parametrize("body, code", [
    ("return sum[m](x)", "unknown-axis"), ("return x", "result-axes"), ("return sum[c](x * (x > 0))", "wrong-dtype"),
    ("axis k = 3\n        axis k = 4\n        return sum[c](x)", "size-mismatch"),
    ("axis k = 3\n        return sum[c](x) * x[n = 0, c = k][k = 3]", "index-outside"),
])  # fmt: skip
def test_dtypes_axes_and_sizes_are_known_before_any_code_is_made(body: str, code: str) -> None:
    assert code in codes(f"layer A() {{\n    forward(x[n, c]) -> [n] {{\n        {body}\n    }}\n}}\n")


def test_constraints_of_sizes_are_checked_once_at_the_entry() -> None:
    grouped = api.load_text(GROUPED, "grouped.arch").Grouped
    with pytest.raises(ValueError, match=r"channels.*groups"):
        grouped(channels=12)
    module = grouped(channels=16)
    for bad, words in [
        (torch.ones(2, 15, 4), "x has 15 in dimension 1"), (torch.ones(2, 16), "x needs 3 dimensions"),
        (torch.ones(2, 3, 16, 4), "x needs 3 dimensions"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=words):
            module(bad)
    assert module(torch.ones(2, 16, 4)).shape == (2, 8, 4)


def test_equal_names_of_two_inputs_must_agree_at_the_entry() -> None:
    module = layer("return sum[c](x * y)", "x[n, c], y[n, c]")
    with pytest.raises(ValueError, match=r"y has 4 in dimension 1 .c., where c is 3"):
        module(torch.ones(2, 3), torch.ones(2, 4))

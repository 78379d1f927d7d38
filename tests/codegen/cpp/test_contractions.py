"""Modules whose kernels have contractions against the same in torch: ragged sizes, both orders of derivatives, threads."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import archc
from tests.codegen.cpp.test_modules import assert_equal, gradients

pytestmark = pytest.mark.compiler

LAYERS: list[tuple[str, str, dict[str, int], dict[str, object], int]] = [  # the last is the size of the input's last axis
    ("std.kan", "KAN", {"i": 5, "o": 3}, {}, 5), ("std.kan", "KAN", {"i": 37, "o": 17}, {}, 37),
    ("std.kan", "ChebyKAN", {"i": 33, "o": 1}, {}, 33), ("std.kan", "FourierKAN", {"i": 1, "o": 19}, {}, 1),
    ("std.attention", "SelfAttention", {"c": 6, "heads": 2}, {"causal": True}, 6),
]


def layer(case: tuple[str, str, dict[str, int], dict[str, object], int], backend: str, dtype: torch.dtype) -> Any:
    source, name, arguments, static, _ = case
    torch.manual_seed(0)
    return getattr(archc.load(source, backend=backend, **static), name)(**arguments, dtype=dtype)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: f"{case[1]}-{case[4]}")
def test_ragged_sizes(case: tuple[str, str, dict[str, int], dict[str, object], int]) -> None:
    ours, theirs = (layer(case, backend, torch.float64) for backend in ("cpp", "torch"))
    theirs.load_state_dict(ours.state_dict())
    for shape in ((1, 1), (1, 67), (2, 3), (1, 131)):
        x = torch.randn(*shape, case[4], dtype=torch.float64)
        assert_equal(gradients(ours, [x]), gradients(theirs, [x]), 1e-10)
    assert ours(x[:, :0]).shape == theirs(x[:, :0]).shape


@pytest.mark.parametrize("case", [LAYERS[0], LAYERS[4]], ids=lambda case: case[1])
def test_gradcheck_to_second_order(case: tuple[str, str, dict[str, int], dict[str, object], int]) -> None:
    module = layer(case, "cpp", torch.float64)
    x = torch.randn(2, 3, case[4], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(module, (x,), fast_mode=True)


def test_the_number_of_threads_changes_no_bit() -> None:
    module = layer(LAYERS[1], "cpp", torch.float32)
    x = torch.randn(2, 131, LAYERS[1][4])
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append([y.clone() for y in gradients(module, [x]) if y is not None])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))

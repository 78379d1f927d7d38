"""Any size of any input axis, 0 and 1 included, and values of any size."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.stdlib.cases import CASES, Case
from tests.stdlib.modules import LAYOUTS, assert_same, copy_state, default_dtype, make, step

# For each layer, which dimensions of the input may have any size from this one up.
FREE: dict[str, tuple[int | None, ...]] = {
    "BatchNorm2d": (1, None, 1, 1), "LayerNorm": (0, 0, None), "RMSNorm": (0, 0, None), "GroupNorm": (0, None, 1, 1),
    "EvoNormB0": (1, None, 1, 1), "EvoNormB1": (1, None, 1, 1), "EvoNormB2": (1, None, 1, 1),
    "EvoNormS0": (0, None, 1, 1), "EvoNormS1": (0, None, 1, 1), "EvoNormS2": (0, None, 1, 1),
    "Linear": (0, 0, None), "MLP": (0, 0, None), "GatedMLP": (0, 0, None), "Perceptron": (0, None), "PReLU": (0, 0, None),
    "KAN": (0, 0, None), "KANMLP": (0, 0, None), "Conv2d": (0, None, 4, 4), "Conv1d": (0, None, 4),
    "DepthwiseConv2d": (0, None, 4, 4),
    "ConvTranspose2d": (0, None, 2, 2), "SelfAttention": (0, 1, None), "TransformerBlock": (0, 1, None),
    "ResidualBlock": (1, None, 1, 1), "DownsampleBlock": (1, None, 1, 1),
}


def free(case: Case) -> tuple[int | None, ...]:
    return FREE.get(case.layer.partition(".")[2], ())


CHOSEN = [case for case in CASES if len(case.shape) == len(free(case))]


@cache
def pair(index: int) -> tuple[nn.Module, nn.Module]:
    ours = make(CHOSEN[index], torch.float64)
    with default_dtype(torch.float64):
        reference = CHOSEN[index].reference()
    return ours, reference


@st.composite
def situations(draw: Callable[..., object]) -> tuple[int, tuple[int, ...], str, bool]:
    index = draw(st.integers(0, len(CHOSEN) - 1))
    case = CHOSEN[index]  # type: ignore[index]
    limits = zip(case.shape, free(case), strict=True)
    shape = tuple(size if low is None else draw(st.integers(low, low + 6)) for size, low in limits)
    layout = draw(st.sampled_from(sorted(LAYOUTS)))
    # torch 2.13's own batch_norm gives a wrong gradient for one image a pixel wide whose strides are (1, 1, c, c).
    assume(layout != "turned" or shape[0] > 1 or "norm.BatchNorm2d" not in case.layer)
    return index, shape, layout, draw(st.booleans())  # type: ignore[return-value]


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")  # of a group of no values
@settings(max_examples=300, deadline=None)
@given(situations())
def test_any_shape_equals_transcription(situation: tuple[int, tuple[int, ...], str, bool]) -> None:
    index, shape, layout, training = situation
    ours, reference = pair(index)
    copy_state(ours, reference, {})
    ours.train(training), reference.train(training)
    x = LAYOUTS[layout](torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape))))
    assert_same(step(ours, x), step(reference, x), 1e-9)


@pytest.mark.parametrize("size", [1e-20, 1e4])
@pytest.mark.parametrize("case", [case for case in CASES if case.static.get("order") not in (0, 1)], ids=lambda case: case.id)
def test_values_of_any_size_equal_transcription_in_float64(case: Case, size: float) -> None:
    ours = make(case, torch.float64)
    with default_dtype(torch.float64):
        reference = case.reference()
    copy_state(ours, reference, {})
    torch.manual_seed(0)
    x = size * torch.randn(case.shape, dtype=torch.float64)
    found, expected = step(ours, x), step(reference, x)
    assert all(value.isfinite().all() for value in expected.values())
    assert_same(found, expected, 1e-9)


@pytest.mark.parametrize("name", ["BatchNorm2d", "LayerNorm", "GroupNorm", "EvoNormB0", "EvoNormS0", "EvoNormS1"])
def test_variance_does_not_cancel(name: str) -> None:
    """A mean of 1e4 times the spread costs float32 its input's digits, and no more: never E[x^2] - E[x]^2."""
    case = next(case for case in CASES if case.layer == f"norm.{name}")
    ours, exact = make(case), make(case, torch.float64)
    torch.manual_seed(0)
    x = (1e4 + torch.randn(case.shape)).requires_grad_()
    spread = (ours(x) - exact(x.double())).abs().max() / exact(x.double()).abs().max()
    assert spread < 2e-3

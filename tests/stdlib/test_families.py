"""The further families pass the tests of every layer: module and graph against transcription, derivatives, strides, sizes."""

from __future__ import annotations

import pytest
import torch

from tests.stdlib import test_graphs as graphs
from tests.stdlib import test_layers as layers
from tests.stdlib.cases import Case
from tests.stdlib.families import FAMILIES
from tests.stdlib.modules import assert_same, copy_state, default_dtype, make, step

EVERY = pytest.mark.parametrize("case", FAMILIES, ids=[case.id for case in FAMILIES])
MODES = pytest.mark.parametrize("mode", ["train", "eval"])


@MODES
@EVERY
def test_module_equals_transcription_in_float64(case: Case, mode: str) -> None:
    layers.test_equals_transcription_in_float64(case, mode)


@MODES
@EVERY
def test_graph_equals_transcription(case: Case, mode: str) -> None:
    graphs.test_graph_equals_transcription(case, mode)


@EVERY
def test_module_equals_transcription_in_float32(case: Case) -> None:
    ours, reference = make(case), case.reference()
    copy_state(ours, reference, {})
    torch.manual_seed(0)
    x = torch.randn(case.shape)
    assert_same(step(ours, x), step(reference, x), 1e-5)


@EVERY
def test_first_and_second_derivatives(case: Case) -> None:
    layers.test_first_and_second_derivatives(case)


@pytest.mark.parametrize("layout", ["strided", "turned"])
@EVERY
def test_strides_make_no_difference(case: Case, layout: str) -> None:
    layers.test_strides_make_no_difference(case, layout)


@EVERY
def test_state_has_the_names_and_shapes_of_the_transcription(case: Case) -> None:
    ours, reference = make(case).state_dict(), case.reference().state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in reference.items()}


@EVERY
def test_one_sample_and_none(case: Case) -> None:
    ours = make(case, torch.float64)
    with default_dtype(torch.float64):
        reference = case.reference()
    copy_state(ours, reference, {})
    least = 1 if case.layer.startswith("spectral") else 0  # torch's own transform refuses an empty batch
    for size in range(least, 2):
        x = torch.randn(size, *case.shape[1:], dtype=torch.float64)
        assert_same(step(ours, x), step(reference, x), 1e-10)

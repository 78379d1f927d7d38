"""The suite: every layer compiles, and each layer by hand is the compiled one's equal in float64."""

from __future__ import annotations

from pathlib import Path

import pytest

from archc import api
from archc.bench import cases, columns, steps
from archc.bench.case import Case

ROOT = Path(__file__).resolve().parents[2]
CASES = cases.suite()
SMALL = [case for case in CASES if case.size == "small"]


def test_every_file_of_the_suite_is_right() -> None:
    files = sorted((ROOT / "benchmarks" / "suite").glob("*.arch"))
    assert files
    for file in files:
        assert api.check_file(file) == [], file


def test_keys_are_distinct_and_each_kind_has_three_sizes() -> None:
    assert len({case.key for case in CASES}) == len(CASES)
    for name in {case.name for case in CASES}:
        assert len({case.size for case in CASES if case.name == name}) == 3, name


@pytest.mark.slow
@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_each_layer_equals_the_one_by_hand(case: Case) -> None:
    row = columns.reference(case, "cpu")
    made = columns.ours(case, "torch", {**case.arguments, **case.settled})
    module = columns.with_state(made, row.state, row.exact_forward.dtype, "cpu")
    inputs = [t.detach().double().requires_grad_() if t.is_floating_point() else t for t in row.inputs]
    y = steps.result(module, inputs)
    y.backward(row.cotangent)
    found = [y.detach(), *(t.grad for t in inputs if t.is_floating_point()), *(p.grad for _, p in columns.named(module))]
    assert len(found) == len(row.exact)
    for mine, exact in zip(found, row.exact, strict=True):
        assert columns.difference(mine, exact) < 1e-10

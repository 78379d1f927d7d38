"""Where torch's own operations mean something else than ours, the printed code means ours."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch

from archc.checker.types import Axis
from archc.ir import build
from archc.ir.graph import Node
from tests.codegen.builders import axes, axis, graph, port
from tests.codegen.harness import callable_of, compare

X = torch.tensor([[1.0, 3.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.float64)


def gradient(value: Node, *ports: object, at: list[torch.Tensor], out: list[Axis]) -> list[torch.Tensor]:
    call, _ = callable_of(graph(ports, value, *out))  # type: ignore[arg-type]
    inputs = [x.clone().requires_grad_(x.is_floating_point()) for x in at]
    (y,) = call(*inputs)
    y.sum().backward()
    return [x.grad for x in inputs]  # type: ignore[misc]


def masked(op: str) -> tuple[Node, list[object], list[Axis]]:
    t, s = axes("t s")
    x, keep = port("x", t, s), port("keep", t, s, dtype="bool")
    value = build.reduce(op, build.apply("where", keep.node, x.node, build.const(-inf)), {s})
    return value, [x, keep], [t, s] if op == "softmax" else [t]


KEEP = torch.tensor([[True, False, True], [False, False, False]])


def test_a_fully_masked_softmax_row_is_0_with_0_gradient() -> None:
    value, ports, out = masked("softmax")
    text = compare(graph(ports, value, *out), {"x": X.numpy(), "keep": KEEP.numpy()}, {})  # type: ignore[arg-type]
    assert "_safe_softmax" not in text
    weights = build.apply("mul", value, value)
    (found, _) = gradient(weights, *ports, at=[X, KEEP], out=out)
    assert torch.isfinite(found).all() and (found[1] == 0).all() and (found[0] != 0).sum() == 2


def test_a_fully_masked_logsumexp_is_minus_inf_with_0_gradient() -> None:
    value, ports, out = masked("logsumexp")
    compare(graph(ports, value, *out), {"x": X.numpy(), "keep": KEEP.numpy()}, {})  # type: ignore[arg-type]
    (found, _) = gradient(value, *ports, at=[X, KEEP], out=out)
    assert torch.isfinite(found).all() and (found[1] == 0).all()


def test_minus_inf_that_is_added_is_met_too() -> None:
    t, s = axes("t s")
    x = port("x", t, s)
    bias = build.apply("where", build.apply("lt", build.iota(t), build.const(1)), build.const(0.0), build.const(-inf))
    value = build.reduce("softmax", build.apply("add", x.node, bias), {s})
    compare(graph([x], value, t, s), {"x": X.numpy()}, {})
    (found,) = gradient(build.apply("mul", value, value), x, at=[X], out=[t, s])
    assert torch.isfinite(found).all() and (found[1] == 0).all()


@pytest.mark.parametrize("causal", ["s <= t", "s < t + 1", "t >= s", "s == 0 or s <= t"])
def test_a_causal_mask_needs_no_care(causal: str) -> None:
    t = axis("t")
    s = Axis("s", t.size)
    i, j = build.iota(s), build.iota(t)
    condition = {
        "s <= t": build.apply("le", i, j),
        "s < t + 1": build.apply("lt", i, build.apply("add", j, build.const(1))),
        "t >= s": build.apply("ge", j, i),
        "s == 0 or s <= t": build.apply("or", build.apply("eq", i, build.const(0)), build.apply("le", i, j)),
    }[causal]
    x = port("x", t, s)
    value = build.reduce("softmax", build.apply("where", condition, x.node, build.const(-inf)), {s})
    text = compare(graph([x], value, t, s), {"x": np.ones((3, 3))}, {})
    assert ".any(" not in text


def test_equal_largest_ones_share_the_derivative() -> None:
    n, k = axes("n k")
    x = port("x", n, k)
    (found,) = gradient(build.reduce("max", x.node, {k}), x, at=[X], out=[n])
    assert torch.allclose(found, torch.tensor([[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64))


def test_two_equal_operands_share_the_derivative() -> None:
    n, k = axes("n k")
    x = port("x", n, k)
    (found,) = gradient(build.apply("maximum", x.node, build.const(3.0)), x, at=[X], out=[n, k])
    assert torch.allclose(found[0], torch.tensor([0, 0.5, 0.5], dtype=torch.float64))


@pytest.mark.parametrize(
    "op, bad, good", [("log", 0.0, 2.0), ("sqrt", 0.0, 4.0), ("rsqrt", 0.0, 4.0), ("exp", 800.0, 1.0), ("acos", 1.0, 0.5)]
)
def test_the_branch_not_taken_is_not_touched(op: str, bad: float, good: float) -> None:
    n = axis("n")
    x = port("x", n)
    condition = build.apply("eq", x.node, build.const(good))
    value = build.apply("where", condition, build.apply(op, x.node), build.const(0.0))
    (found,) = gradient(value, x, at=[torch.tensor([bad, good], dtype=torch.float64)], out=[n])
    assert torch.isfinite(found).all() and found[0] == 0 and found[1] != 0


def test_a_quotient_not_taken_is_not_touched() -> None:
    n = axis("n")
    x, y = port("x", n), port("y", n)
    condition = build.apply("ne", y.node, build.const(0.0))
    value = build.apply("where", condition, build.apply("div", x.node, y.node), build.const(0.0))
    at = [torch.tensor([1.0, 1.0], dtype=torch.float64), torch.tensor([0.0, 2.0], dtype=torch.float64)]
    for found in gradient(value, x, y, at=at, out=[n]):
        assert torch.isfinite(found).all() and found[0] == 0


def test_a_sum_of_truths_is_an_int() -> None:
    n = axis("n")
    keep = port("keep", n, dtype="bool")
    text = compare(
        graph([keep], build.reduce("sum", build.apply("bool_to_int", keep.node), {n})),
        {"keep": np.array([True, True, False])},
        {},
    )
    assert ".long()" in text


def test_choices_of_two_numbers_have_the_precision_of_the_rest() -> None:
    n = axis("n")
    x = port("x", n)
    value = build.apply("where", build.apply("gt", x.node, build.const(0.0)), build.const(0.1), build.const(0.7))
    compare(graph([x], value, n), {"x": np.array([-1.0, 1.0])}, {})


def test_a_division_of_sizes_by_zero_is_not_python_s() -> None:
    n, k = axes("n k")
    x = port("x", n, k)
    value = build.apply("mul", x.node, build.apply("div", build.const(1.0), build.size(k.size)))
    compare(graph([x], value, n, k), {"x": np.zeros((2, 0))}, {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_results_have_the_dtype_of_the_input(dtype: torch.dtype) -> None:
    t = axis("t")
    s = Axis("s", t.size)
    x = port("x", t, s)
    score = build.apply("where", build.apply("le", build.iota(s), build.iota(t)), x.node, build.const(-inf))
    value = build.apply("mul", build.reduce("softmax", score, {s}), build.apply("to_float", build.iota(s)))
    value = build.apply("maximum", value, build.const(0.5))
    call, _ = callable_of(graph([x], value, t, s))
    (y,) = call(torch.ones(3, 3, dtype=dtype))
    assert y.dtype == dtype


def test_positions_are_not_rounded_to_a_half_type() -> None:
    t = axis("t")
    x = port("x", t)
    value = build.apply("mul", x.node, build.apply("sin", build.apply("to_float", build.iota(t))))
    call, text = callable_of(graph([x], value, t))
    (found,) = call(torch.ones(1000, dtype=torch.bfloat16))
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), torch.sin(torch.arange(1000.0)), atol=1e-2), text

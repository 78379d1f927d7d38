"""Running totals, the largest, and what is put in order: torch's values and derivatives, with ties, zeros and nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from archc.api import load_text
from archc.ir.evaluate import evaluate
from archc.ir.lower import lower_graph
from archc.passes.gradient import gradient
from tests.checker.programs import unit

SOURCE = """
layer CumSum() { forward(x[n, k]) -> like x { return cumsum[k](x) } }
layer CumProd() { forward(x[n, k]) -> like x { return cumprod[k](x) } }
layer Counted() { forward(x[n, k]: int) -> [n, k]: int { return cumprod[k](x) + cumsum[n](x) } }
layer ArgMax() { forward(x[n, k]) -> [n]: int { return argmax[k](x) } }
layer ArgSort() { forward(x[n, k]) -> [n, k]: int { return argsort[k](x) } }
layer Sort() { forward(x[n, k]) -> like x { return sort[k](x) } }
layer TopK(static count: int = 2) {
    forward(x[n, k]) -> (values[n, j = count], places[n, j]: int) { values, places = top_k[k = j](x) }
}
layer Max() { forward(x[n, k]) -> [n] { return max[k](x) } }
layer Chosen() { forward(x[n, k]) -> [n] { return x[k = argmax[k](x)] } }
"""
LAYERS = load_text(SOURCE, "orders.arch")
TIES = torch.tensor([[2.0, 1.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0], [1.0, 3.0, 3.0, 0.0]], dtype=torch.float64)
ZEROS = torch.tensor([[2, 0, 3, -1], [0, 2, 0, 3], [1, 2, 3, 0], [0, 0, 0, 1]], dtype=torch.float64)


def derivative(call: object, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    y = call(x)  # type: ignore[operator]
    y = y[0] if isinstance(y, tuple) else y
    return torch.autograd.grad(y, x, torch.arange(1.0, y.numel() + 1, dtype=y.dtype).view_as(y))[0]


def in_graph(layer: str, x: Tensor, **static: int) -> tuple[Tensor, Tensor]:
    """Value and derivative of the graph, by the evaluator, for the same cotangent."""
    graph = lower_graph(unit(SOURCE, layer, **static))
    value = torch.as_tensor(next(iter(evaluate(graph, {"x": x.numpy()}).outputs.values())))
    back = gradient(graph)
    ports = [port.name for port in back.inputs if port.name.startswith("d_")]
    cotangent = torch.arange(1.0, value.numel() + 1, dtype=torch.float64).view_as(value)
    found = evaluate(back, {"x": x.numpy(), **dict.fromkeys(ports, cotangent.numpy())}).outputs
    return value, torch.as_tensor(found["d_x"])


@pytest.mark.parametrize("x", [TIES, ZEROS, torch.ones(2, 1).double(), torch.zeros(2, 0).double(), torch.zeros(0, 3).double()],
                         ids=["ties", "zeros", "one", "none", "no rows"])
@pytest.mark.parametrize(("layer", "theirs"), [
    ("CumSum", lambda x: x.cumsum(1)), ("CumProd", lambda x: x.cumprod(1)),
    ("Sort", lambda x: x.sort(dim=1, stable=True).values)])
def test_values_and_derivatives(layer: str, theirs: object, x: Tensor) -> None:
    assert callable(theirs)
    mine = getattr(LAYERS, layer)()
    value, slope = in_graph(layer, x)
    for found in (mine(x), value):
        torch.testing.assert_close(found, theirs(x))
    for found in (derivative(mine, x), slope):
        torch.testing.assert_close(found, derivative(theirs, x))


@pytest.mark.parametrize("x", [TIES, ZEROS, torch.randn(3, 5).double()], ids=["ties", "zeros", "random"])
@pytest.mark.parametrize("layer", ["CumSum", "CumProd"])
def test_both_orders_of_running_totals(layer: str, x: Tensor) -> None:
    given = x.clone().requires_grad_()
    assert gradcheck(getattr(LAYERS, layer)(), given) and gradgradcheck(getattr(LAYERS, layer)(), given)


def test_whole_numbers_stay_whole() -> None:
    x = torch.tensor([[1, 2, 3], [4, 0, 2]])
    found = LAYERS.Counted()(x)
    assert found.dtype == torch.long and torch.equal(found, x.cumprod(1) + x.cumsum(0))


def test_the_first_of_equal_ones() -> None:
    assert LAYERS.ArgMax()(TIES).tolist() == [0, 0, 1]
    assert LAYERS.ArgSort()(TIES).tolist() == [[1, 3, 0, 2], [0, 1, 2, 3], [3, 0, 1, 2]]
    values, places = LAYERS.TopK()(TIES)
    assert places.tolist() == [[0, 2], [0, 1], [1, 2]] and torch.equal(values, TIES.topk(2).values)
    for layer, wanted in (("ArgMax", LAYERS.ArgMax()(TIES)), ("ArgSort", LAYERS.ArgSort()(TIES))):
        found = evaluate(lower_graph(unit(SOURCE, layer)), {"x": TIES.numpy()}).outputs["result"]
        assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_the_largest_in_falling_order(count: int) -> None:
    layer = load_text(SOURCE, "orders.arch", count=count).TopK()
    x = torch.randn(3, 4, dtype=torch.float64)
    values, places = layer(x)
    wanted = x.topk(count)
    assert torch.equal(values, wanted.values) and torch.equal(places, wanted.indices)
    torch.testing.assert_close(derivative(layer, x), derivative(lambda x: x.topk(count).values, x))
    if count:
        with pytest.raises(ValueError, match="the top"):
            layer(x[:, : count - 1])


def test_equal_ones_and_their_derivatives() -> None:
    """A choice by place gives all of the derivative to that place; the largest by value shares it."""
    x = torch.tensor([[1.0, 3.0, 3.0, 3.0]], dtype=torch.float64)
    assert derivative(LAYERS.Chosen(), x).tolist() == [[0, 1, 0, 0]]
    torch.testing.assert_close(derivative(LAYERS.Max(), x), torch.tensor([[0, 1, 1, 1]]).double() / 3)
    assert derivative(LAYERS.TopK(), x).tolist() == [[0, 1, 2, 0]]
    assert derivative(LAYERS.Sort(), x).tolist() == [[1, 2, 3, 4]]
    for layer in ("Chosen", "Max", "Sort"):
        torch.testing.assert_close(in_graph(layer, x)[1], derivative(getattr(LAYERS, layer)(), x))


def test_the_largest_of_nothing_is_an_error() -> None:
    for layer in (LAYERS.ArgMax(), LAYERS.Max(), LAYERS.Chosen()):
        with pytest.raises((IndexError, RuntimeError, ValueError)):
            layer(torch.zeros(2, 0))
    assert LAYERS.ArgSort()(torch.zeros(2, 0)).shape == (2, 0)
    assert LAYERS.ArgMax()(torch.zeros(2, 1)).tolist() == [0, 0]


def test_places_have_no_derivative() -> None:
    x = TIES.clone().requires_grad_()
    assert not LAYERS.ArgMax()(x).requires_grad and not LAYERS.ArgSort()(x).requires_grad

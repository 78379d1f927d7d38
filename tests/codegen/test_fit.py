"""Methods that store: run without gradient, recorded in the state_dict, whoever calls them."""

from __future__ import annotations

import pytest
import torch

from archc.api import load_text
from tests.checker.programs import codes

SOURCE = """
layer Lowest(i: axis) {
    buffer low[i] = 0
    buffer seen[]: int = 0
    forward(x[n, i]) -> like x { return x - low }
    # Takes the lowest of the data.
    fn fit(x[n, i]) {
        update low = min[n](x)
        update seen = seen + |n|
    }
    fn refit(x[n, i]) -> like x {
        update low = min[n](x)
        return x - min[n](x)
    }
}

layer Two(i: axis) {
    first  = Lowest(i=i)
    second = repeat 1 { Lowest(i=i) }
    forward(x[n, i]) -> like x {
        x = first(x)
        for layer in second { x = layer(x) }
        return x
    }
    fn fit(x[n, i]) {
        y = first.refit(x)
        for layer in second { z = layer.refit(2 * y + 1) }
    }
}

# An inner layer whose params come from outside stores by itself, and has its penalty seen.
layer Inner(i: axis) {
    param w[i] = 1
    buffer mean_of[i] = 0
    forward(x[n, i]) -> like x {
        when training { update mean_of = mean[n](x) }
        penalty size = sum[i](w^2)
        return x * w
    }
}

layer Outer(i: axis) {
    inner = Inner(i=i)
    param u[i] = 2
    forward(x[n, i]) -> like x { return inner(x) with { w: u } }
}
"""
LAYERS = load_text(SOURCE, "fit.arch")


def test_a_fit_returns_nothing_and_is_stored() -> None:
    layer, x = LAYERS.Lowest(i=3), torch.randn(5, 3, requires_grad=True)
    assert layer.fit(x) is None
    assert torch.equal(layer.state_dict()["low"], x.detach().amin(0)) and layer.seen.item() == 5
    assert not layer.low.requires_grad and layer(x).requires_grad
    assert layer.fit.__doc__.startswith("Takes the lowest of the data.")
    other = LAYERS.Lowest(i=3)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))


def test_a_fit_reaches_the_sub_layers() -> None:
    layer, x = LAYERS.Two(i=3), torch.randn(5, 3)
    layer.fit(x)
    y = x - x.amin(0)
    torch.testing.assert_close(layer.first.low, x.amin(0))
    torch.testing.assert_close(layer.second[0].low, (2 * y + 1).amin(0))


def test_what_a_layer_with_supplied_params_stores_is_kept() -> None:
    layer, x = LAYERS.Outer(i=3), torch.randn(5, 3)
    layer.penalties = []
    layer(x)
    torch.testing.assert_close(layer.inner.mean_of, x.mean(0))
    assert [(name, value.item()) for name, value in layer.penalties] == [("inner.size", 12.0)]
    layer.eval()(x + 1)
    torch.testing.assert_close(layer.inner.mean_of, x.mean(0))


def test_a_forward_returns_something() -> None:
    assert codes("layer L() { buffer b[] = 0\n forward(x[n]) { update b = sum[n](x) } }") == ["no-return"]
    layer = "layer L() { buffer b[] = 0\n forward(x[n]) -> like x { return x * b }\n fn f(x[n]) { y = x } }"
    assert codes(layer) == ["no-return"]


@pytest.mark.parametrize("training", [True, False])
def test_a_fit_is_the_same_in_both_modes(training: bool) -> None:
    layer, x = LAYERS.Lowest(i=2).train(training), torch.randn(4, 2)
    layer.fit(x)
    assert torch.equal(layer.low, x.amin(0))

"""What the papers and the authors' code state of the further families: counts of parameters, first values, limits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import archc
from archc.loaded import Namespace


def std(name: str, **static: object) -> Namespace:
    return archc.load(f"std.{name}", **static)


def count(*modules: nn.Module) -> int:
    return sum(param.numel() for module in modules for param in module.parameters())


# ------------------------------------------------------------------------------------------------------------ std.kan
def test_parameters_of_the_networks_for_handwritten_digits() -> None:
    kan = std("kan")
    assert count(kan.RBFKAN(784, 64), kan.RBFKAN(64, 10)) == 459_114
    # efficient-kan has one more number, a scale, for each edge.
    assert count(kan.KAN(784, 64), kan.KAN(64, 10)) + 784 * 64 + 64 * 10 == 508_160
    sizes = [(784, 32), (32, 16), (16, 10)]
    norms = [std("norm").LayerNorm(c) for c in (32, 16)]
    assert count(*(kan.ChebyKAN(i, o) for i, o in sizes), *norms) == 128_896


def test_parameters_of_the_smallest_kolmogorov_arnold_transformer() -> None:
    """KAT-T has 5,718,328 parameters, ViT-T has 5,717,416: 38 more for each of two activations in 12 blocks."""
    block = count(std("kan").GRKANMLP(192)) - count(std("linear").MLP(192))
    assert block == 2 * 38 and 5_717_416 + 12 * block == 5_718_328


@pytest.mark.parametrize(("start", "activation", "error"), [
    ("identity", lambda x: x, 0.0), ("swish", F.silu, 1.25e-6), ("gelu_old", F.gelu, 4.15e-3)])
def test_a_rational_starts_as_the_activation_that_it_names(start: str, activation: object, error: float) -> None:
    layer = std("kan", start=start).GroupRational(c=8).double()
    x = torch.linspace(-3, 3, 6001, dtype=torch.float64)[:, None].expand(-1, 8)
    assert callable(activation)
    assert (layer(x) - activation(x)).abs().max() <= error + 1e-6 * (error > 0)


def test_a_rational_that_starts_as_the_identity_can_leave_it() -> None:
    """The derivative of |b| at 0 is 1, as in the authors' kernels, also through x = 0."""
    layer = std("kan", start="identity").GroupRational(c=8).double()
    assert (layer.under == 0).all()
    x = torch.tensor([[0.0, 0.5, -0.5, 2.0, 1.0, -1.0, 3.0, -3.0]], dtype=torch.float64)
    layer(x).sum().backward()
    assert layer.under.grad is not None
    expected = torch.stack([-x[0] * x[0].abs() ** j for j in range(1, 5)], -1)
    torch.testing.assert_close(layer.under.grad, expected, rtol=0, atol=1e-13)


def test_first_values_of_the_other_bases() -> None:
    torch.manual_seed(0)
    rbf = std("kan").RBFKAN(64, 64)
    assert rbf.coef.std().item() == pytest.approx(0.1, rel=0.02) and rbf.coef.abs().max() > 0.35
    cheby = std("kan").ChebyKAN(64, 64)
    assert cheby.coef.std().item() == pytest.approx(1 / (64 * 5), rel=0.02)
    fourier = std("kan").FourierKAN(64, 64)
    assert fourier.cosine.std().item() == pytest.approx(1 / math.sqrt(64 * 5), rel=0.02)
    assert fourier(torch.rand(4096, 64) * 2 * math.pi).std().item() == pytest.approx(1, rel=0.1)
    smooth = std("kan", smooth=True).FourierKAN(64, 64)
    for m in range(5):
        assert smooth.sine[..., m].std().item() == pytest.approx(1 / (8 * (m + 1) ** 2), rel=0.05)
    relu = std("kan").ReLUKAN(4, 64)
    torch.testing.assert_close(relu.low[2], torch.arange(-3, 5) / 5)
    torch.testing.assert_close(relu.high[2], torch.arange(-3, 5) / 5 + 4 / 5)
    assert relu.weight.abs().max() <= 1 / math.sqrt(32)
    for spread, std_ in (("code", 0.02), ("paper", math.sqrt(2.81782 / 64))):
        assert std("kan", spread=spread).GRKAN(64, 128).weight.std().item() == pytest.approx(std_, rel=0.03)


def test_bumps_of_relu_kan_have_height_one() -> None:
    layer = std("kan").ReLUKAN(1, 1).double()
    with torch.no_grad():
        layer.weight[...], layer.bias[...] = 0, 0
        layer.weight[0, 0, 4] = 1
        middle = (layer.low[0, 4] + layer.high[0, 4]) / 2
        assert layer(middle.reshape(1, 1)).item() == pytest.approx(1, abs=1e-6)
        assert layer(layer.high[0, 4].reshape(1, 1)).item() == 0


@pytest.mark.parametrize("size", [20.0, 1e3, 1e30])
def test_chebyshev_polynomials_have_a_derivative_where_tanh_is_one(size: float) -> None:
    layer = std("kan").ChebyKAN(2, 3)
    x = torch.tensor([[size, -size]], requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()

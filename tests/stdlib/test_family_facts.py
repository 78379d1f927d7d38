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


@pytest.mark.parametrize(("start", "gain"), [("identity", 1.0), ("swish", 2.8108), ("gelu_old", 2.3516)])
def test_gains_of_rationals(start: str, gain: float) -> None:
    """1 / E[F(z)^2] for standard normal z, by quadrature; the authors' constants, 2.81782 and 2.35679, are estimates of it."""
    z = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    y = std("kan", start=start).GroupRational(c=8).double()(z[:, None].expand(-1, 8))[:, 0]
    assert 1 / torch.trapezoid(y.square() * density, z).item() == pytest.approx(gain, abs=1e-4)


def test_a_rational_that_starts_as_the_identity_can_leave_it() -> None:
    """The derivative of |b| at 0 is 1, as in the authors' kernels, also through x = 0."""
    layer = std("kan", start="identity").GroupRational(c=8).double()
    assert (layer.under == 0).all()
    x = torch.tensor([[0.0, 0.5, -0.5, 2.0, 1.0, -1.0, 3.0, -3.0]], dtype=torch.float64)
    layer(x).sum().backward()
    assert layer.under.grad is not None
    expected = torch.stack([-x[0] * x[0].abs() ** j for j in range(1, 5)], -1)
    torch.testing.assert_close(layer.under.grad, expected, rtol=0, atol=1e-13)


def test_nothing_is_drawn_for_a_dropout_of_nothing() -> None:
    """In training too: the generator stays where it is."""
    layer, x = std("kan").GRKANMLP(8).train(), torch.randn(3, 8)
    before = torch.get_rng_state()
    layer(x)
    assert torch.equal(torch.get_rng_state(), before)
    some = std("kan").GRKANMLP(8, drop=0.5)
    some.load_state_dict(layer.state_dict())
    some(x)
    assert not torch.equal(torch.get_rng_state(), before)


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


# ------------------------------------------------------------------------------------------------------ std.multigrid
DARCY = {"pre": (1, 1, 1, 1, 1, 2), "post": (0,) * 6, "levels": 6}


def test_parameters_of_the_multigrid_operators() -> None:
    """Those of the authors' models for Darcy flow, for the Navier-Stokes equations, and of a small one."""
    smooth = std("multigrid", depth=5, up=(4, 3, 3, 4, 3)[::-1], **DARCY).MgNO(1, 1, 24)
    assert count(smooth) == 678_093
    assert count(std("multigrid", depth=4, up=(4,) * 5, **DARCY).MgNO(1, 1, 24)) == 572_661
    small = std("multigrid", depth=3, pre=(1, 1, 1, 2), post=(0,) * 4, up=(3, 3, 3), levels=4).MgNO(1, 1, 8)
    assert count(small) == 25_035
    flow = std("multigrid", pre=(1, 1, 1, 2, 2), post=(0,) * 5, up=(4,) * 4, levels=5, border="wrap", biased=True,
               size=64).VCycle
    assert count(flow(1, 32), *(flow(32, 32) for _ in range(4))) + 32 == 2_885_194


def test_parameters_of_the_multigrid_operator_for_helmholtz() -> None:
    """Channels that grow with the level. The authors' cycles hold one convolution with a bias that they never use."""
    wave = std("multigrid", pre=(1, 1, 1, 1, 2), post=(0,) * 5, up=(3, 4, 4, 3), levels=5, pad=0, border="reflect", biased=True,
               growing=True).VCycle
    cycles = [(1, 20), (20, 20), (20, 20), (20, 20), (20, 1)]
    unused = sum(9 * f * u + f for f, u in cycles)
    maps = 4 * 2 * 20 * 101 * 101
    assert count(*(wave(f, u) for f, u in cycles)) + unused + maps == 5_351_806


@pytest.mark.parametrize("residual", [False, True])
def test_a_multigrid_cycle_is_linear(residual: bool) -> None:
    torch.manual_seed(0)
    cycle = std("multigrid", residual=residual, border="reflect").VCycle(2, 3).double()
    a, b = torch.randn(2, 1, 2, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(cycle(2 * a - 3 * b), 2 * cycle(a) - 3 * cycle(b), rtol=0, atol=1e-13)


@pytest.mark.parametrize("around", ["wrap", "zero"])
def test_a_periodic_cycle_moves_with_its_input_only_if_it_is_periodic_coming_up(around: str) -> None:
    """By a whole step of the coarsest of three grids. The authors' code has zeros there."""
    torch.manual_seed(0)
    cycle = std("multigrid", border="wrap", around=around, post=(1, 1, 0)).VCycle(2, 3).double()
    x = torch.randn(1, 2, 16, 16, dtype=torch.float64)
    moved = cycle(x.roll((4, 8), (2, 3)))
    error = (moved - cycle(x).roll((4, 8), (2, 3))).abs().max().item()
    assert error < 1e-13 if around == "wrap" else error > 1e-3


@pytest.mark.parametrize("points", [15, 31])
@pytest.mark.parametrize(("before", "after", "factor"), [(1, 0, 0.58), (1, 1, 0.35), (2, 2, 0.17), (3, 3, 0.13)])
def test_with_classical_weights_a_cycle_solves_poissons_equation(points: int, before: int, after: int, factor: float) -> None:
    """Damped Jacobi, full weighting, bilinear interpolation, no guess on the coarse grids: the error shrinks by what is known."""
    levels = 3 if points == 15 else 4
    static = {"pre": (before,) * (levels - 1) + (30,), "post": (after,) * (levels - 1) + (0,), "up": (3,) * (levels - 1)}
    layer = std("multigrid", levels=levels, pad=0, residual=True, **static).VCycle(1, 1).double()
    stencil = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=torch.float64)
    full = torch.outer(*[torch.tensor([1.0, 2, 1], dtype=torch.float64)] * 2)
    point = torch.zeros(3, 3, dtype=torch.float64)
    point[1, 1] = 1
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            h = 2.0 ** name.count("coarse") / (points + 1)
            part = name.split(".")[-3 if name.split(".")[-2].isdigit() else -2]
            weight.copy_({"start": 0.2 * h**2 * point, "down_s": 0.2 * h**2 * point, "up_s": 0.2 * h**2 * point,
                          "down_a": stencil / h**2, "up_a": stencil / h**2, "rest": stencil / h**2,
                          "restrict_f": full / 16, "restrict_u": 0 * full, "prolong": full / 4}[part])
        torch.manual_seed(0)
        error = torch.randn(1, 1, points, points, dtype=torch.float64)
        for _ in range(40):
            error = error / error.norm()
            error = error - layer(F.conv2d(error, stencil[None, None] * (points + 1) ** 2, padding=1))
    assert error.norm().item() == pytest.approx(factor, abs=0.03)


# -------------------------------------------------------------------------------------------------------- std.spectral
def test_parameters_of_the_fourier_neural_operator() -> None:
    """neuraloperator's FNO of 16 x 16 modes and 24 channels, and a small one, complex numbers counted twice."""
    for layer, wanted in ((std("spectral").FNO2d(1, 1, 24), 671_113), (std("spectral", depth=3).FNO2d(1, 1, 12, 8, 8), 36_283)):
        assert sum(p.numel() * (1 + p.is_complex()) for p in layer.parameters()) == wanted


def waves(n: int) -> torch.Tensor:
    """A band-limited image on n x n points: [1, 2, n, n]."""
    h, w = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) / n * 2 * math.pi] * 2, indexing="ij")
    return torch.stack([torch.cos(2 * h - w) + 0.3, torch.sin(h + 2 * w) * torch.cos(h)])[None]


def test_a_spectral_convolution_is_the_same_operator_on_every_grid() -> None:
    torch.manual_seed(0)
    layer = std("spectral").SpectralConv2d(2, 3, 8, 8).double()
    coarse, fine = layer(waves(16)), layer(waves(48))
    torch.testing.assert_close(fine[:, :, ::3, ::3], coarse, rtol=0, atol=1e-13)


def test_a_spectral_convolution_keeps_its_digits_in_float32() -> None:
    torch.manual_seed(0)
    layer = std("spectral").SpectralConv2d(4, 4, 16, 16)
    x = torch.randn(2, 4, 211, 64)
    exact = layer.double()(x.double())
    assert (layer.float()(x) - exact).abs().max() < 2e-6 * exact.abs().max()


def test_first_values_of_a_spectral_convolution() -> None:
    torch.manual_seed(0)
    layer = std("spectral").SpectralConv2d(16, 16)
    power = layer.weight.abs().square().mean().item()
    assert power == pytest.approx(2 / 32, rel=0.03)


# -------------------------------------------------------------------------------------------------- stated sizes of others
def test_parameters_of_af_kan() -> None:
    kan = std("kan")
    assert count(kan.AFKAN(784, 64), kan.AFKAN(64, 10)) == 52_552


def test_parameters_of_fourier_attention() -> None:
    """(2 G + 1) N r for each head, beside the four projections."""
    layer = std("attention").FourierAttention(48, 17, 3)
    assert count(layer) - count(layer.qkv, layer.out) == 3 * (2 * 3 + 1) * 17 * 12

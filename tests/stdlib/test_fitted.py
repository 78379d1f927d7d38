"""What `fit` stores of data, against code that is not ours: knots, a basis of lags, orthonormal polynomials."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch import nn

import archc
from tests.peers import fitted


def samples(n: int, i: int, seed: int = 0) -> torch.Tensor:
    """Skewed, of different scales."""
    x = torch.randn(n, i, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.exp(0.5 * x) * (1 + torch.arange(i)) - 1


def kept(layer: nn.Module, fresh: nn.Module) -> None:
    """What was fitted is in the state and nowhere else."""
    fresh.load_state_dict(layer.state_dict())
    for (name, mine), theirs in zip(layer.named_buffers(), fresh.buffers(), strict=True):
        assert torch.equal(mine, theirs), name
        assert not mine.requires_grad


# ------------------------------------------------------------------------------------------------------- a KAN's grid
@pytest.mark.parametrize(("n", "grid", "order", "mix"), [(50, 5, 3, 0.02), (7, 5, 2, 0.3), (200, 3, 0, 0.0), (12, 4, 1, 1.0)])
def test_knots_of_samples(n: int, grid: int, order: int, mix: float) -> None:
    make = archc.load("std.kan", grid=grid, order=order).AdaptiveKAN
    layer, x = make(i=3, o=2).double(), samples(n, 3)
    layer.fit(x, mix=mix)
    wanted = fitted.knots_from_samples(x.numpy(), grid, order, mix)
    np.testing.assert_allclose(layer.knots.numpy(), wanted, rtol=1e-12, atol=1e-12)
    kept(layer, make(i=3, o=2).double())


def test_a_fitted_spline_is_scipys() -> None:
    layer, x = archc.load("std.kan").AdaptiveKAN(i=3, o=2).double(), samples(60, 3)
    layer.fit(x)
    layer.base.data.zero_()
    wanted = np.zeros((60, 2))
    for i in range(3):
        knots = layer.knots[i].numpy()
        for o in range(2):
            wanted[:, o] += BSpline(knots, layer.coef[o, i].detach().numpy(), 3)(x[:, i].numpy())
    np.testing.assert_allclose(layer(x).detach().numpy(), wanted, rtol=1e-10, atol=1e-12)


def test_quantiles_put_as_many_samples_into_each_cell() -> None:
    layer, x = archc.load("std.kan", grid=4).AdaptiveKAN(i=1, o=1).double(), samples(400, 1)
    layer.fit(x, mix=0.0)
    inside = layer.knots[0, 3:8].numpy()
    assert np.histogram(x[:, 0].numpy(), inside)[0].tolist() == [100, 100, 100, 100]
    layer.fit(torch.ones(5, 1).double())  # a constant: all knots in one place, and a spline that is 0
    assert torch.isfinite(layer(torch.ones(5, 1).double())).all()


# ------------------------------------------------------------------------------------------------- a basis of lags
def series(length: int, channels: int) -> torch.Tensor:
    """Seasonal, with noise that lasts."""
    generator = torch.Generator().manual_seed(3)
    time = torch.arange(length, dtype=torch.float64)[:, None]
    noise = torch.randn(length, channels, generator=generator, dtype=torch.float64)
    for step in range(1, length):
        noise[step] += 0.8 * noise[step - 1]
    return torch.sin(time * (0.3 + 0.2 * torch.arange(channels))) * 2 + noise


def test_the_basis_of_lags() -> None:
    layer, data = archc.load("std.basis").OrthoTrans(t=6).double(), series(300, 3)
    data[:, 1] = 0.001 * data[:, 1]  # too quiet to count
    layer.fit(data)
    values, vectors = fitted.lag_basis(data.numpy(), 6)
    assert (np.diff(values) < -1e-3).all()
    signs = np.sign(np.sum(layer.q.numpy() * vectors, axis=1, keepdims=True))
    np.testing.assert_allclose(layer.q.numpy(), signs * vectors, atol=1e-10)
    x = torch.randn(2, 6, dtype=torch.float64)
    torch.testing.assert_close(layer.inverse(layer(x)), x)
    kept(layer, archc.load("std.basis").OrthoTrans(t=6).double())


def test_lags_become_uncorrelated() -> None:
    layer, data = archc.load("std.basis").OrthoTrans(t=5).double(), series(4000, 1)
    layer.fit(data)
    windows = data[:, 0].unfold(0, 5, 1)
    z = layer(windows - windows.mean(0))
    cov = z.mT @ z / len(z)
    assert (cov - torch.diag(cov.diagonal())).abs().max() < 0.02 * cov.diagonal().max()
    assert (cov.diagonal().diff() < 0).all()


def test_before_it_is_fitted_it_changes_nothing() -> None:
    x = torch.randn(3, 6)
    assert torch.equal(archc.load("std.basis").OrthoTrans(t=6)(x), x)


# -------------------------------------------------------------------------------------------- orthonormal polynomials
def test_polynomials_of_three_values() -> None:
    """P0 = 1, P1 = -0.5 + 1.5 x, P2 = -2 - 1.5 x + 4.5 x^2: the example of the aPC toolbox."""
    layer = archc.load("std.basis", degree=2).PolynomialChaos(i=1, o=1, m=3).double()
    layer.fit(torch.tensor([[1 / 3**0.5], [-1 / 3**0.5], [1.0]], dtype=torch.float64))
    wanted = torch.tensor([[1, 0, 0], [-0.5, 1.5, 0], [-2, -1.5, 4.5]], dtype=torch.float64)
    torch.testing.assert_close(layer.basis[0], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_polynomials_against_a_qr_factorization(degree: int) -> None:
    m = comb(2 + degree, degree)
    make = archc.load("std.basis", degree=degree).PolynomialChaos
    layer, x = make(i=2, o=1, m=m).double(), samples(80, 2)
    layer.fit(x)
    for i in range(2):
        np.testing.assert_allclose(layer.basis[i].numpy(), fitted.orthonormal(x[:, i].numpy(), degree), rtol=1e-8, atol=1e-8)
    kept(layer, make(i=2, o=1, m=m).double())


def test_a_spread_of_independent_inputs_is_the_sum_of_squares() -> None:
    """What the weights of an orthonormal basis say of the result: its mean is that of the constant, its variance the rest's."""
    layer = archc.load("std.basis", degree=3).PolynomialChaos(i=2, o=1, m=10).double()
    column = samples(40, 1)[:, 0]
    x = torch.stack([column.repeat_interleave(40), column.flip(0).repeat(40)], 1)  # every pair, so the inputs are independent
    layer.fit(x)
    y, weight = layer(x).detach()[:, 0], layer.weight.detach()[0]
    torch.testing.assert_close(y.mean(), weight[0])
    torch.testing.assert_close(y.var(correction=0), (weight[1:] ** 2).sum())


@pytest.mark.parametrize(("i", "degree"), [(1, 0), (1, 5), (3, 2), (4, 3), (2, 4), (6, 1)])
def test_powers_of_a_total_degree(i: int, degree: int) -> None:
    wanted = fitted.total_degrees(i, degree)
    assert len(wanted) == comb(i + degree, degree)
    layer = archc.load("std.basis", degree=degree).PolynomialChaos(i=i, o=1, m=len(wanted) + 2)
    assert [tuple(row) for row in layer.alpha.tolist()[:-2]] == wanted
    assert (layer.alpha[-2:] == -1).all() or i == 0
    with pytest.raises(IndexError):  # there are no more terms
        layer(torch.zeros(2, i))


def test_too_few_values_are_torchs_error() -> None:
    layer = archc.load("std.basis", degree=2).PolynomialChaos(i=1, o=1, m=3).double()
    with pytest.raises(torch.linalg.LinAlgError):
        layer.fit(torch.ones(3, 1, dtype=torch.float64))

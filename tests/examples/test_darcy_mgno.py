"""examples/darcy_mgno: the solver against known solutions, and short runs of its command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn
from torch.nn import functional as F

from tests.examples.programs import Within, compare, program, train
from tests.peers import multigrid, spectral


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 26, 3, padding=1), nn.Conv2d(26, 1, 3, padding=1)
        self.middle = nn.ModuleList(nn.Conv2d(26, 26, 3, padding=1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(self.first(x))
        for conv in self.middle:
            y = F.gelu(conv(y))
        return self.last(y)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "Multigrid": lambda: Within("operator", multigrid.MgNO(1, 1, 8, 3, pre=(1, 1, 1, 2), post=(0,) * 4, up=(3, 3, 3))),
    "Fourier": lambda: Within("operator", spectral.FNO2d(1, 1, 12, 8, 8, 3)),
    "Plain": Plain,
}


@pytest.mark.parametrize("layer", MODELS)
def test_model_equals_transcription(layer: str) -> None:
    compare("darcy_mgno", layer, MODELS[layer], (2, 1, 17, 17), {}, i=1, o=1)


def test_the_solver_knows_poissons_equation() -> None:
    """Constant permeability: the series of the exact solution, 0.073671 in the middle, and second order towards it."""
    solve = program("darcy_mgno", "data").solve
    odd = np.arange(1, 400, 2)
    m, n = odd[:, None], odd[None, :]
    exact = (16 / np.pi**4 * np.sin(m * np.pi / 2) * np.sin(n * np.pi / 2) / (m * n * (m**2 + n**2))).sum()
    assert exact == pytest.approx(0.073671, abs=1e-6)
    middles = {points: solve(np.ones((points, points)))[points // 2, points // 2] for points in (17, 33, 65)}
    assert middles[65] == pytest.approx(0.07366, abs=5e-6)
    errors = [abs(middles[points] - exact) for points in (17, 33, 65)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05) and errors[1] / errors[2] == pytest.approx(4, rel=0.05)


def test_what_flows_out_is_what_comes_in() -> None:
    """Every inner point: the flux through its four faces is the source, whatever the medium."""
    data = program("darcy_mgno", "data")
    for lognormal in (False, True):
        x, y = data.examples(2, 12, 0, lognormal)
        assert x.shape == y.shape == (2, 1, 12, 12) and (x > 0).all()
        assert lognormal or set(np.unique(x)) == {3.0, 12.0}
        for a, u in zip(x[:, 0], y[:, 0], strict=True):
            assert not any(side.any() for side in (u[0], u[-1], u[:, 0], u[:, -1]))
            for i in range(1, 11):
                for j in range(1, 11):
                    flux = sum((a[i, j] + a[p, q]) / 2 * (u[i, j] - u[p, q])
                               for p, q in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)))
                    assert flux * 11**2 == pytest.approx(1, rel=1e-9)


def test_media_have_the_spectrum_of_their_definition() -> None:
    """The variance of each cosine mode, over many draws."""
    data = program("darcy_mgno", "data")
    rng = np.random.default_rng(0)
    from scipy.fft import dctn

    modes = np.stack([dctn(data.gaussian_field(16, rng), norm="ortho") / 16 for _ in range(2000)])
    for k in ((0, 1), (1, 0), (2, 3)):
        power = 3.0 * (np.pi**2 * (k[0] ** 2 + k[1] ** 2) + 9) ** -1.0
        assert modes[:, k[0], k[1]].std() == pytest.approx(power, rel=0.06)
    assert np.abs(modes[:, 0, 0]).max() < 1e-12


@pytest.mark.slow
def test_a_short_run_beats_the_mean(tmp_path: Path) -> None:
    """With a tenth of the examples and epochs of the README: an error far below that of the mean over the training part."""
    x, y = program("darcy_mgno", "data").examples(128, 33, 0)
    np.savez(tmp_path / "darcy.npz", x=x[:96], y=y[:96], x_test=x[96:], y_test=y[96:])
    mean, test = y[:96].mean(0), y[96:]
    of_mean = (np.sqrt(((test - mean) ** 2).sum((1, 2, 3))) / np.sqrt((test**2).sum((1, 2, 3)))).mean()
    assert 0.15 < of_mean < 0.35
    flags = ["--data", str(tmp_path / "darcy.npz"), "--scale", "standard", "--loss", "std.loss.relative_l2", "--lr", "3e-3",
             "--batch", "8", "--warmup", "0.1"]
    found = train("darcy_mgno", tmp_path / "run", "--layer", "Multigrid", *flags, "--epochs", "12")
    assert found["parameters"] == 25_035 and found["test_relative_l2"] < 0.5 * of_mean

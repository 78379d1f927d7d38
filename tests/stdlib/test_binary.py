"""Binary layers, whose derivatives are not those of what they compute: against the authors' own backward functions."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

import archc
from tests.peers import binary
from tests.stdlib import test_layers as layers
from tests.stdlib.cases import Case, case
from tests.stdlib.modules import assert_same, copy_state, make, step

CASES = [
    *(case("binary.BiPerConv2d", partial(binary.BiPerConv2d, 3, 4, stage=stage), (2, 3, 6, 5), static={"stage": stage}, c=3, o=4)
      for stage in (1, 2)),
    case("binary.BiPerConv2d", lambda: binary.BiPerConv2d(3, 4, 5.0, 2, 2, 2, 0), (2, 3, 6, 5),
         static={"stage": 2, "kernel": 2, "stride": 2, "pad": 0}, c=3, o=4, frequency=5.0),
    *(case("binary.BiPerLinear", partial(binary.BiPerLinear, 8, 3, stage=stage), (2, 5, 8), static={"stage": stage}, i=8, o=3)
      for stage in (1, 2)),
]
EVERY = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
MODES = pytest.mark.parametrize("mode", ["train", "eval"])


@MODES
@EVERY
def test_module_equals_transcription_in_float64(case: Case, mode: str) -> None:
    layers.test_equals_transcription_in_float64(case, mode)


@EVERY
def test_module_equals_transcription_in_float32(case: Case) -> None:
    ours, reference = make(case), case.reference()
    copy_state(ours, reference, {})
    torch.manual_seed(0)
    x = torch.randn(case.shape)
    assert_same(step(ours, x), step(reference, x), 1e-5)


@pytest.mark.parametrize("layer", ["BiPerConv2d", "BiPerLinear"])
def test_penalty_is_the_mean_square_of_the_wave_in_training(layer: str) -> None:
    module = getattr(archc.load("std.binary"), layer)(3, 4, tau=0.5)
    x = torch.randn(2, 3, 5, 6) if layer == "BiPerConv2d" else torch.randn(2, 3)
    module.penalties = []
    module(x)
    ((name, value),) = module.penalties
    assert name == "flip"
    torch.testing.assert_close(value, 0.5 * torch.sin(20 * module.weight).square().mean())
    module.penalties = []
    module.eval()(x)
    assert module.penalties == []


def test_zeros_stay_zero_and_first_values() -> None:
    torch.manual_seed(0)
    module = archc.load("std.binary", stage=2).BiPerConv2d(64, 64)
    assert 0 <= module.alpha.min() and module.alpha.max() <= 1
    assert module.weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)
    assert (module.eval()(torch.zeros(1, 64, 3, 3)) == 0).all()


@pytest.mark.parametrize(("u", "error"), [(0.955, 0.1028), (50.0, 0.5 - 4 / math.pi**2)])
def test_error_of_binary_waves_of_laplacian_weights(u: float, error: float) -> None:
    """With weights of a Laplace distribution of width b, u = frequency * b, the least mean square of sin - gamma * sign(sin) is
    2 u^2 / (1 + 4 u^2) - gamma^2, gamma = u coth(pi / 2 u) / (1 + u^2)."""
    gamma = u / math.tanh(math.pi / (2 * u)) / (1 + u**2)
    closed = 2 * u**2 / (1 + 4 * u**2) - gamma**2
    assert closed == pytest.approx(error, abs=1e-4)
    # Laplacian weights by their quantiles, through the layer's own wave.
    quantiles = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000
    weight = -torch.sign(quantiles - 0.5) * torch.log1p(-2 * (quantiles - 0.5).abs())
    waves = []
    for stage in (1, 2):
        module = archc.load("std.binary", stage=stage).BiPerLinear(1, 400_000, frequency=u).double().eval()
        with torch.no_grad():
            module.weight.copy_(weight[:, None])
            module.alpha.fill_(1)
            waves.append(module(torch.ones(1, 1, dtype=torch.float64)))
    found = (waves[0] - gamma * waves[1]).square().mean().item()
    assert found == pytest.approx(closed, abs=2e-4)
    assert waves[0].abs().mean().item() == pytest.approx(gamma, abs=1e-4)

"""Layers on random features, and layers that look up their params: transcriptions, derivatives, known kernels."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import archc
from tests.peers import features
from tests.stdlib.modules import copy_state, default_dtype, stir

FEATURES, RECOMMEND = archc.load("std.features"), archc.load("std.recommend")


def ids() -> list[Tensor]:
    return [torch.tensor([0, 3, 8, 3, 3]), torch.tensor([6, 0, 1, 1, 2])]


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], Callable[[], list[Tensor]]]] = {
    "ReLUFeatures": (lambda: FEATURES.ReLUFeatures(4, 3, 6), lambda: features.ReLUFeatures(4, 3, 6),
                     lambda: [torch.randn(2, 5, 4)]),
    "RandomFeatureAttention": (lambda: FEATURES.RandomFeatureAttention(3, 5), lambda: features.RandomFeatureAttention(3, 5),
                               lambda: [torch.randn(4, 3), torch.randn(4, 6, 3)]),
    "GMF": (lambda: RECOMMEND.GMF(9, 7, 4), lambda: features.GMF(9, 7, 4), ids),
    "NeuralFiltering": (lambda: RECOMMEND.NeuralFiltering(9, 7, 8), lambda: features.NeuralFiltering(9, 7, 8), ids),
    "NeuMF": (lambda: RECOMMEND.NeuMF(9, 7, 4, 8), lambda: features.NeuMF(9, 7, 4, 8), ids),
}


def gradients(module: nn.Module, inputs: list[Tensor]) -> dict[str, Tensor]:
    """The result, and the gradient of every input that has one and of every param."""
    given = [value.clone().requires_grad_(value.is_floating_point()) for value in inputs]
    leaves = {f"input {place}": value for place, value in enumerate(given) if value.requires_grad}
    y = module(*given)
    leaves |= dict(module.named_parameters())
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    found = torch.autograd.grad(y, list(leaves.values()), dy)
    return {"result": y.detach(), **dict(zip(leaves, found, strict=True))}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", CASES)
def test_layer_equals_transcription(name: str, dtype: torch.dtype, tolerance: float) -> None:
    ours, theirs, inputs = CASES[name]
    torch.manual_seed(0)
    with default_dtype(dtype):
        a, b, given = ours(), theirs(), inputs()
    stir(a)
    assert {k: v.shape for k, v in a.state_dict().items()} == {k: v.shape for k, v in b.state_dict().items()}
    copy_state(a, b, {})
    found, expected = gradients(a, given), gradients(b, given)
    assert found.keys() == expected.keys()
    for key, value in found.items():
        scale = max(1.0, float(expected[key].abs().max()))
        torch.testing.assert_close(value, expected[key], rtol=0, atol=tolerance * scale, msg=key)


@pytest.mark.parametrize("name", CASES)
def test_layer_has_first_and_second_derivatives(name: str) -> None:
    ours, _, inputs = CASES[name]
    torch.manual_seed(0)
    with default_dtype(torch.float64):
        module, given = ours(), inputs()
    stir(module)
    names = [key for key, _ in module.named_parameters()]
    values = [param.detach().clone().requires_grad_() for param in module.parameters()]

    def run(*params: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(module, dict(zip(names, params, strict=True)), tuple(given))
        return result

    assert torch.autograd.gradcheck(run, values, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, values, fast_mode=True)


def kappa(rho: Tensor) -> Tensor:
    """The mean of relu(a) relu(b) for standard normal a, b of correlation rho: the arc-cosine kernel."""
    angle = torch.arccos(rho.clamp(-1, 1))
    return (torch.sin(angle) + (math.pi - angle) * torch.cos(angle)) / (2 * math.pi)


def test_random_features_start_as_the_arc_cosine_kernel() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 8)
    layer = FEATURES.ReLUFeatures(8, 4, 200_000)
    assert layer.weight.min() >= 0 and layer.weight.square().sum(1).max() < 8 / 8 / 2  # kernels of the first weights
    with torch.no_grad():
        start = torch.randn(4, 8)
        layer.weight.copy_(torch.relu(start @ layer.direction.T) / math.sqrt(200_000))
    lengths = x.norm(dim=1)[:, None] * start.norm(dim=1)
    torch.testing.assert_close(layer(x), lengths * kappa(x @ start.T / lengths), rtol=0, atol=0.06)


def test_heads_of_random_feature_attention_have_the_papers_kernel() -> None:
    """The mean over heads of the products of features is (1 / N^2) sum of kappa(rho_ij) <x_i, x_j'>."""
    torch.manual_seed(0)
    d, n, m = 3, 4, 100_000
    layer = FEATURES.RandomFeatureAttention(d, m).double()
    unit = torch.nn.functional.normalize
    query, x = unit(torch.randn(2, d).double(), dim=-1), unit(torch.randn(2, n, d).double(), dim=-1)
    ones, key_ones = torch.ones(2, 1).double(), torch.ones(2, n, 1).double()
    q, key = torch.cat([query, ones], -1), torch.cat([x, key_ones], -1)
    with torch.no_grad():
        layer.head.copy_(0.5 * torch.randn(m, d + 1, d + 1).double())
    features_ = []
    for sample in range(2):
        y = layer(query[sample : sample + 1], x[sample : sample + 1])
        features_.append(torch.autograd.grad(y.sum(), layer.value)[0])
    found = (features_[0] * features_[1]).sum() / m
    rho = (q[0] @ q[1]) * (key[0] @ key[1].T) / 4
    expected = (kappa(rho) * (key[0] @ key[1].T)).mean()
    assert found.item() == pytest.approx(expected.item(), abs=0.02)


def test_rows_that_no_one_asks_for_have_no_gradient() -> None:
    layer = RECOMMEND.GMF(9, 7, 4)
    layer(*ids()).sum().backward()
    assert layer.user_embedding.grad is not None
    assert (layer.user_embedding.grad[[1, 2, 4, 5, 6, 7]] == 0).all()


def test_first_values_of_collaborative_filtering() -> None:
    """Embeddings of half the first width of the authors' layers=[64, 32, 16, 8], Glorot's and LeCun's distributions."""
    torch.manual_seed(0)
    layer = RECOMMEND.NeuMF(500, 400)
    tower = layer.tower
    assert tower.user_embedding.shape == (500, 32) and layer.user_factor.shape == (500, 8)
    assert [tuple(w.shape) for w in (tower.weight1, tower.weight2, tower.weight3)] == [(32, 64), (16, 32), (8, 16)]
    assert tower.user_embedding.std().item() == pytest.approx(0.01, rel=0.03)
    for weight, square in ((tower.weight1, 6 / 96), (tower.weight3, 6 / 24), (layer.weight, 3 / 16)):
        assert 0.8 < weight.abs().max().item() / math.sqrt(square) <= 1
    assert not any(bias.any() for bias in (tower.bias1, tower.bias2, tower.bias3, layer.bias))


def test_both_models_together_start_from_the_mean_of_the_two() -> None:
    """Section 3.4.1 with alpha = 1/2, as in the authors' code: trained parts, weights and biases halved."""
    torch.manual_seed(0)
    gmf, mlp, both = RECOMMEND.GMF(9, 7, 4), RECOMMEND.NeuralFiltering(9, 7, 8), RECOMMEND.NeuMF(9, 7, 4, 8)
    stir(gmf)
    stir(mlp)
    with torch.no_grad():
        both.user_factor.copy_(gmf.user_embedding)
        both.item_factor.copy_(gmf.item_embedding)
        both.tower.load_state_dict(mlp.tower.state_dict())
        both.weight.copy_(torch.cat([gmf.weight, mlp.weight]) / 2)
        both.bias.copy_((gmf.bias + mlp.bias) / 2)
    torch.testing.assert_close(both(*ids()), (gmf(*ids()) + mlp(*ids())) / 2)

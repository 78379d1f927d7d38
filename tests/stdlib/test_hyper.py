"""Layers with computed weights: two inputs against transcriptions that go sample by sample, and what the papers claim."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import archc
from tests.peers import hyper, packages, rbf
from tests.stdlib.modules import copy_state, default_dtype, stir

PAIRS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], tuple[tuple[int, ...], ...]]] = {
    "MIPLinear": (lambda: archc.load("std.hyper").MIPLinear(4, 3, 5), lambda: hyper.MIPLinear(4, 3, 5), ((6, 4), (6, 5))),
    "MIPLinear, more axes": (lambda: archc.load("std.hyper").MIPLinear(4, 3, 5), lambda: hyper.MIPLinear(4, 3, 5),
                             ((2, 3, 4), (2, 3, 5))),
    "MIPPerceptron": (lambda: archc.load("std.hyper").MIPPerceptron(2, 4, 3, 6), lambda: hyper.MIPPerceptron(2, 4, 3, 6),
                      ((5, 4), (5, 2))),
    "the usual hypernetwork": (lambda: archc.load("std.hyper", encoded=False, residual=False).MIPPerceptron(2, 4, 3, 6),
                               lambda: hyper.MIPPerceptron(2, 4, 3, 6, False), ((5, 4), (5, 2))),
}


def gradients(module: nn.Module, inputs: list[Tensor]) -> dict[str, Tensor]:
    """The result, and the gradient of every input and param."""
    leaves = [value.clone().requires_grad_() for value in inputs]
    y = module(*leaves)
    names, params = zip(*module.named_parameters(), strict=True)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    found = torch.autograd.grad(y, [*leaves, *params], dy)
    return {"result": y, **dict(zip([f"input {i}" for i in range(len(leaves))] + list(names), found, strict=True))}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", PAIRS)
def test_hypernetwork_equals_transcription(name: str, dtype: torch.dtype, tolerance: float) -> None:
    ours, theirs, shapes = PAIRS[name]
    torch.manual_seed(0)
    with default_dtype(dtype):
        a, b = ours(), theirs()
        inputs = [torch.rand(shape) for shape in shapes]
    stir(a)
    copy_state(a, b, {})
    found, expected = gradients(a, inputs), gradients(b, inputs)
    assert found.keys() == expected.keys()
    for key, value in found.items():
        scale = max(1.0, float(expected[key].detach().abs().max()))
        torch.testing.assert_close(value, expected[key], rtol=0, atol=tolerance * scale, msg=key)


@pytest.mark.parametrize("name", PAIRS)
def test_hypernetwork_has_first_and_second_derivatives(name: str) -> None:
    ours, _, shapes = PAIRS[name]
    torch.manual_seed(0)
    with default_dtype(torch.float64):
        module, inputs = ours(), [torch.rand(shape).requires_grad_() for shape in shapes]
    assert torch.autograd.gradcheck(module, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(module, inputs, fast_mode=True)


def test_the_code_of_any_input_has_the_same_length() -> None:
    from archc import api

    text = "import std.hyper\nlayer Outer() { forward(z[n, d]) -> [n, e = 2 * |d|] { return quarter_circle(z) } }"
    code = api.load_text(text, "outer.arch").Outer()(torch.rand(100, 3, dtype=torch.float64))
    torch.testing.assert_close(code.square().sum(-1), torch.full((100,), 3.0, dtype=torch.float64), rtol=0, atol=1e-12)


def test_first_values_of_the_hypernetwork() -> None:
    torch.manual_seed(0)
    layer = archc.load("std.hyper").MIPLinear(32, 48)
    gain = math.sqrt(2 / 1.0001)
    assert layer.weight.std().item() == pytest.approx(gain / math.sqrt(32), rel=0.05)
    assert layer.to_weight.std().item() == pytest.approx(gain / math.sqrt(32 * 48), rel=0.02)
    assert not layer.to_bias.any() and not layer.bias.any()
    assert not archc.load("std.hyper", residual=False).MIPLinear(32, 48).weight.any()
    trunk = archc.load("std.hyper").HyperTrunk(2)
    assert trunk.weight3.std().item() == pytest.approx(gain / math.sqrt(128), rel=0.05)


@pytest.mark.parametrize("encoded", [True, False])
def test_weights_of_the_usual_hypernetwork_grow_with_its_input(encoded: bool) -> None:
    """Without biases and code, what is computed is homogeneous: z / 10 gives a tenth of it. With the code its size stays."""
    torch.manual_seed(0)
    trunk = archc.load("std.hyper", encoded=encoded).HyperTrunk(2)
    z = torch.rand(1000, 2) * 0.9 + 0.1
    size, of_a_tenth = trunk(z).norm(dim=-1), trunk(z / 10).norm(dim=-1)
    if encoded:
        assert 0.5 < (of_a_tenth / size).min() and (of_a_tenth / size).max() < 2
    else:
        torch.testing.assert_close(of_a_tenth, size / 10)


@pytest.mark.parametrize("encoded", [True, False])
def test_hypernetwork_equals_hyperlight(encoded: bool) -> None:
    """The weights that the authors' package computes, used by torch; and the first values that it draws."""
    torch.manual_seed(0)
    ours = archc.load("std.hyper", encoded=encoded).MIPPerceptron(2, 32, 48, 24)
    shapes = {"first.weight": (24, 32), "first.bias": (24,), "last.weight": (48, 24), "last.bias": (48,)}
    peer = packages.hyperlight({"z": (2,)}, shapes, [16, 64, 128], "cos|sin" if encoded else None)
    drawn = torch.split(peer.backbone.output.weight, [math.prod(shape) for shape in shapes.values()])
    for rows, name in zip(drawn, shapes, strict=True):
        inner, _, kind = name.partition(".")
        first = getattr(getattr(ours, inner), f"to_{kind}")
        assert rows.std().item() == pytest.approx(first.std().item(), rel=0.05, abs=0)
    stir(ours)
    with torch.no_grad():
        for number in range(3):
            linear = getattr(peer.backbone, f"block{number}_lin")
            linear.weight.copy_(getattr(ours.trunk, f"weight{number + 1}"))
            linear.bias.copy_(getattr(ours.trunk, f"bias{number + 1}"))
        parts = [getattr(getattr(ours, inner), kind) for inner, kind in (name.split(".") for name in shapes)]
        heads = [getattr(getattr(ours, inner), f"to_{kind}") for inner, kind in (name.split(".") for name in shapes)]
        peer.backbone.output.bias.copy_(torch.cat([part.flatten() for part in parts]))
        peer.backbone.output.weight.copy_(torch.cat([head.reshape(-1, 128) for head in heads]))
    x, z = torch.randn(5, 32), torch.rand(5, 2)
    results = []
    for leaves in ([x.clone(), z.clone()], [x.clone(), z.clone()]):
        a, b = (leaf.requires_grad_() for leaf in leaves)
        if not results:
            y = ours(a, b)
        else:
            made = peer(z=b)
            hidden = torch.nn.functional.leaky_relu(torch.einsum("noi,ni->no", made["first.weight"], a) + made["first.bias"])
            y = torch.einsum("noi,ni->no", made["last.weight"], hidden) + made["last.bias"]
        results.append([y, *torch.autograd.grad(y.square().sum(), [a, b])])
    for mine, theirs in zip(*results, strict=True):
        assert (mine - theirs).abs().max() <= 1e-5 * max(1, theirs.abs().max().item())


def test_weight_normalisation_is_torchs() -> None:
    torch.manual_seed(0)
    layer = archc.load("std.hyper").WeightNormLinear(8, 3)
    torch.testing.assert_close(layer.length, layer.direction.norm(dim=1))
    peer = nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))
    stir(layer)
    with torch.no_grad():
        peer.parametrizations.weight.original0.copy_(layer.length[:, None])
        peer.parametrizations.weight.original1.copy_(layer.direction)
        peer.bias.copy_(layer.inner.bias)
    x = torch.randn(5, 8)
    torch.testing.assert_close(layer(x), peer(x), rtol=0, atol=1e-6)


def test_precision_and_penalties_of_the_radial_layer() -> None:
    torch.manual_seed(0)
    made = archc.load("std.rbf", learned=True).GaussianRBF
    layer = made(4, 2, 3, precision_penalty=0.1, centre_penalty=0.2, weight_penalty=0.3)
    reference = rbf.GaussianRBF(4, 2, 3, True)
    copy_state(layer, reference, {})
    torch.testing.assert_close(layer.precision(), reference.precision(), rtol=0, atol=1e-6)
    layer.penalties = []
    layer(torch.randn(5, 4))
    expected = {"precision": 0.1 * layer.packed.norm(), "weights": 0.3 * layer.weight.norm(),
                "centres": 0.2 * layer.centre.norm()}
    found = dict(layer.penalties)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name])


def test_centres_are_kept_and_not_learned_unless_asked_for() -> None:
    fixed = archc.load("std.rbf").GaussianRBF(4, 2, 3)
    assert "centre" in fixed.state_dict() and "centre" not in dict(fixed.named_parameters())
    assert "centre" in dict(archc.load("std.rbf", learned=True).GaussianRBF(4, 2, 3).named_parameters())

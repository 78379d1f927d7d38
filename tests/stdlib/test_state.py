"""What layers keep: names of the state, first values, buffers over several steps, dropout."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import archc
from archc.loaded import Namespace
from tests.stdlib.cases import CASES, Case
from tests.stdlib.modules import make


def std(name: str, **static: object) -> Namespace:
    return archc.load(f"std.{name}", **static)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_state_has_the_names_of_the_source(case: Case) -> None:
    ours, reference = make(case).state_dict(), case.reference().state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in reference.items()}


def test_linear_and_conv_take_the_state_of_torchs() -> None:
    std("linear").Linear(i=4, o=3).load_state_dict(nn.Linear(4, 3).state_dict())
    std("conv").Conv2d(c=4, o=3).load_state_dict(nn.Conv2d(4, 3, 3).state_dict())
    std("conv").ConvTranspose2d(c=4, o=3).load_state_dict(nn.ConvTranspose2d(4, 3, 2).state_dict())


def uniform(values: torch.Tensor, bound: float) -> None:
    assert values.abs().max() <= bound
    assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert abs(values.mean().item()) < 0.1 * bound


def test_first_values_of_linear_and_conv() -> None:
    torch.manual_seed(0)
    linear = std("linear").Linear(i=256, o=512)
    uniform(linear.weight, 1 / 16)
    uniform(linear.bias, 1 / 16)
    conv = std("conv").Conv2d(c=32, o=512)
    uniform(conv.weight, 1 / math.sqrt(32 * 9))
    uniform(conv.bias, 1 / math.sqrt(32 * 9))
    depthwise = std("conv").DepthwiseConv2d(c=512)
    uniform(depthwise.weight, 1 / 3)
    transposed = std("conv").ConvTranspose2d(c=64, o=64)
    uniform(transposed.weight, 1 / math.sqrt(64 * 4))
    patch = std("vision").PatchEmbed(channel=3, o=512, t=49)
    uniform(patch.weight, 1 / math.sqrt(3 * 16))


def test_first_values_of_kan() -> None:
    torch.manual_seed(0)
    kan = std("kan", grid=4).KAN(i=64, o=128)
    uniform(kan.base, 1 / 8)
    assert kan.coef.shape == (128, 64, 7)
    assert kan.coef.std().item() == pytest.approx(0.1 / 4, rel=0.02) and abs(kan.coef.mean().item()) < 1e-3


@pytest.mark.parametrize("name", ["BatchNorm2d", "LayerNorm", "GroupNorm", "EvoNormB0", "EvoNormS0"])
def test_first_values_of_norms(name: str) -> None:
    layer = getattr(std("norm"), name)(8)
    assert (layer.gamma == 1).all() and (layer.beta == 0).all()
    for key, value in layer.state_dict().items():
        if key in ("v", "running_var"):
            assert (value == 1).all()


def test_sub_layers_start_apart() -> None:
    torch.manual_seed(0)
    block = std("vision").TransformerBlock(c=8, heads=2)
    assert not torch.equal(block.feed.up.weight[:8], block.attention.out.weight)


def test_reset_parameters_draws_again() -> None:
    layer = std("linear").Linear(i=8, o=8)
    torch.manual_seed(3)
    layer.reset_parameters()
    first = layer.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(first, layer.weight)
    torch.manual_seed(3)
    layer.reset_parameters()
    assert torch.equal(first, layer.weight)


@pytest.mark.parametrize("name", ["BatchNorm2d", "EvoNormB0", "EvoNormB1", "EvoNormB2"])
def test_running_averages_move_in_training_only(name: str) -> None:
    layer = getattr(std("norm"), name)(channels=4, momentum=0.5)
    x = 3 + 2 * torch.randn(16, 4, 5, 5)
    layer.eval()(x)
    assert (layer.running_var == 1).all()
    layer.train()
    for _ in range(40):
        layer(x)
    torch.testing.assert_close(layer.running_var, x.var((0, 2, 3)), rtol=1e-4, atol=1e-4)
    if name == "BatchNorm2d":
        torch.testing.assert_close(layer.running_mean, x.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
    assert not layer.running_var.requires_grad


@pytest.mark.parametrize("name", ["BatchNorm2d", "EvoNormB0"])
def test_a_single_value_for_a_channel_can_be_trained_on(name: str) -> None:
    layer = getattr(std("norm"), name)(channels=4)
    x = torch.randn(1, 4, 1, 1, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all() and layer.running_var.isfinite().all()


def test_dropout_is_of_training_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer = std("linear").MLP(c=64, drop=0.25)
    x = torch.randn(512, 64)
    assert torch.equal(layer.eval()(x), layer(x))
    layer.train()
    a, b = layer(x), layer(x)
    assert not torch.equal(a, b)
    assert (a == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    torch.manual_seed(5)
    first = layer(x)
    torch.manual_seed(5)
    assert torch.equal(first, layer(x))


def test_no_dropout_by_default() -> None:
    layer = std("linear").MLP(c=8)
    x = torch.randn(3, 8)
    assert torch.equal(layer.train()(x), layer.train()(x))


@pytest.mark.parametrize("name", ["BatchNorm2d", "EvoNormB0", "EvoNormB1", "EvoNormB2"])
@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
def test_an_empty_batch_leaves_the_running_averages_as_they_are(name: str) -> None:
    layer = getattr(std("norm"), name)(channels=4)
    layer(torch.randn(8, 4, 3, 3))
    before = {key: value.clone() for key, value in layer.named_buffers()}
    x = torch.randn(0, 4, 3, 3, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.shape == x.shape and not layer.gamma.grad.any()
    assert all(torch.equal(value, before[key]) for key, value in layer.named_buffers())

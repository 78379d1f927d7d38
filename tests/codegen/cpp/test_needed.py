"""The backward computes the gradients that are asked for, and builds kernels of some of them when they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archc
from archc.runtime import native

pytestmark = pytest.mark.compiler


def module() -> nn.Module:
    torch.manual_seed(0)
    layer = archc.load("std.norm", backend="cpp").LayerNorm(c=12, dtype=torch.float64)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels that are called."""
    names: list[str] = []

    def noted(self: native.Functions, key: tuple[str, torch.dtype]) -> Any:
        names.append(key[0])
        return self.get(key) or self.__missing__(key)

    monkeypatch.setattr(native.Functions, "__getitem__", noted)
    return names


X = torch.linspace(-1, 3, 60, dtype=torch.float64).view(5, 12).sin()


def gradients(layer: nn.Module, x: Tensor) -> list[Tensor | None]:
    layer(x).pow(3).sum().backward()
    return [x.grad, *(parameter.grad for parameter in layer.parameters())]


@pytest.mark.parametrize(("by_x", "by_params", "kernel"), [
    (True, True, "layer_norm_derivative_kernel"), (True, False, "layer_norm_derivative_by_x_kernel"),
    (False, True, "layer_norm_derivative_by_gamma_beta_kernel")])
def test_only_what_is_asked_for(called: list[str], by_x: bool, by_params: bool, kernel: str) -> None:
    whole = gradients(module(), X.clone().requires_grad_())
    called.clear()
    layer = module().requires_grad_(by_params)
    found = gradients(layer, X.clone().requires_grad_(by_x))
    assert called == ["layer_norm_kernel", kernel]
    for mine, other, asked in zip(found, whole, (by_x, by_params, by_params), strict=True):
        if asked:
            torch.testing.assert_close(mine, other)
        else:
            assert mine is None


def test_one_param_frozen(called: list[str]) -> None:
    whole = gradients(module(), X.clone().requires_grad_())
    layer = module()
    next(layer.parameters()).requires_grad_(False)
    found = gradients(layer, X.clone().requires_grad_())
    assert found[1] is None
    torch.testing.assert_close([found[0], found[2]], [whole[0], whole[2]])


def test_nothing_asked_for_saves_nothing(called: list[str]) -> None:
    layer = module()
    with torch.no_grad():
        assert layer(X).grad_fn is None
    assert layer.requires_grad_(False)(X).grad_fn is None
    assert set(called) == {"layer_norm_kernel"}


def test_a_kernel_of_some_gradients_reads_and_writes_less() -> None:
    files = archc.api.emitted(archc.api.open_program("std.norm"), ["LayerNorm"], {}, ("torch", "cpp"))
    _, *parts = native.RULE.split(files["kernels.cpp"])
    texts = dict(zip(parts[::3], parts[2::3], strict=True))
    seldom = {part_name for part_name, mark in zip(parts[::3], parts[1::3], strict=True) if mark}
    by_x, by_params = "layer_norm_derivative_by_x_kernel", "layer_norm_derivative_by_gamma_beta_kernel"
    assert seldom == {by_x, by_params}
    assert "_parts" not in texts[by_x]  # nothing is added up over rows
    assert "restrict gamma" not in texts[by_params].split(") {")[0]
    assert "d_x" not in texts[by_params]


def test_kernels_of_some_gradients_are_built_when_asked_for(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHC_CACHE", str(tmp_path))
    text = archc.api.emitted(archc.api.open_program("std.norm"), ["LayerNorm"], {}, ("torch", "cpp"))["kernels.cpp"]
    monkeypatch.setitem(native.SOURCES, "anew", text)
    kernels = native.Kernels("anew")
    assert kernels.fit(X)
    assert sorted(kernels.parts) == ["layer_norm_derivative_kernel_float64", "layer_norm_kernel_float64"]
    assert kernels.functions["layer_norm_derivative_by_x_kernel", torch.float64]
    assert "layer_norm_derivative_by_x_kernel_float64" in kernels.parts

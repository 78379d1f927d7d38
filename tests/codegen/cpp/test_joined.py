"""Sub-layers that kernels of the layer around them compute: one kernel, the same values, state and gradients, and a call of the
sub-layer as before wherever somebody could see the difference."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import archc
from archc import api
from archc.loaded import Namespace

pytestmark = pytest.mark.compiler

TEXT = "\n".join(f"""
layer {name}(c: axis, eps: float = 0.01) {{{{
    before = {norm}(c=c, eps=eps)
    after = {norm}(c=c)
    forward(x[n, c, t]) -> like x {{{{ return {body} }}}}
}}}}""".format() for name, norm, body in [("Ended", "Centred", "silu(after(x * tanh(before(x))))"),
                                            ("Apart", "Centred", "after(x)")]) + """
layer Centred(c: axis, eps: float = 1e-3) {
    param gain[c] = 1
    buffer seen[c] = 0
    forward(x[n, c, t]) -> like x {
        when training { update seen = seen + mean[n, t](x) }
        return (x - mean[c](x)) / sqrt(var[c](x) + eps) * gain - seen
    }
}
"""


@cache
def layers() -> Namespace:
    return Namespace(api.open_text(TEXT, "joined.arch"), "joined", {}, ("torch", "cpp"))


def made() -> nn.Module:
    torch.manual_seed(0)
    layer: nn.Module = layers().Ended(c=5).double()
    with torch.no_grad():
        for tensor in layer.state_dict().values():
            tensor += 0.1 * torch.randn_like(tensor)
    return layer


def by_hand(layer: nn.Module, x: Tensor) -> Tensor:
    def norm(x: Tensor, of: Any, eps: float) -> Tensor:
        return F.layer_norm(x.mT, (5,), of.gain, -of.seen, eps).mT

    return F.silu(norm(x * torch.tanh(norm(x, layer.before, 0.01)), layer.after, 1e-3))


def calls(layer: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sub-layers that are called as modules, as they are."""
    found: list[str] = []
    kind = type(layer.after)
    forward = kind.forward

    def spy(self: nn.Module, x: Tensor) -> Tensor:
        found.append(next(name for name, child in layer.named_children() if child is self))
        return forward(self, x)  # type: ignore[no-any-return]

    monkeypatch.setattr(kind, "forward", spy)
    return found


X = torch.randn(3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("training", [True, False])
def test_one_kernel_with_the_same_values_state_and_gradients(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = made().train(training)
    other = copy.deepcopy(layer)
    assert list(layer.state_dict()) == ["before.gain", "before.seen", "after.gain", "after.seen"]
    x, z = (X.clone().requires_grad_() for _ in range(2))
    seen = calls(layer, monkeypatch)
    y, right = layer(x), by_hand(other, z)
    assert not seen
    torch.testing.assert_close(y, right)
    for total in (y.sin().sum(), right.sin().sum()):
        total.backward()
    torch.testing.assert_close(x.grad, z.grad)
    for mine, theirs in zip(layer.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)
    added = [after.seen - before.seen for after, before in zip(layer.children(), other.children(), strict=True)]
    torch.testing.assert_close(added[0], X.mean((0, 2)) * training)
    assert torch.autograd.gradgradcheck(layer.eval(), (X.clone().requires_grad_(),), fast_mode=True)


def hooked(layer: nn.Module) -> None:
    layer.after.register_forward_hook(lambda module, args, result: 2 * result)


def frozen(layer: nn.Module) -> None:
    layer.before.eval()


def other_eps(layer: nn.Module) -> None:
    layer.after.eps = 0.5


def replaced(layer: nn.Module) -> None:
    layer.after = nn.Identity()


def bound(layer: nn.Module) -> None:
    layer.after.forward = lambda x: x + 1


WATCHED: dict[Callable[[nn.Module], None], Callable[[nn.Module, Tensor], Tensor]] = {
    hooked: lambda layer, y: F.silu(2 * layer.after.forward(y)), frozen: lambda layer, y: F.silu(layer.after.forward(y)),
    other_eps: lambda layer, y: F.silu(layer.after.forward(y)), replaced: lambda layer, y: F.silu(y),
    bound: lambda layer, y: F.silu(y + 1)}


@pytest.mark.parametrize("change", WATCHED)
def test_whoever_watches_or_changes_a_sub_layer_sees_its_call(change: Callable[[nn.Module], None]) -> None:
    layer = made().train()
    change(layer)
    other = copy.deepcopy(layer)
    assert change is frozen or change(other) is None
    y = X * torch.tanh(other.before(X))
    torch.testing.assert_close(layer(X), WATCHED[change](other, y))
    torch.testing.assert_close(dict(layer.named_buffers()), dict(other.named_buffers()))


def test_compiled_exported_and_functional() -> None:
    layer = made().eval()
    right = layer(X)
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(X), right)
    exported = torch.export.export(layer, (X,))
    torch.testing.assert_close(exported.module()(X), right)
    state = {name: 2 * value for name, value in layer.state_dict().items()}
    given = torch.func.functional_call(layer, state, (X,))
    layer.load_state_dict(state)
    torch.testing.assert_close(given, layer(X))


def test_a_sub_layer_alone_stays_a_call() -> None:
    text = api.emitted(api.open_text(TEXT, "joined.arch"), ["Apart"], {}, ("torch", "cpp"))["modules.py"]
    assert "unwatched" not in text


def test_kernels_of_calls_that_nobody_makes_are_built_when_they_are_first_called() -> None:
    text = api.emitted(api.open_text(TEXT, "joined.arch"), ["Ended"], {}, ("torch", "cpp"))["kernels.cpp"]
    kernels = re.findall(r"^// -+ (\w+)(, built when.*)?$", text, re.MULTILINE)
    assert {name.split("_")[0].rstrip("2") for name, rare in kernels if not rare} == {"ended"}


def test_names_of_groups_that_differ_by_a_line_are_two_classes() -> None:
    text = archc.api.files_of("std.vision", targets=("torch", "cpp"), layers=["DownsampleBlock"])["modules.py"]
    classes = re.findall(r"^class (\w+)", text, re.MULTILINE)
    assert len(classes) == len(set(classes))

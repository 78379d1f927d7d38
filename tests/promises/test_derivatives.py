"""Derivatives are a contract: every operation has one or is refused where a gradient is needed; second order; never wrong."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from archc import api
from archc.diagnostics.model import ArchError
from archc.ops.table import OPS
from tests.promises.programs import codes, layer

STEPS = {"sign", "floor", "ceil", "round", "detach"}
"""Operations whose derivative is 0 wherever they have one."""
ELEMENTWISE = sorted(name for name, row in OPS.items() if row.form == "elementwise" and row.dtypes == "ff" and row.language != "")
OVER_AXES = sorted(name for name, row in OPS.items() if row.form in ("reduce", "normalise") and row.dtypes[-1] in "fn"
                   and row.dtypes[0] in "fn" and row.language != "")  # fmt: skip


def inside(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Numbers where an operation has a derivative, no two equal."""
    low, high = OPS[name].domain or (-2.0, 2.0)
    low, high = max(low, -2.0), min(high, 3.0)
    count = int(torch.tensor(shape).prod())
    at = torch.linspace(low, high, count + 2, dtype=torch.float64)[1:-1] + 0.0123
    return at[torch.randperm(count, generator=torch.Generator().manual_seed(0))].clamp(low, high).reshape(shape).requires_grad_()


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_every_operation_on_elements_has_a_derivative(name: str) -> None:
    module, x = layer(f"return {OPS[name].language or name}(x)", "x[n]", "like x"), inside(name, (7,))
    if name in STEPS:
        (found,) = torch.autograd.grad(module(x).sum() + 0 * x.sum(), x)
        assert (found == 0).all()
        return
    assert gradcheck(module, (x,)) and gradgradcheck(module, (x,))


@pytest.mark.parametrize("name", OVER_AXES)
def test_every_operation_over_axes_has_a_derivative(name: str) -> None:
    keeps = OPS[name].form == "normalise"
    module = layer(f"return {OPS[name].language or name}[c](x)", result="[n, c]" if keeps else "[n]")
    x = inside(name, (2, 4))
    assert gradcheck(module, (x,)) and gradgradcheck(module, (x,))


@pytest.mark.parametrize("body", ["float(argmax[c](x))", "sum[c](float(argsort[c](x)))"])
def test_what_gives_whole_numbers_has_none_and_hides_none(body: str) -> None:
    module, x = layer(f"return {body} * mean[c](x)"), torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    y = module(x)
    (found,) = torch.autograd.grad(y.sum(), x)
    (wanted,) = torch.autograd.grad((y.detach() / x.detach().mean(1) * x.mean(1)).sum(), x)
    assert torch.allclose(found, wanted)


def test_a_derivative_that_is_not_stated_is_refused_where_it_is_needed() -> None:
    text = "fn scaled(x, gain) grad(dy) { x: dy * gain } { return x * gain }\n\n"
    text += "layer A(c: axis) {\n    param gain[c] = 1\n    forward(x[n, c]) -> like x { return scaled(x, gain) }\n}\n"
    module = api.load_text(text, "a.arch").A(c=2)
    x = torch.ones(3, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="gain"):
        module(x).sum().backward()
    module.gain.requires_grad_(False)
    module(x).sum().backward()
    assert torch.equal(x.grad, torch.ones(3, 2))  # type: ignore[arg-type]
    from archc.passes.gradient import gradient

    path = api.open_text(text, "a.arch")
    from archc.ir.lower import lower_graph

    with pytest.raises(ArchError, match="no derivative"):
        gradient(lower_graph(api.unit(path, "A"), "forward", "train"))


def test_jvp_and_second_order_agree_with_torch() -> None:
    module = layer("return softmax[c](x^2) * sigmoid(x[c = c - 1 wrap])", result="[n, c]")
    x, t = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)

    def by_hand(x: torch.Tensor) -> torch.Tensor:
        return (x**2).softmax(1) * x.roll(1, 1).sigmoid()

    for mine, theirs in zip(torch.func.jvp(module, (x,), (t,)), torch.func.jvp(by_hand, (x,), (t,)), strict=True):
        assert torch.allclose(mine, theirs)
    mine, theirs = (torch.func.hessian(lambda x, f=f: f(x).square().sum())(x) for f in (module, by_hand))
    assert torch.allclose(mine, theirs)


def test_a_surrogate_says_that_it_differs() -> None:
    sign = "fn binary(x) surrogate grad(dy) { x: dy * where(abs(x) <= 1, 1, 0) } { return sign(x) }"
    assert codes(sign) == []
    module, x = layer("return binary(x)", "x[n]", "[n]", sign), torch.tensor([-2.0, -0.5, 0.5], requires_grad=True)
    module(x).sum().backward()
    assert torch.equal(x.grad, torch.tensor([0.0, 1.0, 1.0]))  # type: ignore[arg-type]

"""Functions of the standard library as emitted torch code, inside layers that only call them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archc import api
from tests.peers.attention import attend
from tests.stdlib.test_functions import ACTIVATIONS, LOSSES, POINTS, SHAPES, design


def layer(text: str) -> nn.Module:
    """The layer Fn of a text."""
    made: nn.Module = api.load_text(text, "functions.arch").Fn()
    return made


def pointwise(call: str) -> nn.Module:
    return layer(f"import std.activation\nlayer Fn() {{ forward(x[...]) -> like x {{ return {call} }} }}")


@pytest.mark.parametrize("call", ACTIVATIONS)
def test_activation_and_its_derivatives_equal_torch(call: str) -> None:
    ours = pointwise(call)
    torch.manual_seed(0)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        x = torch.cat([torch.tensor(POINTS), 3 * torch.randn(200)]).to(dtype).requires_grad_()
        y, expected = ours(x), ACTIVATIONS[call](x)
        dy = torch.randn_like(y)
        torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)
        (mine,), (theirs,) = torch.autograd.grad(y, x, dy), torch.autograd.grad(expected, x, dy)
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)
    smooth = (torch.randn(20, dtype=torch.float64) * 2 + 0.0123).requires_grad_()
    assert torch.autograd.gradcheck(ours, smooth) and torch.autograd.gradgradcheck(ours, smooth)


@pytest.mark.parametrize("call", ACTIVATIONS)
def test_activation_of_large_numbers_is_finite_and_so_is_its_derivative(call: str) -> None:
    x = torch.tensor([1e3, -1e3, 1e8, -1e8], requires_grad=True)
    y = pointwise(call)(x)
    y.sum().backward()
    assert y.isfinite().all() and x.grad is not None and x.grad.isfinite().all()


@pytest.mark.parametrize("call", LOSSES)
def test_loss_and_its_gradient_equal_torch(call: str) -> None:
    prediction, target, torchs, make = LOSSES[call]
    ours = layer(f"import std.loss\nlayer Fn() {{ forward(y{prediction}, target{target}) -> [] {{ return {call} }} }}")
    torch.manual_seed(1)
    shape = SHAPES[prediction]
    y = (2 * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    t = make(torch.randn(shape, dtype=torch.float64))
    loss, expected = ours(y, t), torchs(y, t)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad(loss, y)[0], torch.autograd.grad(expected, y)[0], rtol=1e-11, atol=1e-12)
    assert torch.autograd.gradcheck(lambda v: ours(v, t), y) and torch.autograd.gradgradcheck(lambda v: ours(v, t), y)


def test_cross_entropy_refuses_a_class_that_is_not_there() -> None:
    ours = layer("import std.loss\nlayer Fn() { forward(y[n, classes], t[n]: int) -> [] { return cross_entropy(y, t) } }")
    for wrong in (3, -1):
        with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
            ours(torch.randn(2, 3), torch.tensor([0, wrong]))


@pytest.mark.parametrize("order", range(6))
def test_bspline_equals_scipy_in_float32(order: int) -> None:
    body = f"axis k = {5 + order}\nforward(x[n]) -> [n, k] {{ return bspline(x, k, 5, {order}) }}"
    ours = layer(f"import std.kan\nlayer Fn() {{ {body} }}")
    x = torch.rand(2000) * 6 - 3
    if order == 0:
        x = x[((x + 1) * 2.5 - ((x + 1) * 2.5).round()).abs() > 1e-4]
    assert (ours(x) - torch.from_numpy(design(x.double().numpy(), 5, order))).abs().max() < 1e-6


ATTEND = "q[..., t, d], k[..., s, d], v[..., s, e]"


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("t", "s"), [(5, 5), (3, 7), (7, 3), (1, 1)])
def test_attend_equals_transcription(causal: bool, t: int, s: int) -> None:
    word = "true" if causal else "false"
    ours = layer(f"import std.attention\nlayer Fn() {{ forward({ATTEND}) -> [..., t, e] {{ return attend(q, k, v, {word}) }} }}")
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, *shape, dtype=torch.float64, requires_grad=True) for shape in ((t, 4), (s, 4), (s, 6)))
    y, expected = ours(q, k, v), attend(q, k, v, causal)
    dy = torch.randn_like(y)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    for mine, theirs in zip(torch.autograd.grad(y, (q, k, v), dy), torch.autograd.grad(expected, (q, k, v), dy), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(ours, (q, k, v), fast_mode=True)
    assert torch.autograd.gradgradcheck(ours, (q, k, v), fast_mode=True)


def test_attend_is_causal_by_default() -> None:
    ours = layer(f"import std.attention\nlayer Fn() {{ forward({ATTEND}) -> [..., t, e] {{ return attend(q, k, v) }} }}")
    q, k, v = (torch.randn(2, 5, 4) for _ in range(3))
    torch.testing.assert_close(ours(q, k, v), F.scaled_dot_product_attention(q, k, v, is_causal=True))


def test_a_query_that_sees_nothing_gives_zero_with_zero_gradient() -> None:
    ours = layer(f"import std.attention\nlayer Fn() {{ forward({ATTEND}, keep[t, s]: bool) -> [..., t, e] "
                 "{ return attend_masked(q, k, v, keep) } }")
    q, k, v = (torch.randn(2, n, 4, dtype=torch.float64, requires_grad=True) for n in (5, 6, 6))
    keep = torch.rand(5, 6) > 0.4
    keep[2] = False
    y, expected = ours(q, k, v, keep), attend(q, k, v, False, keep)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    assert (y[:, 2] == 0).all()
    dy = torch.randn_like(y)
    for mine, theirs in zip(torch.autograd.grad(y, (q, k, v), dy), torch.autograd.grad(expected, (q, k, v), dy), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    assert (torch.autograd.grad(ours(q, k, v, keep), q, dy)[0][:, 2] == 0).all()


POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "max_pool2d(x)": lambda x: F.max_pool2d(x, 2),
    "max_pool2d(x, 3, 2)": lambda x: F.max_pool2d(x, 3, 2),
    "max_pool2d(x, 2, 3)": lambda x: F.max_pool2d(x, 2, 3),
    "avg_pool2d(x)": lambda x: F.avg_pool2d(x, 2),
    "avg_pool2d(x, 3, 1)": lambda x: F.avg_pool2d(x, 3, 1),
}


@pytest.mark.parametrize("call", POOLS)
def test_pool_equals_torch(call: str) -> None:
    size = {"max_pool2d(x)": (2, 2), "avg_pool2d(x)": (2, 2)}.get(call) or tuple(int(c) for c in call if c.isdigit())[1:]
    sizes = ", ".join(f"{axis} = (|{of}| - {size[0]}) // {size[1]} + 1" for axis, of in (("u", "h"), ("v", "w")))
    ours = layer(f"import std.conv\nlayer Fn() {{ forward(x[n, c, h, w]) -> [n, c, {sizes}] {{ return {call} }} }}")
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64, requires_grad=True)
    y, expected = ours(x), POOLS[call](x)
    dy = torch.randn_like(expected)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(torch.autograd.grad(y, x, dy), torch.autograd.grad(expected, x, dy), rtol=0, atol=1e-13)


def test_global_pool_and_glu() -> None:
    pool = layer("import std.conv\nlayer Fn() { forward(x[n, c, h, w]) -> [n, c] { return global_avg_pool2d(x) } }")
    x = torch.randn(2, 3, 9, 8)
    torch.testing.assert_close(pool(x), x.mean((2, 3)))
    gate = layer("import std.activation\nlayer Fn() { forward(x[..., (half=2 k)=c]) -> [..., k] { return glu(x) } }")
    torch.testing.assert_close(gate(x), F.glu(x))
    assert math.isclose(float(gate(torch.zeros(2)).sum()), 0)

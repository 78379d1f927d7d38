"""Numerics are stated: one test a sentence, against torch or numpy in float64, forward and every gradient."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

import archc
from archc import api
from tests.promises.programs import layer

HALF = [torch.bfloat16, torch.float16]


def gradient(module: Callable[..., Tensor], *inputs: Tensor, weight: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
    """A result, and the gradients of its weighted sum by every input of floats."""
    leaves = [x.detach().clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    y = module(*leaves)
    (y * (torch.ones_like(y) if weight is None else weight)).sum().backward()
    return y.detach(), [x.grad for x in leaves if x.grad is not None]


# -- half types compute and accumulate in float32 --------------------------------------------------------------------------
ACCUMULATING = {
    "sum[c](x)": "[n]", "mean[c](x)": "[n]", "prod[c](x)": "[n]", "var[c](x)": "[n]", "std[c](x)": "[n]",
    "logsumexp[c](x)": "[n]", "softmax[c](x)": "[n, c]", "log_softmax[c](x)": "[n, c]", "cumsum[c](x)": "[n, c]",
    "cumprod[c](x)": "[n, c]",
    "sum[c](x * x)": "[n]", "sum[c](x * x[n = k])": "[n, k = |n|]", "mean[c](x^2)": "[n]",
}  # fmt: skip


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("expression", ACCUMULATING)
def test_half_types_accumulate_in_float32(expression: str, dtype: torch.dtype) -> None:
    """2,000 terms cost no more than the terms' own rounding: the result is the exact one of the rounded terms, rounded once."""
    module = layer(f"return {expression}", result=ACCUMULATING[expression])
    x = torch.rand(3, 2000, generator=torch.Generator().manual_seed(1))
    x = (0.99 + 0.02 * x if "prod" in expression else x).to(dtype)
    found, exact = module(x), module(x.double())
    assert found.dtype == dtype
    terms = expression in ("sum[c](x * x)", "mean[c](x^2)")  # each term is rounded before it is added
    allowed = (0.75 + 0.5 * terms) * torch.finfo(dtype).eps * exact.abs()
    assert ((found.double() - exact).abs() <= allowed + 1e-7).all(), float((found.double() - exact).abs().max())


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_half_types_carry_a_state_in_float32(dtype: torch.dtype) -> None:
    """A sum of 4,000 small numbers, one a step: in a half type it would stop growing."""
    before = "fn total(x[n, c]) -> (y[n, c], last[n]) {\n    scan c {\n        state s[n] = 0\n        s = s + x\n"
    before += "        yield y = s\n        finally last = s\n    }\n}\n"
    module = layer("y, last = total(x)\n        return last", before=before)
    x = torch.full((2, 4000), 0.01).to(dtype)
    found, grads = gradient(module, x)
    assert found.dtype == dtype and torch.allclose(found.double(), x.double().sum(1), rtol=torch.finfo(dtype).eps)
    assert (grads[0] == 1).all() and grads[0].dtype == dtype


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_half_types_compute_in_float32(dtype: torch.dtype) -> None:
    """Every operation on its own gives the exact result of its operands, rounded once."""
    x = torch.linspace(0.1, 0.9, 201).to(dtype)
    names = ["exp", "log", "sqrt", "sin", "tan", "asin", "atan", "sinh", "tanh", "erf", "sigmoid", "silu", "gelu", "softplus"]
    for name in names:
        module = layer(f"return {name}(x)", "x[n]", "like x")
        found, exact = module(x), module(x.double())
        assert ((found.double() - exact).abs() <= 0.51 * torch.finfo(dtype).eps * exact.abs() + 1e-7).all(), name


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_a_layer_in_half_types_is_near_the_exact_one(dtype: torch.dtype) -> None:
    for source, name, shape, arguments in [
        ("std.norm", "EvoNormS0", (2, 32, 5, 5), {"channels": 32}), ("std.norm", "RMSNorm", (4, 64), {"c": 64}),
        ("std.attention", "SelfAttention", (2, 9, 32), {"c": 32}), ("std.kan", "KAN", (6, 24), {"i": 24, "o": 8}),
    ]:  # fmt: skip
        torch.manual_seed(0)
        module = getattr(api.load(source), name)(**arguments).to(dtype)
        x = torch.randn(shape).to(dtype)
        exact, wanted = gradient(copy.deepcopy(module).double(), x.double())
        found, grads = gradient(module, x)
        for mine, theirs in zip((found, *grads), (exact, *wanted), strict=True):
            assert (mine.double() - theirs).abs().max() <= 12 * torch.finfo(dtype).eps * theirs.abs().max(), name


def test_under_autocast_params_stay_float32_and_gradients_are_near() -> None:
    for source, name, shape, arguments in [
        ("std.linear", "MLP", (5, 16), {"c": 16}), ("std.attention", "SelfAttention", (2, 9, 32), {"c": 32}),
        ("std.kan", "KAN", (6, 24), {"i": 24, "o": 8}), ("std.norm", "LayerNorm", (4, 64), {"c": 64}),
    ]:  # fmt: skip
        torch.manual_seed(0)
        module, x = getattr(api.load(source), name)(**arguments), torch.randn(shape)
        exact, wanted = gradient(module, x)
        params = {key: p.grad.clone() for key, p in module.named_parameters() if p.grad is not None}
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            found, grads = gradient(module, x)
        pairs = [(found, exact), *zip(grads, wanted, strict=True)]
        pairs += [(p.grad, params[key]) for key, p in module.named_parameters() if p.grad is not None]
        assert all(p.dtype == torch.float32 for p in module.parameters()) and len(pairs) == 2 + len(params)
        for mine, theirs in pairs:
            assert (mine.float() - theirs).abs().max() <= 0.05 * theirs.abs().max(), name


# -- variance is two-pass or shifted ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("op, reference", [("var", np.var), ("std", np.std)])
@pytest.mark.parametrize("mean", [1e4, -1e4])
def test_variance_is_never_a_difference_of_squares(op: str, reference: Callable[..., object], mean: float) -> None:
    """At a mean of 1e4 and a spread of 1, E[x^2] - E[x]^2 has no right digit in float32."""
    for over, axis in (("c", 1), ("n", 0), ("n, c", (0, 1))):
        module = layer(f"return {op}[{over}](x)", result={"c": "[n]", "n": "[c]"}.get(over, "[]"))
        x = (mean + torch.randn(40, 50, generator=torch.Generator().manual_seed(0))).float()
        found, grads = gradient(module, x)
        exact = x.double()
        assert np.allclose(found, reference(exact.numpy(), axis=axis), rtol=1e-4)
        twin = exact.clone().requires_grad_()
        spread = twin.var(axis, correction=0) if op == "var" else twin.std(axis, correction=0)
        spread.sum().backward()
        assert torch.allclose(grads[0].double(), twin.grad, rtol=1e-2, atol=1e-3 * float(twin.grad.abs().max()))  # type: ignore[union-attr, arg-type]


# -- a fully masked row ----------------------------------------------------------------------------------------------------
KEEP = torch.tensor([[True, False, True, True], [False, False, False, False], [True, True, True, True]])


def test_a_fully_masked_softmax_row_gives_0_with_zero_gradient() -> None:
    module = layer("return softmax[c](where(keep, x, -inf))", "x[n, c], keep[n, c]: bool", "[n, c]")
    x = torch.randn(3, 4, dtype=torch.float64)
    weight = torch.randn(3, 4, dtype=torch.float64)
    found, grads = gradient(module, x, KEEP, weight=weight)
    live = x.clone().requires_grad_()
    wanted = torch.where(KEEP, live, -inf)[[0, 2]].softmax(1)
    (wanted * weight[[0, 2]]).sum().backward()
    assert (found[1] == 0).all() and (grads[0][1] == 0).all()
    assert torch.allclose(found[[0, 2]], wanted.detach()) and torch.allclose(grads[0], live.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("attend", ["sum[s](softmax[s](where(keep, sum[d](q * k), -inf)) * v)", "masked(q, k, v, keep)"])
def test_a_query_without_a_key_gives_0_with_zero_gradient(attend: str) -> None:
    before = "fn masked(q[t, d], k[s, d], v[s, e], keep[t, s]: bool) -> [t, e] {\n    score = sum[d](q * k) / sqrt(|d|)\n"
    before += "    return sum[s](softmax[s](where(keep, score, -inf)) * v)\n}\n"
    module = layer(f"return {attend}", "q[t, d], k[s, d], v[s, e], keep[t, s]: bool", "[t, e]", before)
    q, k, v = (torch.randn(rows, 5, dtype=torch.float64) for rows in (3, 4, 4))
    found, grads = gradient(module, q, k, v, KEEP)
    assert (found[1] == 0).all() and (grads[0][1] == 0).all()
    assert all(grad.isfinite().all() and grad.abs().sum() > 0 for grad in grads)
    alone, _ = gradient(module, q, k, v, torch.zeros(3, 4, dtype=torch.bool))
    assert (alone == 0).all()


def test_a_fully_masked_logsumexp_and_log_softmax_have_no_nan_gradient() -> None:
    for op, result in (("logsumexp", "[n]"), ("softmax", "[n, c]")):
        module = layer(f"return {op}[c](where(keep, x, -inf))", "x[n, c], keep[n, c]: bool", result)
        _, grads = gradient(module, torch.randn(3, 4), KEEP)
        assert grads[0].isfinite().all() and (grads[0][1] == 0).all()


# -- where -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("bad, at", [
    ("log(x)", -1.0), ("log(x)", 0.0), ("sqrt(x)", 0.0), ("sqrt(x)", -1.0), ("1 / x", 0.0), ("x^-1.5", 0.0), ("acos(1 - x)", 0.0),
    ("exp(1000 - 2000 * x)", 0.0), ("sqrt(sum[k](x * u))", 0.0), ("log(1 - exp(x))", 0.0), ("x / sqrt(x^2)", 0.0),
])  # fmt: skip
def test_the_gradient_of_where_never_multiplies_a_nan_by_0(bad: str, at: float) -> None:
    """The branch that is not taken may be nan or infinite, with any derivative: what comes out is the other branch's."""
    module = layer(f"return where(x > 0.5, {bad}, 3 * x)", "x[n], u[k]", "[n]")
    x, u = torch.tensor([at, 0.75], dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    leaf, other = x.clone().requires_grad_(), u.clone().requires_grad_()
    module(leaf, other).sum().backward()
    assert leaf.grad is not None and leaf.grad[0] == 3 and leaf.grad.isfinite().all()
    assert other.grad is None or other.grad.isfinite().all()


@pytest.mark.parametrize("backend", ["torch", pytest.param("cpp", marks=pytest.mark.compiler)])
@pytest.mark.parametrize("bad, at", [
    ("s + log(x)", 0.0), ("s * exp(1000 - 2000 * x)", 0.0), ("s / x", 0.0), ("s * sqrt(x)", -1.0), ("log(s) + sqrt(x)", 0.0),
])  # fmt: skip
def test_the_same_in_a_loop(bad: str, at: float, backend: Literal["torch", "cpp"], tmp_path: Path) -> None:
    """Where a part of the branch is worked out before the loop, too: the steps that do not take it leave the state."""
    body = f"scan t {{\n state s[n] = 2\n s = where(x > 0.5, {bad}, s)\n yield y = s\n}}\nreturn y"
    (tmp_path / "loop.arch").write_text(f"layer Loop() {{\nforward(x[n, t]) -> [n, t] {{\n{body}\n}}\n}}\n")
    module = archc.load(tmp_path / "loop.arch", backend=backend).Loop()
    x = torch.tensor([[at, 0.75, at], [at, at, at]], dtype=torch.float64, requires_grad=True)
    y = module(x)
    (grad,) = torch.autograd.grad(y.sum(), x)
    alone = module(x[:1, 1:2])
    (expected,) = torch.autograd.grad(2 * alone.sum(), x)
    after = alone.item()
    assert y.tolist() == [[2, after, after], [2, 2, 2]]
    torch.testing.assert_close(grad, expected, rtol=1e-12, atol=0)
    assert grad[0, 1] != 0 and (grad[:, [0, 2]] == 0).all() and (grad[1] == 0).all()


def test_the_same_of_the_derivative_of_a_derivative() -> None:
    module = layer("return where(x > 0.5, log(x), x^3)", "x[n]", "[n]")
    x = torch.tensor([0.0, 2.0], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert first.tolist() == [0.0, 0.5] and second.tolist() == [0.0, -0.25]


# -- sizes 0 and 1 ---------------------------------------------------------------------------------------------------------
OVER_NOTHING = {
    "sum": 0.0, "prod": 1.0, "mean": nan, "var": nan, "std": nan, "logsumexp": -inf, "any": False, "all": True,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("op", [*OVER_NOTHING, "max", "min", "argmax"])
def test_every_reduction_over_nothing(op: str) -> None:
    truth = op in ("any", "all")
    module = layer(f"return {op}[c](x)", "x[n, c]: bool" if truth else "x[n, c]", "[n]")
    empty = torch.zeros(2, 0, dtype=torch.bool) if truth else torch.zeros(2, 0, dtype=torch.float64)
    if op not in OVER_NOTHING:
        with pytest.raises((ValueError, IndexError, RuntimeError)):
            module(empty)
        return
    found, grads = gradient(module, empty) if not truth else (module(empty), [])
    assert found.shape == (2,) and np.array_equal(found.numpy(), np.full(2, OVER_NOTHING[op]), equal_nan=True)
    assert all(grad.shape == (2, 0) for grad in grads)
    assert module(torch.zeros(0, 3, dtype=empty.dtype)).shape == (0,)


@pytest.mark.parametrize("op", ["sum", "prod", "mean", "var", "std", "logsumexp", "any", "all", "max", "min", "argmax"])
def test_every_reduction_over_one(op: str) -> None:
    truth = op in ("any", "all")
    module = layer(f"return {op}[c](x)", "x[n, c]: bool" if truth else "x[n, c]")
    one = torch.tensor([[True], [False]]) if truth else torch.tensor([[0.5], [-2.0]], dtype=torch.float64)
    if truth or op == "argmax":
        assert module(one).tolist() == ([True, False] if truth else [0, 0])
        return
    found, grads = gradient(module, one)
    flat = op in ("var", "std")
    assert torch.equal(found, torch.zeros(2).double() if flat else one[:, 0])
    assert torch.equal(grads[0], torch.zeros(2, 1).double() if flat else torch.ones(2, 1).double())


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("op", ["softmax", "log_softmax", "cumsum", "cumprod"])
def test_every_normaliser_over_nothing_and_over_one(op: str, size: int) -> None:
    x = torch.full((2, size), 0.5, dtype=torch.float64)
    found, grads = gradient(layer(f"return {op}[c](x)", result="[n, c]"), x)
    wanted = {"softmax": 1.0, "log_softmax": 0.0}.get(op, 0.5)
    assert torch.equal(found, torch.full((2, size), wanted).double()) and grads[0].shape == (2, size)
    assert (grads[0] == (1.0 if op.startswith("cum") else 0.0)).all()


# -- the same bits ---------------------------------------------------------------------------------------------------------
STEPS = """
import hashlib, sys, torch
import archc
from archc import api
torch.set_num_threads(int(sys.argv[1]))
for source, name, shape, arguments in [
    ("std.norm", "EvoNormS0", (8, 32, 16, 16), {"channels": 32}), ("std.norm", "BatchNorm2d", (8, 32, 16, 16), {"channels": 32}),
    ("std.kan", "KAN", (256, 32), {"i": 32, "o": 16}), ("std.attention", "SelfAttention", (4, 64, 32), {"c": 32}),
    ("std.conv", "Conv2d", (4, 8, 16, 16), {"c": 8, "o": 8}), ("std.recurrent", "GRU", (2, 16, 32), {"i": 32, "h": 8}),
]:
    for _ in range(2):
        torch.manual_seed(0)
        module, digest = getattr(api.load(source), name)(**arguments), hashlib.sha256()
        x = torch.randn(shape, requires_grad=True)
        y = module(x)
        y.square().sum().backward()
        for value in (y.detach(), x.grad, *(p.grad for p in module.parameters())):
            digest.update(value.contiguous().numpy().tobytes())
        print(name, digest.hexdigest())
"""


def test_the_same_inputs_give_the_same_bits() -> None:
    """Twice in one process and in two processes. How torch's library divides a sum among threads is torch's."""
    command = [sys.executable, "-c", STEPS, "2"]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    lines = runs[0].splitlines()
    assert runs[0] == runs[1] and len(lines) == 12 and lines[::2] == lines[1::2]


def test_what_is_elementwise_has_the_same_bits_for_any_number_of_threads() -> None:
    module = layer("return x * sigmoid(1.5 * x) + where(x > 0, log1p(x), x^3)", "x[n, c]", "like x")
    x = torch.randn(300, 1000, generator=torch.Generator().manual_seed(0))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(gradient(module, x))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(y, found[0][0]) and torch.equal(grads[0], found[0][1][0]) for y, grads in found[1:])

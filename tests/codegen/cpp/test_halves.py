"""Kernels of half types: what they hold is widened, computed in float32 and rounded once. Every result and gradient is the one of
float64 within that one rounding, which a chain of half operations misses."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archc
from archc import api
from archc.loaded import Namespace

pytestmark = pytest.mark.compiler

HALF = (torch.bfloat16, torch.float16)
PARTS = f"""import std.attention
import std.recurrent
layer Causal() {{ forward(q[{'b'}, t, d], k[b, s, d], v[b, s, e]) -> [b, t, e] {{ return attend(q, k, v) }} }}
layer Delta() {{
    forward(q[b, t, k], key[b, t, k], val[b, t, v], beta[b, t]) -> [b, t, v] {{
        y, last = delta_net(q, key, val, beta)
        return y
    }}
}}
"""
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[tuple[int, ...]]]] = {
    "EvoNormB0": ("std.norm", {}, {"channels": 6}, [(3, 6, 5, 7)]),
    "EvoNormS0": ("std.norm", {}, {"channels": 16}, [(2, 16, 5, 7)]),
    "LayerNorm": ("std.norm", {}, {"c": 37}, [(9, 37)]),
    "RMSNorm": ("std.norm", {}, {"c": 37}, [(9, 37)]),
    "KAN": ("std.kan", {}, {"i": 12, "o": 9}, [(37, 12)]),
    "Causal": (PARTS, {}, {}, [(2, 37, 8), (2, 37, 8), (2, 37, 8)]),
    "Delta": (PARTS, {}, {}, [(2, 37, 8), (2, 37, 8), (2, 37, 8), (2, 37)]),
    "Conv2d": ("std.conv", {"biased": False}, {"c": 3, "o": 5}, [(2, 3, 9, 19)]),
}
QUICK = {("LayerNorm", torch.bfloat16), ("KAN", torch.float16)}
SLOW = {(name, HALF[at % 2]) for at, name in enumerate(CASES) if name not in ("LayerNorm", "KAN")}


def loaded(name: str, backend: str, dtype: torch.dtype) -> nn.Module:
    source, static, others, _ = CASES[name]
    torch.manual_seed(0)
    if source is PARTS:
        targets = tuple(dict.fromkeys(("torch", backend)))
        return getattr(Namespace(api.open_text(PARTS, "halves.arch"), f"halves{backend}", {}, targets), name)().to(dtype)
    return getattr(archc.load(source, backend=backend, **static), name)(**others).to(dtype)  # type: ignore[arg-type, no-any-return]


def drawn(name: str, dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(shape).div(2).to(dtype) for shape in CASES[name][3]]


def results(module: nn.Module, inputs: list[Tensor], dy: Tensor | None = None) -> list[Tensor]:
    """The value of a module, and all gradients."""
    given = [x.clone().requires_grad_() for x in inputs]
    y = module(*given)
    torch.manual_seed(2)
    dy = torch.randn(y.shape).to(y.dtype) if dy is None else dy.to(y.dtype)
    return [y, *torch.autograd.grad(y, [*given, *module.parameters()], dy)]


def exactly(name: str, inputs: list[Tensor], state: dict[str, Tensor]) -> list[Tensor]:
    """The same in float64, in torch's operations."""
    module = loaded(name, "torch", torch.float64)
    module.load_state_dict(state)
    shape = module(*(x.double() for x in inputs)).shape
    torch.manual_seed(2)
    return results(module, [x.double() for x in inputs], torch.randn(shape).to(inputs[0].dtype))


def is_rounded_once(found: Tensor, exact: Tensor) -> bool:
    """Whether a result is within half a unit of its last place, beside what sums in float32 lose."""
    info = torch.finfo(found.dtype)
    allowed = 0.5 * info.eps * exact.abs() + 0.5 * info.smallest_normal * info.eps + 4e-6 * exact.abs().max()
    return bool(((found.double() - exact).abs() <= allowed).all())


@pytest.mark.parametrize(("name", "dtype"), [
    *(pytest.param(*case, id=f"{case[0]}-{case[1]}") for case in sorted(QUICK, key=str)),
    *(pytest.param(*case, id=f"{case[0]}-{case[1]}", marks=pytest.mark.slow) for case in sorted(SLOW, key=str))])
def test_layers_are_rounded_once(name: str, dtype: torch.dtype) -> None:
    module, inputs = loaded(name, "cpp", dtype), drawn(name, dtype)
    exact = exactly(name, inputs, module.state_dict())
    found = results(module, inputs)
    kernels = sys.modules[type(module).__module__].__dict__["_kernels"]
    assert dtype in {of for _, of in kernels.functions}, "torch has computed"
    for at, (one, other) in enumerate(zip(found, exact, strict=True)):
        assert one.dtype == dtype
        assert is_rounded_once(one, other), (at, (one.double() - other).abs().max() / other.abs().max())


def test_a_chain_of_half_operations_is_rounded_more_often() -> None:
    """So the bound above tells one from the other."""
    module, inputs = loaded("KAN", "torch", torch.float16), drawn("KAN", torch.float16)
    exact = exactly("KAN", inputs, module.state_dict())
    assert not any(is_rounded_once(one, other) for one, other in zip(results(module, inputs), exact, strict=True))

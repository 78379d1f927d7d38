"""Layers of the standard library as emitted modules, and what compares two modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

import archc
from archc import api
from tests.stdlib.cases import Case

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def load(file: str, static: tuple[tuple[str, object], ...] = ()) -> object:
    return archc.load(f"std.{file}", **dict(static))


def make(case: Case, dtype: torch.dtype = torch.float32) -> nn.Module:
    """The module, with params away from their first values; the same ones each time."""
    file, name = case.layer.split(".")
    torch.manual_seed(1)
    with default_dtype(dtype):
        if any(value in ("KANMLP", "RMSNorm") for value in case.static.values()):
            module = within(case)
        else:
            module = getattr(load(file, tuple(sorted(case.static.items()))), name)(**case.arguments)
    stir(module)
    return module


def within(case: Case) -> nn.Module:
    """A layer whose arguments are layers of other files of the library: made as the sub-layer of one that imports them."""
    name = case.layer.partition(".")[2]
    words = {True: "true", False: "false"}
    given = {**{key: key for key in case.arguments}, **{k: words.get(v, v) for k, v in case.static.items()}}
    inner = ", ".join(f"{key}={value}" for key, value in given.items())
    text = f"""
        import std.kan
        import std.norm
        import std.vision
        layer Outer(c: axis, heads: int) {{
            inner = {name}({inner})
            forward(x[..., t, c]) -> like x {{ return inner(x) }}
        }}"""
    outer = api.load_text(text, "outer.arch").Outer(**case.arguments)
    module: nn.Module = outer.inner
    return module


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@torch.no_grad()
def stir(module: nn.Module) -> None:
    for param in module.parameters():
        param.add_(torch.randn_like(param) * 0.1)


def copy_state(ours: nn.Module, theirs: nn.Module, names: Mapping[str, str]) -> None:
    """Our params and buffers into theirs, by their names where they differ."""
    other = dict(theirs.state_dict())
    for name, value in ours.state_dict().items():
        target = other[names.get(name, name)]
        assert target.numel() == value.numel(), name
        target.copy_(value.reshape(target.shape))


def step(module: nn.Module, x: Tensor, cotangent: Tensor | None = None) -> dict[str, Tensor]:
    """One forward and backward: the result, the gradients of input and params, the buffers after it."""
    x = x.detach().requires_grad_()
    y = module(x)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=y.dtype) if cotangent is None else cotangent
    names, params = zip(*module.named_parameters(), strict=True) if list(module.parameters()) else ((), ())
    grads = torch.autograd.grad(y, [x, *params], dy)
    found = {"result": y.detach(), "gradient of x": grads[0]}
    found |= {f"gradient of {name}": grad for name, grad in zip(names, grads[1:], strict=True)}
    return found | {f"buffer {name}": buffer.clone() for name, buffer in module.named_buffers()}


def renamed(found: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Ours under their names."""
    result: dict[str, Tensor] = {}
    for key, value in found.items():
        kind, _, name = key.rpartition(" ")
        result[f"{kind} {names.get(name, name)}" if kind else key] = value
    return result


def assert_same(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], tolerance: float) -> None:
    """Equal up to `tolerance` times the largest value there, or 1. Buffers that only they have are left out."""
    for name, value in ours.items():
        expected = theirs[name].reshape(value.shape) if name in theirs else None
        assert expected is not None, f"{name} is ours alone"
        assert value.dtype == expected.dtype, name
        scale = max(1.0, float(expected.detach().abs().nan_to_num().max()) if expected.numel() else 1.0)
        same = torch.isclose(value, expected, rtol=0, atol=tolerance * scale, equal_nan=True)
        assert same.all(), f"{name} differs by {(value - expected).abs().max():.2e}"


def cut(x: Tensor) -> Tensor:
    """The same values, every dimension strided."""
    wide = x
    for dim in range(x.dim()):
        wide = wide.repeat_interleave(2, dim)
    return wide[tuple(slice(None, None, 2) for _ in range(x.dim()))]


def turned(x: Tensor) -> Tensor:
    """The same values, laid out in memory with the dimensions reversed."""
    order = list(range(x.dim()))[::-1]
    return x.permute(order).contiguous().permute(order)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {"contiguous": lambda x: x, "strided": cut, "turned": turned}

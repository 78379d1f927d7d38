"""Every layer of the library and the examples with Triton kernels, run by the interpreter, against torch's operations in float64:
values and all gradients, ragged sizes, rows that fit into a tile and rows that do not. What no kernel writes is nan."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archc
from archc import api
from archc.loaded import Namespace
from archc.runtime import gpu
from tests.codegen.cpp.test_modules import TEXT, assert_equal, gradients
from tests.example_lines import EXAMPLES, Example

pytestmark = pytest.mark.triton

QUICK = {"norm", "activation"}


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Memory that nobody has written is nan, and computing without kernels is an error."""
    empty = gpu.Plan.empty

    make = Tensor.new_empty

    def nan(self: Tensor, *shape: Any, **more: Any) -> Tensor:
        made = make(self, *shape, **more)
        return made.fill_(float("nan")) if made.is_floating_point() else made

    def parts(self: gpu.Plan, dtype: str, *shape: int) -> Tensor:
        return empty(self, dtype, *shape).fill_(float("nan") if dtype == "float" else 1)

    monkeypatch.setattr(Tensor, "new_empty", nan)
    monkeypatch.setattr(gpu.Plan, "empty", parts)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="computing with torch")
        yield


@pytest.fixture(params=["resident", "looped"])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "looped":
        monkeypatch.setattr(gpu, "HELD", 1)
        monkeypatch.setattr(gpu, "TILE", 16)
        monkeypatch.setattr(gpu, "SUMMED", 4)
    return str(request.param)


def in_nan(x: Tensor) -> Tensor:
    """The same numbers with nan before and behind them in memory."""
    if not x.is_floating_point():
        return x
    room = x.detach().new_full((x.numel() + 64,), float("nan"))
    room[32 : 32 + x.numel()] = x.reshape(-1)
    return room[32 : 32 + x.numel()].view(x.shape)


def module(example: Example, backend: str, dtype: torch.dtype) -> nn.Module:
    declared = next(d.node for d in api.open_program(example.source).layers if d.name == example.layer)
    static = {name: value for name, value in example.arguments.items() if name in api.static_names(declared)}
    others = {name: value for name, value in example.arguments.items() if name not in static}
    layer: Any = getattr(archc.load(example.source, backend=backend, **static), example.layer)  # type: ignore[arg-type]
    return layer(**others, dtype=dtype)  # type: ignore[no-any-return]


@pytest.mark.parametrize("example", [
    pytest.param(example, id=str(example), marks=[] if example.path.stem in QUICK else pytest.mark.sweep)
    for example in EXAMPLES])
def test_layers_of_the_library(example: Example, tiles: str) -> None:
    ours, theirs = (module(example, backend, torch.float64) for backend in ("triton", "torch"))
    ours.load_state_dict(theirs.state_dict())
    inputs = [in_nan(x.double()) if x.is_floating_point() else x for x in example.inputs()]
    assert_equal(gradients(ours, inputs), gradients(theirs, inputs), 1e-10)


CASES = [("Scaled", {"c": 37}, (5, 37)), ("Rows", {"c": 7}, (6, 7)), ("Chain", {"c": 3}, (2, 3, 65))]


@pytest.mark.parametrize(("name", "arguments", "shape"), CASES)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-6), (torch.float16, 4e-3), (torch.bfloat16, 3e-2)])
def test_types(name: str, arguments: dict[str, int], shape: tuple[int, ...], dtype: torch.dtype, bound: float,
               tiles: str) -> None:
    """Half types are stored as such and computed in float32: a result is rounded once."""
    ours, theirs = (getattr(layers(backend), name)(**arguments, dtype=kind)
                    for backend, kind in (("triton", dtype), ("torch", torch.float64)))
    inputs = [torch.randn(shape, dtype=dtype) for _ in range(2 if name == "Rows" else 1)]
    results = []
    for layer, kind in ((ours, dtype), (theirs, torch.float64)):
        given = [in_nan(x.to(kind)).requires_grad_() for x in inputs]
        found = layer(*given)
        assert found.dtype == kind
        torch.manual_seed(1)
        found.backward(torch.randn(found.shape, dtype=dtype).to(kind))
        results.append([found, *(x.grad for x in given), *(p.grad for p in layer.parameters())])
    for mine, other in zip(*results, strict=True):
        assert (mine.double() - other).abs().max() <= bound * max(1, other.abs().max())


def layers(backend: str) -> Any:
    return Namespace(api.open_text(TEXT, "kernels.arch"), f"triton{backend}", {}, tuple(dict.fromkeys(("torch", backend))))


@pytest.mark.parametrize(("name", "arguments", "shape"), CASES[:2])
def test_gradcheck_to_second_order(name: str, arguments: dict[str, int], shape: tuple[int, ...]) -> None:
    layer = getattr(layers("triton"), name)(**arguments, dtype=torch.float64)
    inputs = tuple(torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2 if name == "Rows" else 1))
    assert torch.autograd.gradcheck(layer, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(layer, inputs, fast_mode=True)


def test_other_memory_and_no_rows(tiles: str) -> None:
    ours, theirs = (layers(backend).Scaled(c=5, dtype=torch.float64) for backend in ("triton", "torch"))
    x = torch.randn(5, 4, 3, dtype=torch.float64).transpose(0, 2)
    assert_equal(gradients(ours, [x]), gradients(theirs, [x.contiguous()]), 1e-12)
    assert ours(x[:0]).shape == (0, 4, 5)


def test_a_chip_that_nobody_verified_is_tested_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "TRUSTED", set())
    x = torch.randn(3, 6)
    good = Namespace(api.open_text(TEXT, "good.arch"), "tritongood", {}, ("torch", "triton")).Scaled(c=6)
    good(x)
    broken = Namespace(api.open_text(TEXT, "broken.arch"), "tritonbroken", {}, ("torch", "triton")).Scaled(c=6)
    functions = broken.forward.__globals__["_kernels"].functions
    functions["scaled_kernel"] = lambda x, gamma, result, *_: result.zero_()
    with pytest.warns(UserWarning, match="scaled is not exact enough on this chip"):
        found = broken(x)
    torch.testing.assert_close(found, good(x))


def test_without_triton_torch_computes_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "triton", None)
    layer = Namespace(api.open_text(TEXT, "without.arch"), "tritonwithout", {}, ("torch", "triton")).Scaled(c=6)
    x = torch.randn(3, 6)
    with pytest.warns(UserWarning, match="Triton kernels cannot be loaded"):
        found = layer(x)
    torch.testing.assert_close(found, layers("torch").Scaled(c=6)(x))
    layer(x)

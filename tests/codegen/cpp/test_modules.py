"""Modules with kernels against the same in torch's own operations: values, gradients, and what torch does with modules."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archc
from archc import api
from archc.loaded import Namespace
from archc.runtime import native
from tests.example_lines import EXAMPLES, Example

pytestmark = pytest.mark.compiler

TEXT = """
layer Scaled(c: axis, eps: float = 1e-5) {
    param gamma[c] = 1
    forward(x[..., c]) -> like x { return x * rsqrt(mean[c](x * x) + eps) * gamma }
}
layer Rows(c: axis) {
    forward(x[n, c], y[n, c]) -> [n] { return sum[c](sigmoid(x) * y) }
}
layer Chain(c: axis) {
    param scale[c] = 1
    forward(x[n, c, t]) -> like x { return tanh(scale * x) * exp(-x * x) + where(x > 0, x, 0.1 * x) }
}
layer Masked() {
    forward(x[b, t, s], keep[t, s]: bool) -> like x { return softmax[s](where(keep, 0.3 * x, -inf)) }
}
"""


TARGETS = {"torch": ("torch",), "cpp": ("torch", "cpp")}


def layers(backend: str) -> Any:
    return Namespace(api.open_text(TEXT, "kernels.arch"), f"kernels{backend}", {}, TARGETS[backend])


def module(example: Example, backend: str) -> nn.Module:
    declared = next(d.node for d in api.open_program(example.source).layers if d.name == example.layer)
    static = {name: value for name, value in example.arguments.items() if name in api.static_names(declared)}
    others = {name: value for name, value in example.arguments.items() if name not in static}
    layer: Any = getattr(archc.load(example.source, backend=backend, **static), example.layer)  # type: ignore[arg-type]
    return layer(**others, dtype=torch.float64)  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="computing with torch")
        yield


def gradients(layer: nn.Module, inputs: list[Tensor]) -> list[Tensor | None]:
    given = [x.clone().requires_grad_(x.is_floating_point()) for x in inputs]
    layer.zero_grad()
    torch.manual_seed(1)
    results = layer(*given)
    results = [y for y in (results if isinstance(results, tuple) else (results,)) if y.is_floating_point()]
    torch.manual_seed(2)
    moved = [(y, dy) for y, dy in ((y, torch.randn(y.shape, dtype=y.dtype)) for y in results) if y.requires_grad]
    if moved:
        torch.autograd.backward(*zip(*moved, strict=True))
    return [*results, *(x.grad for x in given if x.requires_grad), *(p.grad for p in layer.parameters()), *layer.buffers()]


def assert_equal(ours: list[Tensor | None], theirs: list[Tensor | None], tolerance: float) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        if mine is None or other is None:
            left = mine if mine is not None else other
            assert left is None or not left.any()
        elif mine.numel():
            assert (mine - other).abs().max() <= tolerance * max(1, other.abs().max())


@pytest.mark.parametrize("example", [
    pytest.param(example, id=str(example), marks=[] if example.path.stem == "norm" else pytest.mark.slow)
    for example in EXAMPLES])
def test_layers_of_the_library(example: Example) -> None:
    ours, theirs = (module(example, backend) for backend in ("cpp", "torch"))
    ours.load_state_dict(theirs.state_dict())
    inputs = [x.double() if x.is_floating_point() else x for x in example.inputs()]
    assert_equal(gradients(ours, inputs), gradients(theirs, inputs), 1e-10)


CASES = [("Scaled", {"c": 5}, [(3, 4, 5)]), ("Scaled", {"c": 70}, [(70,)]), ("Rows", {"c": 7}, [(6, 7), (6, 7)]),
         ("Chain", {"c": 3}, [(2, 3, 65)])]


@pytest.mark.parametrize(("name", "arguments", "shapes"), CASES)
def test_gradcheck_to_second_order(name: str, arguments: dict[str, int], shapes: list[tuple[int, ...]]) -> None:
    layer = getattr(layers("cpp"), name)(**arguments, dtype=torch.float64)
    inputs = tuple(torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    assert torch.autograd.gradcheck(layer, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(layer, inputs, fast_mode=True)


@pytest.mark.parametrize(("name", "arguments", "shapes"), CASES)
def test_other_memory_and_other_sizes(name: str, arguments: dict[str, int], shapes: list[tuple[int, ...]]) -> None:
    ours, theirs = (getattr(layers(backend), name)(**arguments, dtype=torch.float64) for backend in ("cpp", "torch"))
    inputs = [torch.randn(*shape[:-1], 2 * shape[-1], dtype=torch.float64)[..., ::2] for shape in shapes]
    assert_equal(gradients(ours, inputs), gradients(theirs, inputs), 1e-12)
    turned = [x.transpose(0, -1).contiguous().transpose(0, -1) for x in inputs]
    assert_equal(gradients(ours, turned), gradients(theirs, inputs), 1e-12)
    if len(shapes[0]) > 1:
        assert ours(*[x[:0] for x in inputs]).shape == theirs(*[x[:0] for x in inputs]).shape


def test_masks_and_rows_without_any() -> None:
    keep = torch.ones(4, 5, dtype=torch.bool).tril()
    keep[2] = False
    ours, theirs = (layers(backend).Masked() for backend in ("cpp", "torch"))
    x = torch.randn(3, 4, 5, dtype=torch.float64)
    assert_equal(gradients(ours, [x, keep]), gradients(theirs, [x, keep]), 1e-12)
    assert not ours(x, keep)[:, 2].any()


@pytest.mark.parametrize("names", [("Logistic", "int", "double", "register"), ("Double", "exponential", "T", "larger"),
                                   ("Main", "place", "chunk", "std")])
def test_names_that_mean_something_in_cpp(names: tuple[str, ...]) -> None:
    layer, axis, x, scale = names
    text = (f"layer {layer}({axis}: axis) {{ param {scale}[{axis}] = 2\n"
            f" forward({x}[n, {axis}]) -> [n, {axis}] {{ return tanh({x} * {x}) * {scale} }} }}")
    module = getattr(Namespace(api.open_text(text, "names.arch"), f"names{layer}", {}, TARGETS["cpp"]), layer)(6)
    torch.testing.assert_close(module(X.float()), 2 * torch.tanh(X.float() ** 2))


@pytest.fixture
def scaled() -> nn.Module:
    return layers("cpp").Scaled(c=6, dtype=torch.float64)  # type: ignore[no-any-return]


X = torch.linspace(-2, 2, 24, dtype=torch.float64).view(4, 6)


def test_export(scaled: nn.Module) -> None:
    torch.testing.assert_close(torch.export.export(scaled, (X,)).module()(X), scaled(X))


def test_functional_transforms(scaled: nn.Module) -> None:
    torch.testing.assert_close(torch.func.vmap(scaled)(X), scaled(X))

    def loss(x: Tensor) -> Tensor:
        return scaled(x).pow(3).sum()  # type: ignore[no-any-return]

    given = X.clone().requires_grad_()
    loss(given).backward()
    torch.testing.assert_close(torch.func.grad(loss)(X), given.grad)
    assert torch.func.hessian(loss)(X).shape == (4, 6, 4, 6)
    _, moved = torch.func.jvp(loss, (X,), (torch.ones_like(X),))
    torch.testing.assert_close(moved, given.grad.sum())  # type: ignore[union-attr]


def test_checkpoint_copy_and_pickle(scaled: nn.Module) -> None:
    from torch.utils.checkpoint import checkpoint

    given = X.clone().requires_grad_()
    checkpoint(scaled, given, use_reentrant=False).sum().backward()
    again = X.clone().requires_grad_()
    copy.deepcopy(scaled)(again).sum().backward()
    torch.testing.assert_close(given.grad, again.grad)
    layer = archc.load("std.norm", backend="cpp").RMSNorm(c=6)
    torch.testing.assert_close(pickle.loads(pickle.dumps(layer))(X.float()), layer(X.float()))


def test_a_module_used_twice_and_in_two_threads(scaled: nn.Module) -> None:
    from concurrent.futures import ThreadPoolExecutor

    wanted = scaled(scaled(X))
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: scaled(scaled(X)), range(50)))
    assert all(torch.equal(y, wanted) for y in found)


def test_without_a_compiler_torch_computes_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[str, ...]:
        raise native.BuildError("there is no C++ compiler")

    monkeypatch.setattr(native, "compiler", refuse)
    native.machine.cache_clear()
    plain = layers("torch").Scaled(c=6, dtype=torch.float64)
    ours = Namespace(api.open_text(TEXT, "without.arch"), "without", {}, ("torch", "cpp")).Scaled(c=6, dtype=torch.float64)
    with pytest.warns(UserWarning, match="computing with torch's own operations, because there is no C\\+\\+ compiler"):
        found = ours(X)
    torch.testing.assert_close(found, plain(X))
    ours(X)
    native.machine.cache_clear()

"""Groups as operations of torch's: what `torch.library.opcheck` asks of them, and kernels inside `torch.compile`."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

import archc
from archc import api
from archc.loaded import Namespace
from tests.codegen.cpp.test_modules import TARGETS, TEXT, module
from tests.example_lines import EXAMPLES, Example

pytestmark = pytest.mark.compiler


class Operations(TorchDispatchMode):
    """Our own operations, each with arguments that it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[Any, tuple[Any, ...]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace.startswith("archc_"):
            self.found.setdefault(func, args)
        return func(*args, **(kwargs or {}))


def operations(layer: nn.Module, inputs: list[Tensor]) -> dict[Any, tuple[Any, ...]]:
    """Of the forward, and of the backward by all, by inputs and by params."""
    with Operations() as seen:
        for by_inputs, by_params in ((True, True), (True, False), (False, True)):
            layer.requires_grad_(by_params)
            given = [x.clone().requires_grad_(by_inputs and x.is_floating_point()) for x in inputs]
            results = layer(*given)
            results = [y for y in (results if isinstance(results, tuple) else (results,)) if y.requires_grad]
            if results:
                torch.autograd.backward(results, [torch.randn_like(y) for y in results])
    return seen.found


FIRST = {example.path.stem: example for example in reversed(EXAMPLES)}


@pytest.mark.parametrize("example", [
    pytest.param(example, id=str(example), marks=[] if example.layer in ("LayerNorm", "EvoNormB0")
                 else pytest.mark.slow if example in FIRST.values() else pytest.mark.sweep)
    for example in EXAMPLES])
def test_opcheck(example: Example) -> None:
    layer = module(example, "cpp")
    found = operations(layer, [x.double() if x.is_floating_point() else x for x in example.inputs()])
    assert found or example.path.stem != "norm"
    for operation, args in found.items():
        differentiable = "derivative" not in str(operation)
        given = tree_map(lambda x, d=differentiable: x.detach().clone().requires_grad_(d and x.is_floating_point())
                         if isinstance(x, Tensor) else x, args)
        torch.library.opcheck(operation, given)


def compiled(layer: nn.Module, inputs: list[Tensor], dynamic: bool = False) -> tuple[list[Tensor], list[str]]:
    """The result and gradients of a compiled layer, and the operations of its graphs, forward and backward."""
    from torch._dynamo.testing import AotEagerAndRecordGraphs

    torch._dynamo.reset()
    backend = AotEagerAndRecordGraphs()
    given = [x.clone().requires_grad_() for x in inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = torch.compile(layer, fullgraph=True, backend=backend, dynamic=dynamic)(*given)
        result.pow(2).sum().backward()
    graphs = (*backend.fw_graphs, *backend.bw_graphs)
    targets = [str(node.target) for graph in graphs for node in graph.graph.nodes if node.op == "call_function"]
    grads = [x.grad for x in (*given, *layer.parameters())]
    return [result, *(grad for grad in grads if grad is not None)], [t for t in targets if t.startswith("archc_")]


def eager(layer: nn.Module, inputs: list[Tensor]) -> list[Tensor]:
    layer.zero_grad()
    given = [x.clone().requires_grad_() for x in inputs]
    result = layer(*given)
    result.pow(2).sum().backward()
    return [result, *(x.grad for x in (*given, *layer.parameters()) if x.grad is not None)]


LAYERS = {"Scaled": ({"c": 6}, [(4, 6)]), "Rows": ({"c": 7}, [(5, 7), (5, 7)]), "Chain": ({"c": 3}, [(2, 3, 5)])}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dynamic", [False, True])
def test_torch_compile_takes_kernels_without_a_break(name: str, dynamic: bool) -> None:
    arguments, shapes = LAYERS[name]
    layer = getattr(Namespace(api.open_text(TEXT, "kernels.arch"), "kernelscpp", {}, TARGETS["cpp"]), name)(**arguments)
    inputs = [torch.randn(shape) for shape in shapes]
    ours, targets = compiled(layer, inputs, dynamic)
    assert [target.split(".")[1].endswith("_derivative") for target in targets] == [False, True]
    for mine, other in zip(ours, eager(layer, inputs), strict=True):
        torch.testing.assert_close(mine, other)


def test_one_graph_for_all_sizes() -> None:
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    layer = archc.load("std.norm", backend="cpp").RMSNorm(c=6)
    counter = CompileCounterWithBackend("aot_eager")
    fast = torch.compile(layer, fullgraph=True, dynamic=True, backend=counter)
    for rows in (3, 5, 8):
        x = torch.randn(rows, 6)
        torch.testing.assert_close(fast(x), layer(x))
    assert sum("archc_" in graph.code for graph in counter.graphs) == 1


@pytest.mark.slow
def test_inductor() -> None:
    layer = archc.load("std.norm", backend="cpp").EvoNormB0(channels=4)
    layer.eval()
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(torch.compile(layer, fullgraph=True)(x), layer(x))


def test_transforms_inside_torch_compile_see_torch_operations() -> None:
    torch._dynamo.reset()
    layer = archc.load("std.norm", backend="cpp").RMSNorm(c=6)
    x = torch.randn(4, 6)

    def gradient(x: Tensor) -> Tensor:
        return torch.func.grad(lambda y: layer(y).pow(3).sum())(x)

    torch.testing.assert_close(torch.compile(gradient, fullgraph=True, backend="aot_eager")(x), gradient(x))
    many = torch.func.vmap(layer)
    torch.testing.assert_close(torch.compile(many, fullgraph=True, backend="aot_eager")(x), layer(x))

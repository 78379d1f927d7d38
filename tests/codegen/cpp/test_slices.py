"""Values at fixed places of an axis: read where they lie, their gradients written there, nothing copied."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archc import api
from archc.codegen.groups import in_slices
from archc.ir.graph import Call, Graph, topological
from archc.ir.lower import lower_graph
from archc.loaded import Namespace
from archc.passes.base import run
from archc.pipelines import CPP

pytestmark = pytest.mark.compiler

By = Callable[[Tensor], "Tensor | tuple[Tensor, ...]"]

LAYERS: dict[str, tuple[str, By]] = {  # inputs, result and body of a layer, and the same by hand
    "Halves": ("x[..., (j=2 k)=c]) -> [..., k] { return silu(x[j = 0]) * x[j = 1]",
               lambda x: F.silu(x[..., :6]) * x[..., 6:]),
    "Pairs": ("x[..., (k j=2)=c]) -> [..., k] { return x[j = 1] * exp(-abs(x[j = 0])) * x[j = 1]",
              lambda x: x[..., 1::2] ** 2 * torch.exp(-x[..., ::2].abs())),
    "Thirds": ("x[n, t, (j=3 k)=c]) -> [n, t, k] { q = x[j = 0] - mean[k](x[j = 0])\n"
               "        return q / sqrt(mean[k](q * q) + 0.1) * sigmoid(x[j = 1]) + x[j = 2] * x[j = 1]",
               lambda x: F.layer_norm((p := x.chunk(3, -1))[0], (4,), eps=0.1) * torch.sigmoid(p[1]) + p[2] * p[1]),
    "Made": ("x[n, t, (j=2 k)=c]) -> (z[n, t, k], y[n, t, j, k]) { y = tanh(x) * x + exp(x)\n"
             "        z = y[j = 0] * exp(y[j = 1])",
             lambda x: ((y := torch.tanh(x) * x + x.exp())[..., :6] * y[..., 6:].exp(), y.unflatten(-1, (2, 6)))),
    "Some": ("x[n, t, (j=4 k)=c]) -> [n, t, k] { return tanh(x[j = 3]) * sigmoid(x[j = 1]) + x[j = 3]",
             lambda x: torch.tanh(x[..., 9:]) * torch.sigmoid(x[..., 3:6]) + x[..., 9:]),
}
TEXT = "\n".join(f"layer {name}(c: axis) {{\n    forward({body}\n    }}\n}}\n" for name, (body, _) in LAYERS.items())
READS = ("Halves", "Pairs", "Thirds")


@cache
def program() -> tuple[Namespace, dict[str, Graph]]:
    opened = api.open_text(TEXT, "slices.arch")
    graphs = {name: run(lower_graph(api.unit(opened, name)), CPP) for name in LAYERS}
    return Namespace(opened, "slices", {}, ("torch", "cpp")), graphs


def layer(name: str) -> nn.Module:
    made: nn.Module = getattr(program()[0], name)(c=12)
    return made


@pytest.mark.parametrize("name", READS)
def test_a_kernel_reads_what_is_cut_and_writes_its_gradient(name: str) -> None:
    nodes = list(topological(program()[1][name].roots))
    (call,) = [n.attrs for n in nodes if isinstance(n.attrs, Call)]
    assert [port.name for port in call.body.inputs] == ["x"]
    assert not any(n.op == "read" for n in nodes)
    derivative, lies = in_slices(call.vjp)
    assert len(derivative.outputs) == (3 if name == "Thirds" else 2)
    assert {lies[output.name].array for output in derivative.outputs} == {"d_x"}
    assert not any(n.op in ("read", "accumulate") for n in topological(derivative.roots))


def test_what_is_cut_is_no_part_of_the_kernel_that_makes_it() -> None:
    calls = [n for n in topological(program()[1]["Made"].roots) if isinstance(n.attrs, Call)]
    assert len(calls) == 2 and calls[1].args[0].args[0] is calls[0]


@pytest.mark.parametrize("name", LAYERS)
def test_values_and_derivatives(name: str) -> None:
    by_hand = LAYERS[name][1]
    x = torch.randn(3, 2, 12, dtype=torch.float64, requires_grad=True)
    for given in (x, x.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()):
        ours, theirs = layer(name)(given), by_hand(given)
        torch.testing.assert_close(ours, theirs)
        sums = [sum(y.sin().sum() for y in (ys if isinstance(ys, tuple) else (ys,))) for ys in (ours, theirs)]
        torch.testing.assert_close(*(torch.autograd.grad(total, given)[0] for total in sums))
    torch.testing.assert_close(torch.func.vmap(layer(name))(x[None]), by_hand(x[None]))


@pytest.mark.parametrize("name", READS)
def test_second_derivatives(name: str) -> None:
    x = torch.randn(2, 2, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(layer(name), (x,), fast_mode=True)

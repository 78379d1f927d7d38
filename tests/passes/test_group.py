"""What grouping joins, asserted as structure: how many kernels, what they read, what lies between them."""

from __future__ import annotations

import random

import pytest

from archc import api
from archc.checker.types import flat
from archc.codegen.cpp.form import Array, For, Kernel, Statement
from archc.codegen.cpp.lower import lower
from archc.ir.graph import Call, Graph, Node, topological
from archc.ir.text import parse, write
from archc.passes.base import run
from archc.passes.group import group_value
from archc.passes.windows import window_sum
from archc.pipelines import CPP
from tests.fuzz.graphs import random_graph


def groups(graph: Graph) -> list[Call]:
    return [n.attrs for n in topological(graph.roots) if isinstance(n.attrs, Call) and n.attrs.fused]


def grouped(source: str, layer: str) -> Graph:
    return run(api.graph(source, layer), CPP)


def outside(graph: Graph) -> list[Node]:
    return [n for n in topological(graph.roots) if n.op not in ("input", "call", "item", "const", "size", "iota")]


NORMS = ["BatchNorm2d", "LayerNorm", "GroupNorm", "RMSNorm", *(f"EvoNorm{k}{i}" for k in "BS" for i in range(3))]


@pytest.mark.parametrize("layer", NORMS)
def test_a_norm_is_one_kernel_and_so_is_its_derivative(layer: str) -> None:
    graph = grouped("std.norm", layer)
    (call,) = groups(graph)
    assert not outside(graph)
    derivative = group_value(call.vjp)
    assert len(groups(derivative)) == 1
    assert not outside(derivative)


def test_what_lies_between_the_operations_is_never_written() -> None:
    """Every array of a norm's kernel that is as large as its input is an input or a result."""
    (call,) = groups(grouped("std.norm", "EvoNormS0"))
    orders = {p.name: flat(p.layout) for p in call.body.inputs} | {o.name: flat(o.layout) for o in call.body.outputs}
    kernel = lower(call.body, "kernel", orders)
    assert [array.name for array in kernel.outputs] == ["result"]
    assert not kernel.scratch
    assert not kernel.partial
    assert sweeps(kernel.body) == 3  # mean, variance, result


def test_a_softmax_with_its_scale_and_mask_is_one_kernel() -> None:
    (call,) = groups(run(parse("""
graph f(x: float[b, t, s], keep: bool[t, s])
  %0 = mul %x, 0.25 : float[b, t, s]
  %1 = where %keep, %0, -inf : float[b, t, s]
  %2 = softmax[s] %1 : float[b, t, s]
  return y[b, t, s] = %2
"""), CPP))
    assert [output.name for output in call.body.outputs] == ["y"]
    (back,) = groups(group_value(call.vjp))
    assert {port.name for port in back.body.inputs} == {"x", "keep", "d_y"}


def test_sums_over_parallel_axes_are_added_up_in_chunks() -> None:
    (call,) = groups(grouped("std.norm", "LayerNorm"))
    (back,) = groups(group_value(call.vjp))
    orders = {p.name: flat(p.layout) for p in back.body.inputs} | {o.name: flat(o.layout) for o in back.body.outputs}
    kernel = lower(back.body, "kernel", orders)
    assert {output.name for output in back.body.outputs} == {"d_x", "d_gamma", "d_beta"}
    assert [op for op, _ in kernel.partial] == ["sum", "sum"]
    assert kernel.chunks is not None


def sweeps(body: tuple[Statement, ...]) -> int:
    return sum(isinstance(statement, For) for statement in body)


@pytest.mark.parametrize("seed", range(40))
def test_grouped_graphs_have_a_text(seed: int) -> None:
    found = run(random_graph(random.Random(seed), 16, smooth=seed % 2 == 0), CPP)
    assert parse(write(found)).roots == found.roots


def test_arrays_say_their_axes() -> None:
    kernel: Kernel = lower(*_rms())
    assert kernel.inputs[0] == Array("x", "float", kernel.inputs[0].count, ("n", "c"))


def _rms() -> tuple[Graph, str, dict[str, tuple]]:  # type: ignore[type-arg]
    graph = run(parse("""
graph rms(x: float[n, c])
  %0 = mul %x, %x : float[n, c]
  %1 = mean[c] %0 : float[n]
  %2 = rsqrt %1 : float[n]
  %3 = mul %x, %2 : float[n, c]
  return y[n, c] = %3
"""), CPP)
    (call,) = groups(graph)
    body = call.body
    order = tuple(sorted(body.inputs[0].type.axes, key=lambda axis: axis.name, reverse=True))
    return body, "rms", {"x": order, "y": order}


@pytest.mark.parametrize("layer", ["Conv1d", "Conv2d", "ConvTranspose2d"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_sum_over_windows_is_one_kernel_and_its_derivatives_are_such_sums(layer: str, stride: int) -> None:
    graph = run(api.graph("std.conv", layer, static={"stride": stride, "biased": False}), CPP)
    (call,) = groups(graph)
    assert not outside(graph)
    derivative = group_value(call.vjp)
    kinds = [window_sum(c.body.outputs[0].node) for c in groups(derivative)]
    assert sorted(kind.weights for kind in kinds if kind) == [False, True]
    assert not outside(derivative)


def test_a_sum_over_windows_whose_derivative_folds_back_stays_with_the_library() -> None:
    graph = run(api.graph("std.conv", "Conv2d", static={"border": "reflect", "biased": False}), CPP)
    assert not groups(graph)

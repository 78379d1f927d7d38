"""Contractions inside kernels, asserted as structure: one kernel, and a basis or a score that no tensor holds."""

from __future__ import annotations

import pytest

from archc import api
from archc.checker.types import flat
from archc.codegen.cpp.form import Kernel, Product, parts
from archc.codegen.cpp.lower import lower
from archc.ir.graph import Call, Graph, Node, topological
from archc.ir.text import parse
from archc.passes.base import run
from archc.passes.contractions import sides
from archc.passes.group import group_value
from archc.pipelines import CPP

BASES = ["KAN", "RBFKAN", "ReLUKAN", "FourierKAN"]


def groups(graph: Graph) -> list[Call]:
    return [n.attrs for n in topological(graph.roots) if isinstance(n.attrs, Call) and n.attrs.fused]


def contracting(graph: Graph) -> list[Call]:
    return [call for call in groups(graph) if any(sides(n) for n in topological(call.body.roots))]


def grouped(source: str, layer: str, **static: object) -> Graph:
    return run(api.graph(source, layer, static=static), CPP)


def tensors(graph: Graph) -> list[frozenset[str]]:
    """The axes of all that is written to memory: what groups are given and give, and what lies between them."""
    found: list[Node] = [n for n in topological(graph.roots) if n.op not in ("call", "iota", "const", "size")]
    found += [o.node for call in groups(graph) for o in call.body.outputs]
    return [frozenset(axis.name for axis in n.axes) for n in found]


def kernel_of(graph: Graph) -> Kernel:
    (call,) = contracting(graph)
    return lower(call.body, "kernel", {where.name: flat(where.layout) for where in (*call.body.inputs, *call.body.outputs)})


@pytest.mark.parametrize("layer", BASES)
def test_a_basis_is_never_written(layer: str) -> None:
    graph = grouped("std.kan", layer)
    (call,) = groups(graph)
    basis = {"...", "i", "m" if layer == "FourierKAN" else "k"}
    backward = group_value(call.vjp)
    for where in (graph, backward):
        assert len(contracting(where)) == 1
        assert not any(axes >= basis for axes in tensors(where))
        assert not any(n.op == "mul" for n in topological(where.roots))


def test_a_spline_layer_is_one_kernel_and_so_is_its_derivative() -> None:
    graph = grouped("std.kan", "KAN")
    (call,) = groups(graph)
    (back,) = groups(group_value(call.vjp))
    assert {n.op for n in topological(graph.roots)} == {"input", "call", "item"}
    assert {output.name for output in back.body.outputs} == {"d_x", "d_base", "d_coef"}
    assert [port.name for port in back.body.inputs].count("x") == 1


def test_several_functions_of_one_input_expand_it_too() -> None:
    """Chebyshev polynomials are tensors as large as x, but there are many of them."""
    (call,) = groups(grouped("std.kan", "ChebyKAN"))
    (back,) = groups(group_value(call.vjp))
    assert sum(sides(n) is not None for n in topological(call.body.roots)) == 4
    assert sum(sides(n) is not None for n in topological(back.body.roots)) == 8


@pytest.mark.parametrize("causal", [False, True])
def test_scores_are_never_written(causal: bool) -> None:
    graph = grouped("std.attention", "SelfAttention", causal=causal)
    (call,) = contracting(graph)
    backward = group_value(call.vjp)
    (back,) = groups(backward)
    assert len(back.body.outputs) == 3
    for where in (graph, backward):
        assert not any(axes >= {"t", "s"} for axes in tensors(where) if "d" not in axes and "o" not in axes)


def test_sigmoid_attention_is_one_kernel() -> None:
    graph = run(parse(ATTENTION.format(normalized="sigmoid %1")), CPP)
    (call,) = groups(graph)
    (back,) = groups(group_value(call.vjp))
    assert {output.name for output in back.body.outputs} == {"d_q", "d_k", "d_v"}


ATTENTION = """
graph f(q: float[b, t, d], k: float[b, s, d], v: float[b, s, e])
  %0 = mul %q, %k : float[b, t, s, d]
  %1 = sum[d] %0 : float[b, t, s]
  %2 = {normalized} : float[b, t, s]
  %3 = mul %2, %v : float[b, t, s, e]
  %4 = sum[s] %3 : float[b, t, e]
  return y[b, t, e] = %4
"""


def test_what_a_library_does_best_stays_with_it() -> None:
    """Neither one linear map, nor two with a function between them."""
    for layer in ("Linear", "MLP", "GatedMLP"):
        graph = grouped("std.linear", layer)
        assert not contracting(graph)
        assert any(sides(n) for n in topological(graph.roots))


def test_memory_of_a_thread_grows_with_one_axis_at_most() -> None:
    """The tiles of attention hold a block of queries and all keys; those of a spline layer neither all rows nor all inputs."""
    def axes_of(kernel: Kernel) -> list[frozenset[str]]:
        return [array.count.symbols for array in kernel.scratch]

    spline = grouped("std.kan", "KAN")
    assert all(symbols <= {"o"} for symbols in axes_of(kernel_of(spline)))
    assert all(symbols <= {"o"} for symbols in axes_of(kernel_of(group_value(groups(spline)[0].vjp))))
    attention = run(parse(ATTENTION.format(normalized="softmax[s] %1")), CPP)
    for graph in (attention, group_value(groups(attention)[0].vjp)):
        assert all("t" not in symbols for symbols in axes_of(kernel_of(graph)))


def test_products_along_axes_that_lie_as_one_are_one() -> None:
    kernel = kernel_of(grouped("std.kan", "KAN"))
    products = [part for part in parts(kernel.body) if isinstance(part, Product)]
    assert len(products) == 2
    assert sorted(len(product.extents[2]) for product in products) == [1, 2]  # i, and i with k


def test_factors_go_to_the_side_that_has_their_axes() -> None:
    graph = parse("""
graph f(x: float[n, i], w: float[o, i], a: float[i], z: float[n, o, i])
  %0 = mul %w, 0.5 : float[o, i]
  %1 = mul %0, %x : float[n, o, i]
  %2 = mul %1, %a : float[n, o, i]
  %3 = sum[i] %2 : float[n, o]
  %4 = mul %z, %x : float[n, o, i]
  %5 = sum[i] %4 : float[n, o]
  return y[n, o] = %3
  return u[n, o] = %5
""")
    y, u = graph.roots
    both = sides(y)
    assert both is not None
    assert {frozenset(axis.name for axis in side.axes) for side in both} == {frozenset("ni"), frozenset("oi")}
    assert sides(u) is None  # one factor has all axes: nothing is larger than it

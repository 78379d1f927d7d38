"""Graphs built by hand, in few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archc.checker.sizes import Size
from archc.checker.types import Axis, Type, flat
from archc.ir import build
from archc.ir.graph import Graph, Node, Output, Port


def axis(name: str, size: Size | int | None = None) -> Axis:
    """An axis with a symbol of its own, or the size given."""
    return Axis(name, Size.symbol(name) if size is None else size if isinstance(size, Size) else Size.of(size))


def axes(names: str) -> list[Axis]:
    return [axis(name) for name in names.split()]


def port(name: str, *dims: Axis | tuple[Axis, ...], dtype: Any = "float", role: Any = "input") -> Port:
    layout = tuple(dim if isinstance(dim, tuple) else (dim,) for dim in dims)
    return Port(name, Type(dtype, frozenset(flat(layout))), layout, role)


def graph(ports: Sequence[Port], value: Node, *out: Axis, numbers: Sequence[str] = ()) -> Graph:
    """A graph with one output whose axes lie in the order given."""
    return Graph("g", tuple(ports), (Output("y", value, tuple((a,) for a in out)),), numbers=tuple(numbers))


def linear_index(*terms: Axis | int | tuple[int, Axis] | Size) -> Node:
    """`linear_index((2, i), p, -1)` is 2*i + p - 1."""
    total: Node | None = None
    for term in terms:
        if isinstance(term, Axis):
            node = build.iota(term)
        elif isinstance(term, int):
            node = build.const(term)
        elif isinstance(term, Size):
            node = build.size(term)
        else:
            node = build.apply("mul", build.const(term[0]), build.iota(term[1]))
        total = node if total is None else build.apply("add", total, node)
    assert total is not None
    return total

"""Compute positions once: values that are made of the same indices, and differ only in what their axes are called, are one value.

    cos(t * base ^ (-j / |j|)) of the queries and cos(s * base ^ (-i / |i|)) of the keys, where |t| = |s| and |i| = |j|
"""

from __future__ import annotations

from archc.checker.types import Axis
from archc.ir import build
from archc.ir.graph import Graph, Node, carry, node, topological, users
from archc.ops.table import OPS
from archc.passes.base import Keeps, Pass


def share(graph: Graph) -> Graph:
    """Such values, as they meet others, are read from the first of them under other names. Indices themselves stay."""
    order = list(topological(graph.roots))
    positional: set[Node] = set()
    for current in order:
        if current.op == "iota" or not current.axes or (_is_plain(current) and all(arg in positional for arg in current.args)):
            positional.add(current)
    readers = users(graph.roots)
    new: dict[Node, Node] = {}
    first: dict[Node, tuple[Node, list[Axis]]] = {}
    for current in order:
        args = tuple(new[arg] for arg in current.args)
        new[current] = current if args == current.args else node(current.op, args, current.attrs, current.type)
        meets = current in graph.roots or any(reader not in positional for reader in readers.get(current, ()))
        if current in positional and current.type.dtype == "float" and current.axes and meets:
            key, axes = _canonical(current)
            known, named = first.setdefault(key, (current, axes))
            if known is not current:
                new[current] = build.rename(new[known], dict(zip(named, axes, strict=True)))
    return graph.with_roots((new[root] for root in graph.roots), carry(graph.notes, new))


SHARE = Pass("share", "values made of indices alone are computed once, whatever their axes are called", share, Keeps.EXACT)


def _is_plain(current: Node) -> bool:
    return current.op == "expand" or (current.op in OPS and OPS[current.op].form == "elementwise")


def _canonical(root: Node) -> tuple[Node, list[Axis]]:
    """The value over axes that are numbered in the order in which they are met, and the axes in that order."""
    axes: dict[Axis, Axis] = {}

    def numbered(axis: Axis) -> Axis:
        return axes.setdefault(axis, Axis(f"#{len(axes)}", axis.size))

    inner, stack = {root}, [root]
    while stack:
        for arg in stack.pop().args:
            if arg.axes and arg not in inner:
                inner.add(arg)
                stack.append(arg)
    new: dict[Node, Node] = {}
    for current in topological((root,)):
        if current not in inner:
            new[current] = current
        elif current.op == "iota" and isinstance(current.attrs, Axis):
            new[current] = build.iota(numbered(current.attrs))
        elif current.op == "expand" and isinstance(current.attrs, frozenset):
            new[current] = build.expand(new[current.args[0]], map(numbered, sorted(current.attrs, key=str)))
        else:
            new[current] = build.apply(current.op, *(new[arg] for arg in current.args))
    return new[root], list(axes)

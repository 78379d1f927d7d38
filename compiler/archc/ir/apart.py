"""Loops whose steps hold values along the loop's own axis, as loops along an axis of their own.

In a loop of the language a name means its element at the step, so a whole value along the loop's axis has no name there. The same
loop along another axis of equal size has: its sequences are read along that axis before it, its yields read back after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from archc.checker.types import LEADING, Axis, Type
from archc.ir import build
from archc.ir.graph import Graph, Node, Read, Scan, carry, change_inside, inside, node, topological
from archc.ir.text import axes_of


def apart(graph: Graph) -> Graph:
    """The graph where no step of a loop holds a value along the loop's axis, but for what it reads at an index."""
    scans = [current for current in topological(graph.roots) if isinstance(current.attrs, Scan)]
    return _apart(graph, _names(graph)) if scans else graph


def _apart(graph: Graph, taken: set[str]) -> Graph:
    new: dict[Node, Node] = {}
    others: dict[Node, Axis] = {}  # of loops that go along another axis now: the one that they went along
    for current in topological(graph.roots):
        args = tuple(new[arg] for arg in current.args)
        attrs = change_inside(current, lambda inner: _apart(inner, taken))
        if isinstance(attrs, Scan) and attrs.axis.name != LEADING and held(attrs.body, attrs.axis):
            axis, first = attrs.axis, attrs.states
            attrs = replace(attrs, axis=_other(axis, taken))
            args = tuple(build.rename(arg, {axis: attrs.axis}) if first <= i < first + attrs.sequences else arg
                         for i, arg in enumerate(args))
            made = node(current.op, args, attrs, current.type)
            others[made] = axis
        elif args and args[0] in others and others[args[0]] in current.axes and isinstance(attrs, int):
            old, scan = others[args[0]], args[0].attrs
            assert isinstance(scan, Scan)
            moved = build.item(args[0], attrs, Type(current.type.dtype, current.axes - {old} | {scan.axis}))
            made = build.rename(moved, {scan.axis: old}) if attrs >= scan.states else build.item(args[0], attrs, current.type)
        else:
            made = node(current.op, args, attrs, current.type)
        new[current] = made
    if all(old is made for old, made in new.items()):
        return graph
    return graph.with_roots((new[root] for root in graph.roots), carry(graph.notes, new))


def held(body: Graph, axis: Axis) -> bool:
    """Whether a step holds a whole value along the axis. What is only read at an index along it, from outside, is none."""
    for current in topological(body.roots):
        if current.op != "input" and axis in current.axes:
            return True
        if any(axis in arg.axes for arg in _whole(current, axis)):
            return True
        if isinstance(current.attrs, Scan) and held(current.attrs.body, axis):
            return True
    return False


def _whole(current: Node, axis: Axis) -> Sequence[Node]:
    """The operands that a node takes as they are."""
    if isinstance(current.attrs, Read) and any(at.axis == axis for at in current.attrs.at):
        return current.args[1:]
    return current.args[: current.attrs.states + current.attrs.sequences] if isinstance(current.attrs, Scan) else current.args


def _other(axis: Axis, taken: set[str]) -> Axis:
    """An axis of the same size, with a name that is not taken yet, and now is."""
    name = next(name for i in range(2, len(taken) + 3) if (name := f"{axis.name}{i}") not in taken)
    taken.add(name)
    return Axis(name, axis.size)


def _names(graph: Graph) -> set[str]:
    """The names of all axes and symbols, of the graphs inside too."""
    graphs: Iterable[Graph] = (inner for current in topological(graph.roots) for inner in inside(current))
    axes = axes_of(graph)
    return {axis.name for axis in axes}.union(graph.numbers, *(axis.size.symbols for axis in axes), *map(_names, set(graphs)))

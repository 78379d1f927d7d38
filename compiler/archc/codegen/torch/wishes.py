"""In which order a value's dimensions are best made, by what reads it and what it is made from."""

from __future__ import annotations

from archc.checker.types import Axis, flat
from archc.codegen.torch.layout import merge
from archc.ir.graph import Graph, Library, Member, Node, Read, Scan, topological


def wishes(graph: Graph) -> dict[Node, tuple[Axis, ...]]:
    """The order of dimensions that a node's reader would like, from the outputs down; a wish, not a promise."""
    natural: dict[Node, tuple[Axis, ...] | None] = {}
    layouts = {port.node: flat(port.layout) for port in graph.inputs}
    order = list(topological(graph.roots))
    for current in order:
        if current in layouts:
            natural[current] = layouts[current]
        elif not current.args:
            natural[current] = None if current.axes else ()
        elif current.op == "item" and isinstance(current.args[0].attrs, Member):
            natural[current] = flat(current.args[0].attrs.results[int(str(current.attrs))])
        elif isinstance(current.attrs, Library) and current.attrs.kind == "contract" and natural[current.args[0]]:
            both = dict.fromkeys(axis for arg in current.args[:2] for axis in natural[arg] or ())
            rest = sorted(current.axes - both.keys(), key=lambda axis: axis.name)
            natural[current] = (*(axis for axis in both if axis in current.axes), *rest)
        else:
            rigid = [found for arg in current.args if (found := natural.get(arg)) is not None]
            if isinstance(current.attrs, Read) and rigid:
                new = {at.axis: index.attrs for at, index in zip(current.attrs.at, current.args[1:], strict=False)
                       if isinstance(index.attrs, Axis)}
                rigid[0] = tuple(new.get(axis, axis) for axis in rigid[0])
            merged = [axis for axis in merge(rigid) if axis in current.axes]
            rest = sorted(current.axes - frozenset(merged), key=lambda axis: axis.name)
            natural[current] = (*merged, *rest) if merged or not current.axes else None
    wish: dict[Node, tuple[Axis, ...]] = {}
    for output in graph.outputs:
        wish.setdefault(output.node, flat(output.layout))
    for current in reversed(order):
        asked = natural[current] or wish.get(current) or tuple(sorted(current.axes, key=lambda axis: axis.name))
        if natural[current] is None:
            wish.setdefault(current, asked)
        if isinstance(current.attrs, Scan):
            for arg, port in zip(current.args[:current.attrs.states], current.attrs.body.inputs, strict=False):
                wish.setdefault(arg, flat(port.layout))
        for arg in current.args:
            mine = [axis for axis in asked if axis in arg.axes]
            rest = [axis for axis in natural.get(arg) or () if axis not in mine]
            if len(mine) + len(rest) == len(arg.axes):
                wish.setdefault(arg, (*mine, *rest))
    return wish

"""What targets share on the way from a group to loops: names, operations that a target has, axes that are always together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import pairwise

from archc.checker.sizes import Size
from archc.checker.types import Axis, Type, flat, layout_of
from archc.codegen.torch.names import Names
from archc.ir.build import apply
from archc.ir.graph import Accumulate, At, Graph, Node, Output, Port, Read, Scan, node, rewrite, topological, users
from archc.ir.meaning import meaning, substitute
from archc.ops.table import OPS
from archc.passes.base import also_inside
from archc.passes.group import split
from archc.passes.slices import Places, places, whole

Order = tuple[Axis, ...]

PARTS = Axis("parts", Size.symbol("parts"))
"""Of arrays with an element for each part of a kernel's work: these parts."""


@dataclass(frozen=True)
class Finish:
    """What is left to compute when the parts of a kernel's work are done, from the group's inputs and from arrays of parts."""

    graph: Graph
    parts: tuple[str, ...]


def with_names(graph: Graph, used: Iterable[str]) -> Graph:
    """The graph with inputs and results whose names the target and the code around a kernel do not use; their order stays."""
    names = Names(used)
    ports = {port.node: replace(port, name=names.fresh(port.name)) for port in graph.inputs}
    roots = [substitute(root, {old: port.node for old, port in ports.items()}) for root in graph.roots]
    outputs = tuple(replace(output, name=names.fresh(output.name)) for output in graph.outputs)
    return replace(graph, inputs=tuple(ports.values()), outputs=outputs).with_roots(roots)


def in_operations(graph: Graph, known: Set[str]) -> Graph:
    """The graph in operations that a target has."""
    def rule(current: Node) -> Node | None:
        if current.op == "ipow" and type(power := current.args[1].attrs) is int and 1 <= power <= 4:
            return reduce(partial(apply, "mul"), [current.args[0]] * power)
        return meaning(current) if current.op in OPS and current.op not in known else None

    @also_inside
    def spelled(graph: Graph) -> Graph:
        while (new := rewrite(graph, rule)).roots != graph.roots:
            graph = new
        return graph

    return spelled(graph)


# ------------------------------------------------------------------------------------------- axes that are one
def collapsed(graph: Graph) -> Graph:
    """The graph with neighbouring axes that are always together as one."""
    return collapsed_with_parts(graph)[0]


def collapsed_with_parts(graph: Graph) -> tuple[Graph, dict[Axis, Order]]:
    """The collapsed graph, and the axes that each of its new axes stands for, outermost first."""
    parts: dict[Axis, Order] = {}
    while pair := _pair(graph):
        first, second = pair
        graph = _joined(graph, first, second)
        whole = parts.pop(first, (first,)) + parts.pop(second, (second,))
        parts[_whole(first, second)] = whole
    return graph, parts


def _pair(graph: Graph) -> tuple[Axis, Axis] | None:
    orders = orders_of(graph)
    nodes = list(topological(graph.roots))
    reading = users(graph.roots)
    cut = split([n for n in nodes if n.args], graph.roots, reading)
    parallel = cut.parallel if cut else frozenset()
    alone = {n.attrs for n in nodes if n.op == "iota"}
    sets = [n.axes for n in nodes] + [n.attrs for n in nodes if isinstance(n.attrs, frozenset)]
    for order in orders:
        for first, second in pairwise(order):
            together = all((first in axes) == (second in axes) for axes in (*sets, *map(frozenset, orders)))
            adjacent = all(first not in o or o.index(first) + 1 == o.index(second) for o in orders if second in o)
            if together and adjacent and not {first, second} & alone and (first in parallel) == (second in parallel):
                return first, second
    return None


def _joined(graph: Graph, first: Axis, second: Axis) -> Graph:
    return relabelled(graph, {first: _whole(first, second), second: None})


def _whole(first: Axis, second: Axis) -> Axis:
    return Axis(f"{first.name}_{second.name}", first.size * second.size)


def relabelled(graph: Graph, names: Mapping[Axis, Axis | None]) -> Graph:
    """The graph with other axes in the place of some, or none: their sizes are part of another's."""
    def axes(of: Iterable[Axis]) -> list[Axis]:
        return [found for axis in of if (found := names.get(axis, axis)) is not None]

    def type_of(type_: Type) -> Type:
        return Type(type_.dtype, frozenset(axes(type_.axes)))

    new: dict[Node, Node] = {}
    for current in topological(graph.roots):
        attrs = current.attrs
        if isinstance(attrs, frozenset):
            attrs = frozenset(axes(attrs))
        elif isinstance(attrs, Axis):
            (attrs,) = axes((attrs,))
        elif isinstance(attrs, (Read, Accumulate)):
            attrs = replace(attrs, at=tuple(At(axis, at.border) for at in attrs.at for axis in axes((at.axis,))))
            if isinstance(attrs, Accumulate):
                attrs = replace(attrs, keep=frozenset(axes(attrs.keep)))
        elif isinstance(attrs, Scan):
            (axis,) = axes((attrs.axis,))
            attrs = replace(attrs, axis=axis, body=relabelled(attrs.body, names))
        new[current] = node(current.op, (new[arg] for arg in current.args), attrs, type_of(current.type))
    ports = tuple(replace(p, type=type_of(p.type), layout=layout_of(axes(d[0] for d in p.layout))) for p in graph.inputs)
    outputs = tuple(replace(o, node=new[o.node], layout=layout_of(axes(d[0] for d in o.layout))) for o in graph.outputs)
    known = {new[n]: text for n, text in graph.notes.names.items() if n in new}
    spans = {new[n]: span for n, span in graph.notes.spans.items() if n in new}
    return replace(graph, inputs=ports, outputs=outputs, notes=replace(graph.notes, names=known, spans=spans))


# --------------------------------------------------------------------------------------------------- memory
@dataclass(frozen=True)
class Place:
    """Where a kernel's value lies: in an array with these axes, at fixed places of some."""

    array: str
    axes: Order
    at: Places


def in_slices(graph: Graph) -> tuple[Graph, dict[str, Place]]:
    """The graph with slices of its inputs as inputs, and the slices of its results as results; and where each of them lies."""
    orders = {port.node: (port.name, flat(port.layout)) for port in graph.inputs}
    lies = {port.name: Place(port.name, flat(port.layout), {}) for port in graph.inputs if port.role != "number"}
    names = Names([*(port.name for port in graph.inputs), *(output.name for output in graph.outputs)])
    new: dict[Node, Node] = {}
    ports = list(graph.inputs)
    for n in topological(graph.roots):
        if n.op == "read" and (at := places(n)):
            array, axes = orders[n.args[0]]
            port = Port(names.fresh(f"{array}_{'_'.join(map(str, at.values()))}"), n.type, ())
            lies[port.name] = Place(array, axes, at)
            ports.append(port)
            new[n] = port.node
    outputs: list[Output] = []
    for output in graph.outputs:
        found = whole(output.node) if output.node.op in ("add", "accumulate") else None
        for at, value in found.pieces if found else (({}, output.node),):
            name = names.fresh(output.name) if at else output.name
            layout = layout_of(axis for axis in flat(output.layout) if axis not in at)
            outputs.append(Output(name, substitute(value, new), layout))
            lies[name] = Place(output.name, flat(output.layout), at)
    made = replace(graph, inputs=tuple(ports), outputs=tuple(outputs))
    known = {new[n]: text for n, text in graph.notes.names.items() if n in new}
    return replace(made, notes=replace(made.notes, names={**made.notes.names, **known})), lies


def orders_of(graph: Graph) -> list[Order]:
    """How the axes of each input and result lie in memory."""
    return [flat(layout) for layout in (*(p.layout for p in graph.inputs), *(o.layout for o in graph.outputs))]


def one_order(orders: Sequence[Sequence[Axis]]) -> Order:
    """One order of all axes, that of the largest tensor first."""
    found: list[Axis] = []
    for order in sorted(orders, key=len, reverse=True):
        for place, axis in enumerate(order):
            if axis in found:
                continue
            later = next((other for other in order[place + 1:] if other in found), None)
            found.insert(found.index(later) if later else len(found), axis)
    return tuple(found)

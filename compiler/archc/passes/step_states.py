"""What a step remembers: the states that are made while a graph is taken apart, and the one diagnostic where that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archc.checker.sizes import Size
from archc.checker.types import Axis, Layout, Type, flat, layout_of
from archc.diagnostics.codes import NO_STEP
from archc.diagnostics.model import Problem, UserError
from archc.ir import build
from archc.ir.graph import Graph, Member, Node, Port, topological

if TYPE_CHECKING:
    from archc.diagnostics.model import Place


@dataclass(frozen=True)
class Callee:
    """How one element goes through a sub-module: its method, and whether that has a state."""

    method: str
    has_state: bool


Callees = Callable[[Member, Axis], Callee]
"""What to call for a sub-module whose arguments have the axis. Raises UserError, whose facts say why there is nothing."""


def refused(graph: Graph, axis: str, why: str, at: Iterable[Place | None] = (), way_out: str = "") -> UserError:
    """The one diagnostic of this file. `at`: places, of which the first that is known counts."""
    place = next((span for span in at if span is not None), None)
    facts = {"what": graph.name, "axis": axis, "why": why,
             "way_out": way_out or f"a step sees one element of {axis}, and what earlier steps have left in states"}
    return UserError([Problem(NO_STEP, place, facts)])


class States:
    """The states of one graph along one axis, and what else its parts ask of it."""

    def __init__(self, graph: Graph, axis: Axis, callees: Callees | None) -> None:
        self.graph, self.axis, self.callees = graph, axis, callees
        self.unknown = axis.size.symbols - set(graph.numbers)  # sizes that no step knows
        self.names = {port.name for port in graph.inputs} | {output.name for output in graph.outputs}
        self.axes = {a.name for n in topological(graph.roots) for a in n.axes}
        self.axes |= {a.name for port in graph.inputs for a in port.type.axes}
        self.ports: dict[str, Port] = {}
        self.starts: dict[str, Node] = {}
        self.nexts: dict[str, Node] = {}
        self.fields: list[str] = []
        self.past: dict[tuple[object, ...], Node] = {}
        self.counter: Node | None = None
        self.spans, self.labels = dict(graph.notes.spans), dict(graph.notes.names)
        self.order = {a: i for i, a in enumerate(dict.fromkeys(a for port in graph.inputs for a in flat(port.layout)))}

    # -- types without the axis -------------------------------------------------------------------------------------
    def element(self, port: Port) -> Port:
        """An input as a step takes it."""
        return replace(port, type=self.without(port.type), layout=self.layout(port.layout))

    def layout(self, layout: Layout) -> Layout:
        if any(self.axis in dim and len(dim) > 1 for dim in layout):
            raise refused(self.graph, self.axis.name, f"{self.axis.name} is part of a split dimension")
        return tuple(dim for dim in layout if dim != (self.axis,))

    def without(self, type_: Type) -> Type:
        return Type(type_.dtype, type_.axes - {self.axis})

    # -- states ----------------------------------------------------------------------------------------------------
    def name(self, wish: str) -> str:
        wish = wish.rsplit(".", 1)[-1]
        found = next(name for i in range(1, len(self.names) + 2) if (name := wish if i == 1 else f"{wish}_{i}") not in self.names)
        self.names.add(found)
        return found

    def state(self, wish: str, type_: Type, layout: Layout, start: Node) -> Port:
        """A new state; what it becomes is said later."""
        port = Port(self.name(wish), type_, layout)
        self.ports[port.name] = port
        self.starts[port.name] = build.expand(start, type_.axes)
        self.labels[port.node] = port.name
        return port

    def position(self) -> Node:
        """How many elements have come before this one."""
        if self.counter is None:
            port = self.state(f"{self.axis.name}_index", Type("int"), (), build.const(0))
            self.nexts[port.name] = build.apply("add", port.node, build.const(1))
            self.counter = port.node
        return self.counter

    def laid(self, axes: Iterable[Axis]) -> Layout:
        """Axes as the inputs have them."""
        return layout_of(sorted(axes, key=lambda axis: (self.order.get(axis, len(self.order)), axis.name)))

    def before(self, value: Node, length: Size, start: Node, name: str, alone: bool) -> Node:
        """The last elements of a value, this one included, along an axis of their own; `alone`, only the one before this."""
        key = (value, length, start, alone)
        if key in self.past:
            return self.past[key]
        if alone:
            port = self.state(f"{name}_before", value.type, self.laid(value.axes), start)
            self.nexts[port.name] = value
            self.past[key] = port.node
            return port.node
        back, one, window = self.fresh("past", length), self.fresh("now", Size.of(1)), self.fresh("window", length + 1)
        layout = (*self.laid(value.axes), (back,))
        port = self.state(f"{name}_before", Type(value.type.dtype, value.axes | {back}), layout, start)
        here = build.iota(window)
        nothing = build.const({"float": 0.0, "int": 0, "bool": False}[value.type.dtype])
        earlier = build.read(port.node, {back: (here, "fill")}, nothing)
        now = build.read(build.expand(value, {one}), {one: (build.apply("sub", here, build.size(length)), "fill")}, nothing)
        both = build.apply("where", build.apply("lt", here, build.size(length)), earlier, now)
        self.nexts[port.name] = build.read(both, {window: (build.apply("add", build.iota(back), build.const(1)), "trust")})
        self.past[key] = both
        return both

    def fresh(self, wish: str, size: Size) -> Axis:
        name = next(name for i in range(1, len(self.axes) + 2) if (name := wish if i == 1 else f"{wish}{i}") not in self.axes)
        self.axes.add(name)
        return Axis(name, size)

    def field(self, path: str) -> str:
        """The name of the state of a sub-module."""
        found = self.name(path.replace(".", "_"))
        self.fields.append(found)
        return found

    # -- refusals --------------------------------------------------------------------------------------------------
    def refuse(self, why: str, at: Node, within: Graph | None = None) -> UserError:
        places = [found.notes.spans.get(at) for found in (within or self.graph, self.graph)]
        return refused(self.graph, self.axis.name, why, places)

    def refuse_late(self, at: Node, within: Graph | None = None) -> UserError:
        return self.refuse(f"every step of {self.axis.name} reads what is known after the last one", at, within)

    def living(self, roots: Iterable[Node]) -> tuple[str, ...]:
        """The states that the outputs read, or that such a state is made from."""
        waiting, found = list(roots), set[str]()
        while waiting:
            reached = {n.attrs for n in topological(waiting) if n.op == "input"}
            names = [name for name in self.ports if name in reached and name not in found]
            found |= set(names)
            waiting = [self.nexts[name] for name in names]
        return tuple(name for name in self.ports if name in found)

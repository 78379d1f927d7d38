"""A loop taken apart into its states, operands and yields, and put together again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from archc.checker.types import Axis, Type, layout_of
from archc.ir import build
from archc.ir.forms.scan import scan_results
from archc.ir.graph import Graph, Node, Notes, Output, Port, Scan, node, topological

Operand = tuple[Port, Node]  # the input of the body, and what enters by it from outside


@dataclass(eq=False)
class State:
    """What is carried from step to step: where it starts, and what it is after a step (None while that is not known)."""

    port: Port
    start: Node
    after: Node | None = None


@dataclass
class Loop:
    """A `scan` node as lists that may grow and shrink."""

    axis: Axis
    reverse: bool
    states: list[State] = field(default_factory=list)
    sequences: list[Operand] = field(default_factory=list)
    constants: list[Operand] = field(default_factory=list)
    step: Port | None = None
    yields: list[Node] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)

    @classmethod
    def of(cls, scan: Node) -> Loop:
        attrs = scan.attrs
        assert isinstance(attrs, Scan)
        ports, results = attrs.body.inputs, [output.node for output in attrs.body.outputs]
        given = list(zip(ports, scan.args, strict=False))
        first, last = attrs.states, attrs.states + attrs.sequences
        states = [State(port, start, after) for (port, start), after in zip(given[:first], results, strict=False)]
        step = ports[-1] if attrs.step else None
        return cls(attrs.axis, attrs.reverse, states, given[first:last], given[last:], step, results[first:], attrs.body.notes)

    @property
    def results(self) -> list[Node]:
        """What a step gives: its states, then its yields. A float is complex where the state is."""
        states = ((state.after, state.port.type.dtype) for state in self.states)
        return [*(build.converted(after, dtype) for after, dtype in states if after is not None), *self.yields]

    @property
    def args(self) -> list[Node]:
        starts = ((state.port, state.start) for state in self.states)
        return [build.converted(arg, port.type.dtype) for port, arg in (*starts, *self.sequences, *self.constants)]

    def without_unused(self) -> Loop:
        """Without the operands that no result reads."""
        read = {current for current in topological(self.results) if current.op == "input"}
        self.sequences = [(port, arg) for port, arg in self.sequences if port.node in read]
        self.constants = [(port, arg) for port, arg in self.constants if port.node in read]
        self.step = self.step if self.step is not None and self.step.node in read else None
        return self

    def node(self) -> Node:
        operands = (*self.sequences, *self.constants)
        ports = (*(state.port for state in self.states), *(port for port, _ in operands), *((self.step,) if self.step else ()))
        layouts = [*(state.port.layout for state in self.states), *(by_name(given.axes) for given in self.yields)]
        outputs = tuple(Output(f"out{k}", *each) for k, each in enumerate(zip(self.results, layouts, strict=True)))
        body = Graph("step", ports, outputs, notes=self.notes)
        attrs = Scan(self.axis, self.reverse, len(self.states), len(self.sequences), self.step is not None, body)
        return node("scan", self.args, attrs, Type("float"))


def items(scan: Node) -> tuple[Node, ...]:
    """Every result of a loop: its last states, then its yields."""
    assert isinstance(scan.attrs, Scan)
    return tuple(build.item(scan, index, type_) for index, type_ in enumerate(scan_results(scan.attrs)))


def by_name(axes: Iterable[Axis]) -> tuple[tuple[Axis, ...], ...]:
    """A layout with the axes in the order of their names."""
    return layout_of(sorted(axes, key=lambda axis: axis.name))


def port(name: str, type_: Type) -> Port:
    return Port(name, type_, by_name(type_.axes))


def added(scan: Scan, k: int, reading: Mapping[Node, Sequence[Node]]) -> Node | None:
    """What a step adds to a state that nothing else reads."""
    port, after = scan.body.inputs[k].node, scan.body.outputs[k].node
    if after.op != "add" or port not in after.args or len(reading.get(port, ())) != 1:
        return None
    if port in scan.body.roots:
        return None
    return after.args[1] if after.args[0] is port else after.args[0]

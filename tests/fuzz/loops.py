"""Loops with random bodies, for random graphs: several states and sequences, reads elsewhere, loops in loops.

What does not change from step to step is outside, but for indices: so the language has it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from archc.checker.types import LEADING, Axis, Type
from archc.ir import build
from archc.ir.graph import Borders, Graph, Node, Output, Port, Scan, node, topological
from tests.fuzz.inner import layout, squashed_sum

COUNTER = Port("step", Type("int"), ())
FORMS = ("apply", "apply", "apply", "curve", "reduce", "read", "elsewhere", "count", "choose", "inner", "scatter")


@dataclass
class _Step:
    """The body of a loop while it grows. `moving` values differ from step to step, `fixed` ones do not."""

    rng: random.Random
    axis: Axis
    written: bool
    ports: list[Port] = field(default_factory=list)
    moving: list[Node] = field(default_factory=list)
    fixed: list[Node] = field(default_factory=list)
    wholes: list[Node] = field(default_factory=list)  # with the axis of the loop: read at other steps

    def port(self, name: str, type: Type) -> Node:
        self.ports.append(Port(name, type, layout(type.axes)))
        return self.ports[-1].node

    def grow(self) -> None:
        rng = self.rng
        x = rng.choice(self.moving)
        form = rng.choice(FORMS)
        axes = sorted((axis for axis in x.axes if axis.name != LEADING), key=str)
        axis = rng.choice(axes) if axes else None
        if form == "apply":
            made = build.apply(rng.choice(("add", "sub", "mul", "maximum")), x, rng.choice(self.moving + self.fixed))
            self.moving.append(made if made.type.dtype == "float" and rng.random() < 0.5 else build.apply("tanh", made))
        elif form == "curve":
            self.moving.append(build.apply(rng.choice(("sigmoid", "sin", "tanh")), x))
        elif form == "reduce" and axis is not None:
            self.moving.append(build.reduce(rng.choice(("mean", "max", "softmax")), x, {axis}))
        elif form == "read" and axis is not None:
            border: Borders = rng.choice(("fill", "edge", "wrap", "reflect"))
            ways = [build.iota(axis), build.apply("sub", build.size(axis.size - 1), build.iota(axis)), COUNTER.node]
            index = build.apply("add", rng.choice(ways), build.const(1))
            self.moving.append(build.read(x, {axis: (index, border)}, build.const(0.5) if border == "fill" else None))
        elif form == "elsewhere" and self.wholes:
            border = rng.choice(("fill", "edge", "wrap"))
            back = build.apply("sub", build.size(self.axis.size - 1), COUNTER.node)
            index = rng.choice((back, build.apply("sub", COUNTER.node, build.const(1))))
            fill = build.const(0.0) if border == "fill" else None
            self.moving.append(build.read(rng.choice(self.wholes), {self.axis: (index, border)}, fill))
        elif form == "count":
            self.moving.append(build.apply("sin", build.apply("to_float", COUNTER.node)))
        elif form == "choose":
            condition = build.apply("lt", COUNTER.node, build.const(2))
            self.moving.append(build.apply("where", condition, x, rng.choice(self.moving)))
        elif form == "inner" and axis is not None:
            constants = [value for value in self.moving if value.axes <= x.axes - {axis} and value is not x][:1]
            start = build.apply("tanh", build.reduce("max", x, {axis}))
            self.moving += squashed_sum(x, axis, constants, rng.random() < 0.5, rng.random() < 0.4, start)
        elif form == "scatter" and axis is not None and not self.written:
            index = build.apply("mod", build.apply("mul", build.iota(axis), build.const(2)), build.size(axis.size))
            self.moving.append(build.apply("tanh", build.accumulate(x, {axis: (index, "trust")}, x.axes - {axis})))

    def along(self, value: Node, axes: frozenset[Axis]) -> Node:
        """A value of these axes, between -1 and 1."""
        extra = value.axes - axes
        return build.expand(build.apply("tanh", build.reduce("mean", value, extra) if extra else value), axes)


def loop(rng: random.Random, axis: Axis, sequences: Sequence[Node], constants: Sequence[Node], written: bool) -> list[Node]:
    """The results of a loop along an axis: last states, then yields; all between -4 and 4. `sequences` have the axis."""
    step = _Step(rng, axis, written)
    around = sorted(frozenset().union(*(x.axes for x in sequences)) - {axis}, key=str)
    starts: list[Node] = []
    for i in range(rng.randint(1, 3)):
        axes = frozenset(rng.sample(around, rng.randint(0, len(around))))
        step.moving.append(step.port(f"s{i}", Type("float", axes)))
        inside = [value for value in constants if value.axes <= axes and axis not in value.axes]
        start = build.apply("tanh", rng.choice(inside)) if inside and rng.random() < 0.5 else build.const(rng.choice((0.0, 1.0)))
        starts.append(build.expand(start, axes))
    states = list(step.ports)
    entering: dict[Node, Node] = {}  # port -> operand
    for i, x in enumerate(sequences):
        entering[step.port(f"e{i}", Type("float", x.axes - {axis}))] = x
    step.moving += [build.apply("tanh", element) for element in entering]
    for i, x in enumerate(constants):
        entering[made := step.port(f"o{i}", x.type)] = x
        (step.wholes if axis in x.axes else step.fixed).append(made)
    for _ in range(rng.randint(2, 7)):
        step.grow()
    nexts = [step.along(rng.choice(step.moving[-4:]), state.type.axes) for state in states]
    yields = [build.apply("tanh", rng.choice(step.moving)) for _ in range(rng.randint(1, 2))]
    read = {current for current in topological((*nexts, *yields)) if current.op == "input"}
    ports = [*states, *(port for port in step.ports[len(states) :] if port.node in read)]
    operands = [entering[port.node] for port in ports[len(states) :]]
    count = sum(port.name.startswith("e") for port in ports)
    ports += [COUNTER] if COUNTER.node in read else []
    outputs = tuple(Output(f"r{i}", value, layout(value.axes)) for i, value in enumerate((*nexts, *yields)))
    attrs = Scan(axis, rng.random() < 0.4, len(states), count, COUNTER.node in read, Graph("step", tuple(ports), outputs))
    scan = node("scan", (*starts, *operands), attrs)
    types = [*(state.type for state in states), *(Type("float", y.axes | {axis}) for y in yields)]
    return [build.item(scan, i, type) for i, type in enumerate(types)]

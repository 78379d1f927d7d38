"""One element after the other: from a graph over an axis to the graph of one step along it, with what it must remember as states.

    y[n, t] = scan along t of (s = f(s, x))   ->   y[n] = f(s[n], x[n]),  new s[n] = y

What has the axis becomes its element at this step. A scan becomes its body, its states inputs and outputs. A read of elements
a fixed number of steps back, such as a causal convolution's, has them from a state that keeps the last ones; the index along the
axis is a state that counts. Whatever needs elements that have not come yet is refused, with its place: a sum over the axis, a
reverse scan, the last state where every step reads it. An output without the axis is what the graph gives of the steps so far.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from archc.checker.types import Axis, flat
from archc.diagnostics.model import UserError
from archc.ir import build
from archc.ir.graph import Graph, Notes, Output, Scan, topological
from archc.passes.base import Keeps, Pass
from archc.passes.step_states import Callees, States, refused
from archc.passes.step_walk import Walk


@dataclass(frozen=True)
class Stepped:
    """A step. `graph` has the inputs' elements and then the states as inputs, the outputs' elements and then the new states
    as outputs, under the same names; `start` has the same inputs and gives the states before the first step."""

    graph: Graph
    start: Graph
    states: tuple[str, ...]
    fields: tuple[str, ...] = ()  # names for the states of sub-modules


def stepped(graph: Graph, axis: Axis, callees: Callees | None = None) -> Stepped:
    """The step of a graph along an axis of its inputs. Raises UserError where one element needs others than those before it."""
    steps = States(graph, axis, callees)
    if graph.updates:
        raise steps.refuse(f"it stores the buffer '{graph.updates[0].buffer}'", graph.updates[0].node)
    inputs = tuple(steps.element(port) if port.role == "input" else port for port in graph.inputs)
    walk = Walk(steps, graph)
    outputs = tuple(_output(output, walk, steps) for output in graph.outputs)
    states = steps.living(output.node for output in outputs)
    given = (*inputs, *(steps.ports[name] for name in states))
    notes = Notes(steps.spans, steps.labels, graph.notes.doc)
    new = tuple(Output(name, build.expand(steps.nexts[name], steps.ports[name].type.axes), steps.ports[name].layout)
                for name in states)
    first = tuple(Output(name, steps.starts[name], steps.ports[name].layout) for name in states)
    checks = tuple(c for c in graph.checks if not (c.left.symbols | c.right.symbols) & steps.unknown)
    definitions = tuple(d for d in graph.definitions if not (d.whole.symbols | d.part.symbols) & steps.unknown)
    whole = replace(graph, inputs=given, outputs=(*outputs, *new), penalties=(), checks=checks, definitions=definitions,
                    notes=notes, name=f"{graph.name}.step")
    start = replace(whole, inputs=inputs, outputs=first, name=f"{graph.name}.start")
    return Stepped(whole, start, states, tuple(steps.fields))


def scanned(graph: Graph) -> tuple[Axis, ...]:
    """The axes of inputs along which the graph has a scan that is not inside another, in the inputs' order."""
    found = {n.attrs.axis for n in topological(graph.roots) if isinstance(n.attrs, Scan)}
    own = (axis for port in graph.inputs if port.role == "input" for axis in flat(port.layout))
    return tuple(axis for axis in dict.fromkeys(own) if axis in found)


def step(graph: Graph) -> Graph:
    """The step along the one axis of the inputs that the graph scans, or that can be stepped along of several."""
    axes = scanned(graph)
    if not axes:
        raise refused(graph, "the inputs", "nothing is scanned along an axis of the inputs")
    problems: list[UserError] = []
    for axis in axes:
        try:
            return stepped(graph, axis).graph
        except UserError as error:
            problems.append(error)
    raise problems[0]


def _output(output: Output, walk: Walk, steps: States) -> Output:
    value = walk(output.node)
    if long := [axis for axis in flat(output.layout) if axis != steps.axis and axis.size.symbols & steps.unknown]:
        raise steps.refuse(f"its axis {long[0].name} is as long as {steps.axis.name} makes it", output.node)
    if steps.axis in flat(output.layout) and output.node in walk.late:
        raise steps.refuse_late(output.node)
    return replace(output, node=value, layout=steps.layout(output.layout))


STEP = Pass("step", "from all elements of the scanned axis to one, with what is remembered as states", step, Keeps.NOTHING)

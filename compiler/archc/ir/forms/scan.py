"""`scan`: a sequential loop along an axis that carries states. Its results are `item` nodes: last states first, then yields."""

from __future__ import annotations

from archc.checker.types import Type
from archc.diagnostics.model import CompilerBug
from archc.ir.forms.base import Form, demand
from archc.ir.graph import Node, Scan
from archc.ir.values import Run, Value


def scan_results(scan: Scan) -> tuple[Type, ...]:
    """The type of each result: a state has its own, a yield the axis besides."""
    states = tuple(port.type for port in scan.body.inputs[: scan.states])
    yields = (output.node.type for output in scan.body.outputs[scan.states :])
    return (*states, *(Type(t.dtype, t.axes | {scan.axis}) for t in yields))


def verify(node: Node) -> None:
    scan = node.attrs
    demand(isinstance(scan, Scan), "the attributes of scan are a Scan")
    assert isinstance(scan, Scan)
    ports = scan.body.inputs
    count = len(node.args)
    demand(len(ports) == count + scan.step, f"the step of the scan has {len(ports)} inputs for {count} operands")
    demand(scan.states + scan.sequences <= len(node.args), "a scan has an operand for each state and sequence")
    demand(scan.states <= len(scan.body.outputs), "the step of a scan gives every state")
    for i, (arg, port) in enumerate(zip(node.args, ports, strict=False)):
        sequence = scan.states <= i < scan.states + scan.sequences
        demand(not sequence or scan.axis in arg.axes, f"operand {i} of the scan is a sequence and lacks its axis")
        axes = arg.axes - {scan.axis} if sequence else arg.axes
        demand(Type(arg.type.dtype, axes) == port.type, f"operand {i} of the scan is {arg.type}, its step takes {port.type}")
    if scan.step:
        demand(ports[-1].type == Type("int"), "the step of a scan is numbered by an int")
    for port, output in zip(ports[: scan.states], scan.body.outputs, strict=False):
        found = output.node.type
        demand(found.dtype == port.type.dtype and found.axes <= port.type.axes, f"a state is {port.type} and becomes {found}")
    for output in scan.body.outputs:
        demand(scan.axis not in output.node.axes, "what the step of a scan gives lacks its axis")


def evaluate(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    raise CompilerBug("a scan has no value of its own; its items have")


def run_scan(node: Node, args: tuple[Value, ...], run: Run) -> list[Value]:
    """The results, step by step."""
    import numpy as np

    from archc.ir.forms.call import run_body

    scan = node.attrs
    assert isinstance(scan, Scan)
    last = scan.states + scan.sequences
    states, sequences, constants = list(args[: scan.states]), args[scan.states : last], args[last:]
    # Every step sees the same axes in a state, whatever its start lacks.
    states = [run.spread(state, port.type.axes) for state, port in zip(states, scan.body.inputs, strict=False)]
    sequences = tuple(run.spread(sequence, {scan.axis}) for sequence in sequences)
    count = run.size(scan.axis)
    steps: dict[int, list[Value]] = {}
    for step in range(count)[:: -1 if scan.reverse else 1]:
        elements = [Value(s.array.take(step, s.axes.index(scan.axis)), tuple(a for a in s.axes if a != scan.axis))
                    for s in sequences]
        numbered = [Value(np.asarray(step), ())] if scan.step else []
        results = run_body(scan.body, (*states, *elements, *constants, *numbered), run, step)
        states = [run.spread(new, port.type.axes) for new, port in zip(results, scan.body.inputs[: scan.states], strict=False)]
        steps[step] = results[scan.states :]
    yields = []
    for i, type_ in enumerate(scan_results(scan)[scan.states :]):
        inner = type_.axes - {scan.axis}
        # A step may have the axis of candidates where another lacks it.
        axes = run.sorted({*inner, *(axis for step in range(count) for axis in steps[step][i].axes)})
        arrays = [run.spread(steps[step][i], axes).array for step in range(count)]
        whole = np.stack(arrays) if arrays else np.zeros((0, *run.shape(axes)), run.numpy_type(type_.dtype))
        ordered = run.sorted({*axes, scan.axis})
        yields.append(Value(np.moveaxis(whole, 0, ordered.index(scan.axis)), ordered))
    return [*states, *yields]


SCAN_FORM = Form("scan", verify, evaluate)

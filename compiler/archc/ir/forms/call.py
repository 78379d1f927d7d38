"""`call`, a fn with a derivative of its own applied as a whole; `item`, one result of it, of a `scan` or of a sub-module."""

from __future__ import annotations

from archc.checker.types import Type, flat
from archc.diagnostics.model import CompilerBug
from archc.ir.forms.base import Form, demand
from archc.ir.forms.scan import run_scan, scan_results
from archc.ir.graph import Call, Graph, Member, Node, Scan
from archc.ir.values import Run, Value

SEVERAL = ("call", "scan", "member")
"""Nodes that are no value themselves: their results are items of them."""


def results(node: Node) -> tuple[Type, ...]:
    """The type of each result of a `call`, `scan` or `member` node."""
    if isinstance(node.attrs, Member):
        return node.attrs.types
    if isinstance(node.attrs, Scan):
        return scan_results(node.attrs)
    assert isinstance(node.attrs, Call)
    return tuple(Type(o.node.type.dtype, o.node.axes | frozenset(flat(o.layout))) for o in node.attrs.body.outputs)


def verify_call(node: Node) -> None:
    call = node.attrs
    demand(isinstance(call, Call), "the attributes of call are a Call")
    assert isinstance(call, Call)
    body, vjp = call.body, call.vjp
    demand(len(node.args) == len(body.inputs), f"{body.name} has {len(body.inputs)} operands, not {len(node.args)}")
    for arg, port in zip(node.args, body.inputs, strict=True):
        demand(arg.type.dtype == port.type.dtype, f"{port.name} of {body.name} is a {port.type.dtype}, not a {arg.type.dtype}")
        demand(arg.axes == port.type.axes, f"{port.name} of {body.name} is {port.type}, not {arg.type}")
    wanted = tuple(port.type for port in body.inputs) + results(node)
    demand(tuple(port.type for port in vjp.inputs) == wanted,
           f"the derivative of {body.name} takes the inputs and a cotangent for each result")
    names = {port.name: port.type for port in body.inputs}
    demand(set(call.wrt) | set(call.stopped) <= names.keys(), f"{body.name} has no such input")
    demand(len(vjp.outputs) == len(call.wrt), f"the derivative of {body.name} gives one cotangent for each of its wrt")
    for name, output in zip(call.wrt, vjp.outputs, strict=True):
        axes = output.node.axes | frozenset(flat(output.layout))
        demand(axes == names[name].axes, f"the cotangent of {name} is {names[name]}, not {Type(output.node.type.dtype, axes)}")


def run_body(body: Graph, args: tuple[Value, ...], run: Run, step: int | None = None) -> list[Value]:
    """The outputs of a graph whose inputs are these values, in the sizes of the run; of a loop, at a step."""
    from archc.ir.evaluate import evaluate_nodes

    steps = run.steps if step is None else (*run.steps, step)
    inner = Run(run.sizes, run.dtype, run.seed, run.order, steps=steps, places=run.places)
    inner.values = {port.node: value for port, value in zip(body.inputs, args, strict=True)}
    evaluate_nodes([output.node for output in body.outputs], inner)
    return [inner.values[output.node] for output in body.outputs]


def evaluate_call(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    raise CompilerBug("a call has no value of its own; its items have")


def verify_item(node: Node) -> None:
    demand(len(node.args) == 1 and node.args[0].op in SEVERAL, "item is of a call")
    types = results(node.args[0])
    demand(isinstance(node.attrs, int) and not isinstance(node.attrs, bool) and 0 <= node.attrs < len(types),
           f"item says which of {len(types)} results")
    assert isinstance(node.attrs, int)
    demand(node.type == types[node.attrs], f"result {node.attrs} is {types[node.attrs]}, not {node.type}")


def evaluate_item(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    call = node.args[0]
    assert isinstance(node.attrs, int)
    if call not in run.results:
        operands = tuple(run.values[arg] for arg in call.args)
        if isinstance(call.attrs, Scan):
            run.results[call] = run_scan(call, operands, run)
        elif isinstance(call.attrs, Call):
            run.results[call] = run_body(call.attrs.body, operands, run)
        else:
            raise CompilerBug("sub-modules are inlined before a graph is evaluated")
    return run.spread(run.results[call][node.attrs], node.axes)


CALL_FORM = Form("call", verify_call, evaluate_call)
ITEM_FORM = Form("item", verify_item, evaluate_item)

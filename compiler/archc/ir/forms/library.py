"""`library`: a computation that a target has whole. Its body says what it means; inputs named "0", "1" ... stand for the args."""

from __future__ import annotations

from archc.ir.forms.base import Form, demand
from archc.ir.graph import Library, Node, topological
from archc.ir.values import Run, Value


def holes(node: Node) -> dict[int, Node]:
    """The inputs of the body that stand for args, by place."""
    assert isinstance(node.attrs, Library)
    return {int(inner.attrs): inner for inner in topological([node.attrs.body])
            if inner.op == "input" and isinstance(inner.attrs, str) and inner.attrs.isdecimal()}


def verify(node: Node) -> None:
    demand(isinstance(node.attrs, Library), "the attributes of library are a Library")
    assert isinstance(node.attrs, Library)
    demand(node.type == node.attrs.body.type, f"library {node.attrs.kind} is {node.type}, its body {node.attrs.body.type}")
    for place, hole in holes(node).items():
        demand(place < len(node.args), f"library {node.attrs.kind} has no operand {place}")
        arg = node.args[place]
        demand(hole.type == arg.type, f"operand {place} of library {node.attrs.kind} is {hole.type}, not {arg.type}")


def evaluate(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    from archc.ir.evaluate import evaluate_nodes

    assert isinstance(node.attrs, Library)
    inner = Run(run.sizes, run.dtype, run.seed, run.order, places=run.places)
    inner.values = {value_of: value for value_of, value in run.values.items() if value_of.op == "input"}
    inner.values |= {hole: args[place] for place, hole in holes(node).items()}
    evaluate_nodes([node.attrs.body], inner)
    return inner.values[node.attrs.body]


LIBRARY_FORM = Form("library", verify, evaluate)

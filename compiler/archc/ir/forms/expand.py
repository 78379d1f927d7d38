"""`expand`: a value repeated along axes that it lacks."""

from __future__ import annotations

from archc.ir.forms.base import Form, demand
from archc.ir.graph import Node
from archc.ir.values import Run, Value


def verify(node: Node) -> None:
    demand(len(node.args) == 1 and isinstance(node.attrs, frozenset), "expand has one operand and a set of axes")
    assert isinstance(node.attrs, frozenset)
    x = node.args[0]
    demand(bool(node.attrs) and not node.attrs & x.axes, "expand adds axes that its operand lacks")
    demand(node.type.dtype == x.type.dtype, "expand keeps the type of its operand")
    demand(node.axes == x.axes | node.attrs, "expand has its operand's axes and the added ones")


def evaluate(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    return run.spread(args[0], node.axes)


EXPAND_FORM = Form("expand", verify, evaluate)

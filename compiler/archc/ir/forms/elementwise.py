"""Elementwise operations: every row of the op table with that form, on the union of the operands' axes."""

from __future__ import annotations

from archc.ir.forms.base import Form, by_meaning, demand
from archc.ir.graph import Node
from archc.ir.values import Run, Value
from archc.ops.table import OPS


def verify(node: Node) -> None:
    row = OPS[node.op]
    demand(node.attrs is None, f"{node.op} has no attributes")
    demand(len(node.args) == row.arity, f"{node.op} has {row.arity} operands, not {len(node.args)}")
    dtypes = tuple(arg.type.dtype for arg in node.args)
    for place, dtype in enumerate(dtypes):
        demand(row.accepts(place, dtype), f"{node.op} takes no {dtype} there")
    same = {dtype for dtype, letter in zip(dtypes, row.dtypes, strict=False) if letter in "naz"}
    same -= {"complex"} if "float" in same else set()
    demand(len(same) <= 1, f"{node.op} has operands of several types: {', '.join(sorted(same))}")
    demand(node.type.dtype == row.result(dtypes), f"{node.op} gives {row.result(dtypes)} here, not {node.type.dtype}")
    axes = frozenset().union(*(arg.axes for arg in node.args))
    demand(node.axes == axes, f"{node.op} has the union of its operands' axes")


def evaluate(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    from archc.ir.numpy_spelling import ELEMENTWISE

    if node.op not in ELEMENTWISE:
        return by_meaning(node, run)
    arrays, axes = run.together(*args)
    return Value(ELEMENTWISE[node.op](*arrays), axes)


ELEMENTWISE_FORM = Form("elementwise", verify, evaluate)

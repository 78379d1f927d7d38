"""Rows of the op table over axes: reductions, which take the axes away, and normalisers, which keep them."""

from __future__ import annotations

from archc.ir.forms.base import Form, by_meaning, demand
from archc.ir.graph import Node
from archc.ir.values import Run, Value
from archc.ops.table import OPS


def verify(node: Node) -> None:
    row = OPS[node.op]
    demand(len(node.args) == 1, f"{node.op} has one operand")
    demand(isinstance(node.attrs, frozenset), f"the attributes of {node.op} are the set of axes that it goes over")
    assert isinstance(node.attrs, frozenset)
    x = node.args[0]
    demand(node.attrs <= x.axes, f"{node.op} goes over axes that its operand lacks")
    demand(not row.one_axis or len(node.attrs) == 1, f"{node.op} goes along one axis")
    demand(row.accepts(0, x.type.dtype), f"{node.op} takes no {x.type.dtype}")
    wanted = row.result((x.type.dtype,))
    demand(node.type.dtype == wanted, f"{node.op} gives {wanted} here, not {node.type.dtype}")
    axes = x.axes - node.attrs if row.form == "reduce" else x.axes
    demand(node.axes == axes, f"{node.op} has {'all axes of its operand' if row.form != 'reduce' else 'the axes that are left'}")


def evaluate(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    from archc.ir.numpy_spelling import OVER_AXES

    assert isinstance(node.attrs, frozenset)
    if node.op not in OVER_AXES:
        return by_meaning(node, run)
    x = run.spread(args[0], node.args[0].axes)
    dims = tuple(i for i, axis in enumerate(x.axes) if axis in node.attrs)
    axes = x.axes if OPS[node.op].form != "reduce" else tuple(axis for axis in x.axes if axis not in node.attrs)
    if node.op in ("max", "min", "argmax") and x.array.size == 0 and all(run.shape(axes)):
        names = ", ".join(axis.name for axis in x.axes if axis in node.attrs)
        raise ValueError(f"{node.op} over {names} has nothing to choose from: its size is 0")
    return Value(OVER_AXES[node.op](x.array, dims), axes)


REDUCE_FORM = Form("reduce", verify, evaluate)

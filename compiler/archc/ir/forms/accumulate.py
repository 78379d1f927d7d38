"""`accumulate`: the transpose of `read`. Every element is added to the place that its index names."""

from __future__ import annotations

from archc.ir.forms.base import Form, demand
from archc.ir.forms.indexing import gather_axes, places, verify_indices
from archc.ir.graph import Accumulate, Node
from archc.ir.values import Run, Value


def verify(node: Node) -> None:
    attrs = node.attrs
    demand(isinstance(attrs, Accumulate), "the attributes of accumulate are an Accumulate")
    assert isinstance(attrs, Accumulate)
    demand(len(node.args) == 1 + len(attrs.at), "accumulate has its operand and an index for each axis")
    verify_indices(node, attrs.at, node.args[1:])
    made = frozenset(a.axis for a in attrs.at)
    demand(not made & attrs.keep, "an axis that accumulate makes is not kept too")
    demand(node.type.dtype == node.args[0].type.dtype, "accumulate keeps the type of its operand")
    demand(node.type.dtype in ("float", "int", "complex"), "accumulate adds numbers")
    demand(node.axes == made | attrs.keep, "accumulate has the axes that it makes and those that it keeps")


def evaluate(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    import numpy as np

    from archc.ir.values import BATCH

    assert isinstance(node.attrs, Accumulate)
    at, keep = node.attrs.at, node.attrs.keep
    v, *indices = gather_axes(node, args[0], list(args[1:]), run)
    # Axes here are those of the elements; an axis of the same name that is made is another thing, and lives in `made` alone.
    axes = run.sorted(set(v.axes).union(keep, *(index.axes for index in indices)))
    found, outside = places(node, at, [run.aligned(index, axes) for index in indices], run)
    made = dict(zip((a.axis for a in at), found, strict=True))
    kept = keep | ({BATCH} & set(axes))
    out_axes = run.sorted(kept | made.keys())
    shape = run.shape(axes)
    amount = np.where(outside, np.zeros((), v.array.dtype), run.aligned(v, axes))
    out = np.zeros(run.shape(out_axes), v.array.dtype)
    if out.size:
        where = tuple(np.broadcast_to(made[a] if a in made else run.index(a, axes), shape) for a in out_axes)
        np.add.at(out, where, np.broadcast_to(amount, shape))
    return Value(out, out_axes)


ACCUMULATE_FORM = Form("accumulate", verify, evaluate)

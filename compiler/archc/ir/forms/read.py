"""`read`: a value at other places. Out of it come all views, shifts, gathers, stencils, convolutions and poolings."""

from __future__ import annotations

from archc.ir.forms.base import Form, demand
from archc.ir.forms.indexing import gather_axes, places, verify_indices
from archc.ir.graph import Node, Read
from archc.ir.values import Run, Value


def verify(node: Node) -> None:
    attrs = node.attrs
    demand(isinstance(attrs, Read), "the attributes of read are a Read")
    assert isinstance(attrs, Read)
    fills = any(a.border == "fill" for a in attrs.at)
    demand(len(node.args) == 1 + len(attrs.at) + fills, "read has its operand, an index for each axis, and a scalar if it fills")
    x, indices = node.args[0], node.args[1 : 1 + len(attrs.at)]
    verify_indices(node, attrs.at, indices)
    indexed = frozenset(a.axis for a in attrs.at)
    demand(indexed <= x.axes, "read indexes axes that its operand has")
    demand(node.type.dtype == x.type.dtype, "read keeps the type of its operand")
    demand(node.axes == (x.axes - indexed).union(*(index.axes for index in indices)),
           "read has the axes of its operand that are not indexed, and those of the indices")
    if fills:
        fill = node.args[-1].type
        demand(not fill.axes and fill.dtype == x.type.dtype, "a read is filled with a scalar of its own type")


def evaluate(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    import numpy as np

    assert isinstance(node.attrs, Read)
    at = node.attrs.at
    x, *indices = gather_axes(node, args[0], list(args[1 : 1 + len(at)]), run)
    indexed = {a.axis for a in at}
    axes = run.sorted({axis for axis in x.axes if axis not in indexed}.union(*(index.axes for index in indices)))
    found, outside = places(node, at, [run.aligned(index, axes) for index in indices], run)
    by_axis = dict(zip((a.axis for a in at), found, strict=True))
    shape = run.shape(axes)
    if 0 in x.array.shape:
        # Nothing can be read; `places` has made sure that nothing is, unless to be filled.
        out = np.zeros(shape, x.array.dtype)
    else:
        out = np.broadcast_to(x.array[tuple(by_axis[a] if a in by_axis else run.index(a, axes) for a in x.axes)], shape)
    value = Value(np.asarray(out), axes)
    if len(args) == 1 + len(at):
        return value
    mask = Value(np.broadcast_to(outside, shape), axes)
    (where, inside, fill), axes = run.together(mask, value, args[-1])
    return Value(np.where(where, fill, inside), axes)


READ_FORM = Form("read", verify, evaluate)

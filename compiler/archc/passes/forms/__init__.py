"""The derivative of each structural form, in one file a form.

Each module has
    tangent(node, tangents, run)   what the node becomes when its operands move: a node linear in the operands' tangents, or None
    transpose(node, linear, ct, run)   for a linear node and its cotangent, the (operand, cotangent) pairs of its linear operands
where a tangent of None is a zero, and may lack axes of its node along which it is the same. `run` is the `Run` of this
derivative: fresh axes and facts about factors. What has several results has instead
    pulled(node, linear, cts, run)   as transpose, for the cotangents of its results by their index
"""

from __future__ import annotations

from archc.ops.table import OPS
from archc.passes.forms import accumulate, call, elementwise, expand, fourier, matrix, random, read, reduce, scan
from archc.passes.forms.common import Form, Several

_BY_ROW: dict[str, Form] = {
    "elementwise": elementwise, "reduce": reduce, "normalise": reduce, "matrix": matrix, "transform": fourier,
}
_BY_OP: dict[str, Form] = {
    "read": read, "accumulate": accumulate, "expand": expand, "random": random, "call": call, "item": call,
    call.TANGENT: call, "scan": scan,
}
SEVERAL: dict[str, Several] = {call.TANGENT: call, "scan": scan}
"""Nodes with several results that are linear in their operands."""


def form_of(op: str) -> Form | None:
    """The module of an operation's form; None for what has no operands (inputs, constants, sizes, indices)."""
    if op in OPS:
        return _BY_ROW[OPS[op].form]
    return _BY_OP.get(op)

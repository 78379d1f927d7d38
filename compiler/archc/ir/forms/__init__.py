"""The structural forms of the graph, one file each, and which one a node has."""

from __future__ import annotations

from archc.ir.forms.accumulate import ACCUMULATE_FORM
from archc.ir.forms.base import Form
from archc.ir.forms.call import CALL_FORM, ITEM_FORM
from archc.ir.forms.elementwise import ELEMENTWISE_FORM
from archc.ir.forms.expand import EXPAND_FORM
from archc.ir.forms.fourier import FOURIER_FORM
from archc.ir.forms.leaves import CONST_FORM, INPUT_FORM, IOTA_FORM, SIZE_FORM, TABLE_FORM
from archc.ir.forms.library import LIBRARY_FORM
from archc.ir.forms.matrix import MATRIX_FORM
from archc.ir.forms.member import MEMBER_FORM
from archc.ir.forms.random import RANDOM_FORM
from archc.ir.forms.read import READ_FORM
from archc.ir.forms.reduce import REDUCE_FORM
from archc.ir.forms.scan import SCAN_FORM
from archc.ir.graph import Node
from archc.ops.table import OPS

FORMS: dict[str, Form] = {form.name: form for form in (
    INPUT_FORM, CONST_FORM, SIZE_FORM, IOTA_FORM, TABLE_FORM, EXPAND_FORM, READ_FORM, ACCUMULATE_FORM, RANDOM_FORM, CALL_FORM,
    ITEM_FORM, SCAN_FORM, MEMBER_FORM, LIBRARY_FORM)}
"""Forms by operation, for those that the op table has no row for."""


def form_of(node: Node) -> Form | None:
    """The form of a node; None for an operation that does not exist."""
    row = OPS.get(node.op)
    if row is None:
        return FORMS.get(node.op)
    by_row = {"elementwise": ELEMENTWISE_FORM, "matrix": MATRIX_FORM, "transform": FOURIER_FORM}
    return by_row.get(row.form, REDUCE_FORM)

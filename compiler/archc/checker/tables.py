"""Tables of constants: `buffer stencil[p=3, q=3] = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]`, lists in lists, one level an axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archc.checker import expressions
from archc.checker.frame import Frame
from archc.checker.sizes import Size
from archc.checker.typed import Table
from archc.checker.types import Axis, Type
from archc.checker.values import SizeVal, Value
from archc.diagnostics import codes
from archc.diagnostics.syntax_codes import NUMBER_TOO_LARGE
from archc.ops.table import DType
from archc.syntax import tree


def table(expr: tree.ListOf, axes: Sequence[Axis], dtype: DType, frame: Frame) -> Table:
    """The list as a tensor of a dtype along axes, in order. Reports a list of another shape, and what is no constant."""
    value = expressions.static(expr, frame, "a table of constants")
    shape = []
    level: Value = value
    for _ in axes:
        if not isinstance(level, tuple):
            break
        shape.append(len(level))
        level = level[0] if level else 0
    constants = list(_constants(value, shape, 0, expr, frame))
    if len(shape) != len(axes):
        frame.fail(codes.TABLE_SHAPE, expr.span, what=f"{len(shape)} levels of lists for {len(axes)} axes")
    for axis, count in zip(axes, shape, strict=True):
        frame.require_equal(axis.size, Size.of(count), expr.span, codes.SIZE_MISMATCH, name=frame.axis_name(axis))
    for constant in constants:
        found: DType = "bool" if isinstance(constant, bool) else "int" if isinstance(constant, int) else "float"
        if not -(2**63) <= constant < 2**63 and found == "int":
            frame.fail(NUMBER_TOO_LARGE, expr.span, number=constant)
        if found != dtype and not (found == "int" and dtype == "float"):
            frame.fail(codes.RESULT_DTYPE, expr.span, found=found, expected=dtype)
    values = tuple(map(float, constants)) if dtype == "float" else tuple(constants)
    return Table(tuple(axes), tuple(shape), values, Type(dtype, frozenset(axes)), expr.span)


def _constants(value: Value, shape: Sequence[int], depth: int, expr: tree.ListOf, frame: Frame) -> Iterator[bool | int | float]:
    """What stands in the lists, in order; every list of a level is as long as its first."""
    if depth < len(shape):
        if not isinstance(value, tuple):
            frame.fail(codes.TABLE_SHAPE, expr.span, what="a constant beside a list")
        if len(value) != shape[depth]:
            frame.fail(codes.TABLE_SHAPE, expr.span, what=f"a list of {len(value)} beside one of {shape[depth]}")
        for item in value:
            yield from _constants(item, shape, depth + 1, expr, frame)
    elif isinstance(value, tuple):
        frame.fail(codes.TABLE_SHAPE, expr.span, what=f"more levels of lists than its {len(shape)} axes")
    elif isinstance(value, SizeVal) and value.size.constant is not None:
        yield value.size.constant
    elif isinstance(value, (bool, int, float)):
        yield value
    else:
        frame.fail(codes.NOT_STATIC, expr.span, what="a constant of a table")

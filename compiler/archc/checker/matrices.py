"""Operations on matrices: `solve[i, j](a, b)`, `cholesky[i, j](a)`, `eigh[i, j](a)`. Rows first, then columns, which come out;
`j = k` gives them another name there."""

from __future__ import annotations

from collections.abc import Sequence

from archc.checker import expressions
from archc.checker.frame import Frame
from archc.checker.terms import apply, reindex
from archc.checker.typed import MatrixCall, Term
from archc.checker.types import Axis, Dim, Type
from archc.checker.values import AxisRef, chain_size
from archc.diagnostics import codes
from archc.ops.table import OPS
from archc.syntax import tree
from archc.syntax.tree import Span


def call(row: str, items: Sequence[tree.BracketItem], args: Sequence[Term], expr: tree.Call, frame: Frame) -> Term:
    op, span = OPS[row], expr.span
    if len(args) != op.arity:
        frame.fail(codes.WRONG_ARGUMENT_COUNT, span, name=row, expected=op.arity, found=len(args))
    (rows, columns), target = _axes(row, items, span, frame)
    floats = []
    for place, (arg, at) in enumerate(zip(args, (argument.value.span for argument in expr.arguments), strict=True)):
        if arg.type.dtype not in ("float", "int"):
            frame.fail(codes.WRONG_DTYPE, at, expected="a number", found=frame.show(arg.type), name=row)
        for item in items[: 2 - place]:
            if frame.chain(item.axis)[0] not in arg.type.axes:
                frame.fail(codes.UNKNOWN_AXIS, at, name=item.axis.name, axes=frame.names_of(arg.type.axes),
                           value="this value")
        if place and columns in arg.type.axes:
            frame.fail(codes.RIGHT_SIDE, at, name=row, columns=items[1].axis.name, found=frame.show(arg.type))
        floats.append(apply("to_float", [arg], at, frame) if arg.type.dtype == "int" else arg)
    frame.require_equal(rows.size, columns.size, span, codes.NOT_SQUARE, name=row)
    axes: frozenset[Axis] = frozenset().union(*(arg.type.axes for arg in floats))
    kept = axes if row in ("cholesky", "eigenvectors") else axes - {rows}
    made: Term = MatrixCall(row, tuple(floats), rows, columns, Type("float", kept), span)
    if target is None:
        return made
    if clash := kept & set(target):
        frame.fail(codes.AXIS_TWICE, items[1].span, name=frame.axis_name(min(clash, key=lambda axis: axis.name)))
    return reindex(made, (columns,), target, span)


def eigh(items: Sequence[tree.BracketItem], expr: tree.Call, frame: Frame) -> tuple[Term, Term]:
    """Values along the columns, and a vector in every column. What is not used is not computed."""
    if len(expr.arguments) != 1 or expr.arguments[0].name is not None:
        frame.fail(codes.WRONG_ARGUMENT_COUNT, expr.span, name="eigh", expected=1, found=len(expr.arguments))
    args = [expressions.term(expr.arguments[0].value, frame)]
    values, vectors = (call(row, items, args, expr, frame) for row in ("eigenvalues", "eigenvectors"))
    return values, vectors


def _axes(name: str, items: Sequence[tree.BracketItem], span: Span, frame: Frame) -> tuple[tuple[Axis, Axis], Dim | None]:
    """Rows, columns, and the axis that the columns come out as, where it is another."""
    chains = [frame.chain(item.axis) for item in items]
    plain = all(item.border is None for item in items) and all(item.value is None for item in items[:1])
    if len(chains) != 2 or not plain or any(len(chain) != 1 for chain in chains) or chains[0] == chains[1]:
        frame.fail(codes.MATRIX_AXES, span, name=name, right=", b" * (OPS[name].arity - 1) if name in OPS else "")
    rows, columns = chains[0][0], chains[1][0]
    if items[1].value is None:
        return (rows, columns), None
    target = expressions.evaluate(items[1].value, frame)
    if not isinstance(target, AxisRef):
        frame.fail(codes.BINDING_NOT_AXIS, items[1].span, name=items[1].axis.name)
    frame.require_equal(columns.size, chain_size(target.chain), items[1].span, codes.SIZE_MISMATCH, name=target.name)
    return (rows, columns), None if target.chain == chains[1] else target.chain

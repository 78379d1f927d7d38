"""Making terms: operands checked against the op table's row, ints promoted, the union of axes taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from archc.checker.frame import Frame, Stop
from archc.checker.sizes import Size
from archc.checker.typed import Apply, AxisIndex, Const, Expand, ReadAt, SizeValue, Term
from archc.checker.types import Axis, Dim, Type
from archc.checker.values import AxisRef, Poison, SizeVal, Value
from archc.diagnostics import codes
from archc.ops.table import OPS, DType, Op
from archc.syntax.tree import Span

INT = Type("int")


def is_term(value: object) -> bool:
    return isinstance(value, get_args(Term))


def const(value: bool | int | float, span: Span) -> Const:
    dtype: DType = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "float"
    return Const(value, Type(dtype), span)


def as_term(value: Value, span: Span, frame: Frame) -> Term:
    """The value as a tensor. An axis gives its index; reports what has no value at run time."""
    if isinstance(value, Poison):
        raise Stop  # reported already
    if isinstance(value, (bool, int, float)):
        return const(value, span)
    if isinstance(value, SizeVal):
        known = value.size.constant
        return const(known, span) if known is not None else SizeValue(value.size, INT, span)
    if isinstance(value, AxisRef):
        return frame.index_of(value.chain) or axis_index(value.chain, span)
    if is_term(value):
        return value  # type: ignore[return-value]
    frame.fail(codes.NOT_A_VALUE, span, what=describe(value))


def axis_index(chain: Dim, span: Span) -> Term:
    """The index along an axis: of a split one, put together from its parts."""
    total: Term | None = None
    for axis in chain:
        index: Term = AxisIndex(axis, Type("int", frozenset({axis})), span)
        total = index if total is None else plus(times(total, axis.size, span), index, span)
    return total if total is not None else const(0, span)


def plus(a: Term, b: Term, span: Span) -> Term:
    return Apply("add", (a, b), Type("int", a.type.axes | b.type.axes), span)


def times(a: Term, size: Size, span: Span) -> Term:
    known = size.constant
    if known == 1:
        return a
    factor: Term = SizeValue(size, INT, span) if known is None else const(known, span)
    return Apply("mul", (a, factor), a.type, span)


def int_op(op: str, a: Term, size: Size, span: Span) -> Term:
    known = size.constant
    return Apply(op, (a, SizeValue(size, INT, span) if known is None else const(known, span)), a.type, span)


def apply(op: str, args: Sequence[Term], span: Span, frame: Frame) -> Term:
    """An elementwise operation. Reports a wrong number or dtype of operands."""
    row = OPS[op]
    if len(args) != row.arity:
        frame.fail(codes.WRONG_ARGUMENT_COUNT, span, name=row.language or op, expected=row.arity, found=len(args))
    for arg, letter in zip(args, row.dtypes, strict=False):
        if not _accepts(letter, arg.type.dtype):
            frame.fail(codes.WRONG_DTYPE, arg.span, expected=_words(letter), found=frame.show(arg.type), name=row.language or op)
    axes: frozenset[Axis] = frozenset().union(*(arg.type.axes for arg in args))
    return Apply(op, tuple(args), Type(result_dtype(row, args), axes), span)


def result_dtype(row: Op, args: Sequence[Term]) -> DType:
    dtypes = [arg.type.dtype for arg in args]
    mixed = any(d == "float" for d, letter in zip(dtypes, row.dtypes, strict=False) if letter in "na")
    promoted: list[DType] = [
        "float" if d == "int" and (letter == "f" or mixed) else d for d, letter in zip(dtypes, row.dtypes, strict=False)
    ]
    return row.result(tuple(promoted))


def _accepts(letter: str, dtype: DType) -> bool:
    return {
        "f": dtype in ("float", "int", "complex"),
        "i": dtype == "int",
        "b": dtype == "bool",
        "n": dtype in ("float", "int", "complex"),
        "a": True,
    }[letter]


def _words(letter: str) -> str:
    return {"f": "a float", "i": "an int", "b": "a bool", "n": "a number", "a": "a value"}[letter]


def expand(term: Term, axes: frozenset[Axis]) -> Term:
    missing = axes - term.type.axes
    return Expand(term, missing, Type(term.type.dtype, term.type.axes | missing), term.span) if missing else term


def reindex(term: Term, old: Dim, new: Dim, span: Span) -> Term:
    """The same elements along other axes: a chain of axes read as another chain with as many elements."""
    if old == new or not set(old) <= term.type.axes:
        return term
    if len(old) == len(new) and all(a.size == b.size for a, b in zip(old, new, strict=True)):
        at = tuple((a, AxisIndex(b, Type("int", frozenset({b})), span), "trust") for a, b in zip(old, new, strict=True) if a != b)
        axes = (term.type.axes - {a for a, _, _ in at}) | frozenset(b for a, b in zip(old, new, strict=True) if a != b)
        return ReadAt(term, at, None, Type(term.type.dtype, axes), span)  # type: ignore[arg-type]
    flat = axis_index(new, span)
    parts = []
    for position, axis in enumerate(old):
        stride = Size.of(1)
        for inner in old[position + 1 :]:
            stride = stride * inner.size
        index = flat if stride.constant == 1 else int_op("floordiv", flat, stride, span)
        parts.append((axis, index if position == 0 else int_op("mod", index, axis.size, span), "trust"))
    axes = (term.type.axes - frozenset(old)) | frozenset(new)
    return ReadAt(term, tuple(parts), None, Type(term.type.dtype, axes), span)  # type: ignore[arg-type]


def describe(value: Value) -> str:
    """What kind of thing a value is, for messages."""
    name = type(value).__name__
    return {
        "AxisRef": "an axis",
        "SizeVal": "a size",
        "LayerClass": "a layer",
        "Instance": "a sub-layer",
        "FnRef": "a function",
        "OpRef": "a function",
        "BuiltinRef": "a function",
        "Bound": "a function with axes",
        "str": "a text",
        "tuple": "a list",
        "bool": "a bool",
        "int": "a number",
        "float": "a number",
        "Poison": "something wrong",
    }.get(name, "a value")

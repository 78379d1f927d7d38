"""Making terms: operands checked against the op table's row, ints promoted, the union of axes taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from archc.checker.frame import Frame, Stop
from archc.checker.sizes import Size
from archc.checker.typed import Apply, AxisIndex, Const, Expand, ReadAt, SizeValue, Term
from archc.checker.types import Axis, Dim, Type
from archc.checker.values import AxisRef, BuiltinRef, FnRef, Instance, LayerClass, OpRef, Poison, SizeVal, Value
from archc.diagnostics import codes
from archc.ops.table import OPS, SMOOTH, DType, Op
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
    way_out = "make an instance in the layer's body, and call that: name(x)" if isinstance(value, LayerClass) else ""
    if isinstance(value, (FnRef, OpRef, BuiltinRef, Instance)):
        way_out = "call it: name(...)"
    frame.fail(codes.NOT_A_VALUE, span, what=describe(value), way_out=way_out)


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


def apply(op: str, args: Sequence[Term], span: Span, frame: Frame, places: Sequence[Span] = (), sign: str = "") -> Term:
    """An elementwise operation. Reports a wrong number or dtype of operands, which stand at `places`; `sign` is its symbol."""
    row = OPS[op]
    if len(args) != row.arity:
        frame.fail(codes.WRONG_ARGUMENT_COUNT, span, name=row.language or op, expected=row.arity, found=len(args))
    for place, arg in enumerate(args):
        demand_dtype(row, place, arg, span, frame, sign, places[place] if places else None)
    axes: frozenset[Axis] = frozenset().union(*(arg.type.axes for arg in args))
    return Apply(op, tuple(args), Type(result_dtype(row, args), axes), span)


def result_dtype(row: Op, args: Sequence[Term]) -> DType:
    dtypes = [arg.type.dtype for arg in args]
    mixed = any(d in SMOOTH for d, letter in zip(dtypes, row.dtypes, strict=False) if letter in "naz")
    promoted: list[DType] = [
        "float" if d == "int" and (letter in "fv" or mixed) else d for d, letter in zip(dtypes, row.dtypes, strict=False)
    ]
    return row.result(tuple(promoted))


def demand_dtype(row: Op, place: int, arg: Term, span: Span, frame: Frame, called: str = "", at: Span | None = None) -> None:
    """Reports an operand, which stands at `at`, of a dtype that the row does not take; an int serves as a float."""
    dtype, letter = arg.type.dtype, row.dtypes[place]
    if row.accepts(place, dtype) or (dtype == "int" and letter in "fv"):
        return
    name = called or SYMBOLS.get(row.name) or row.language or row.name
    if dtype == "complex":
        why, way_out = NO_COMPLEX.get(row.name, ("it is of real numbers", OF_PARTS))
        frame.fail(codes.COMPLEX_OPERAND, span, name=name, why=why, way_out=way_out, found=frame.show(arg.type))
    words = {"f": "a float", "i": "an int", "b": "a bool", "n": "a number", "v": "a number", "z": "a number", "a": "a value"}
    at = at or arg.span.within(span)
    frame.fail(codes.WRONG_DTYPE, at, expected=words[letter], found=frame.show(arg.type), name=name)


SYMBOLS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "floordiv": "//", "mod": "%", "pow": "^"}
OF_PARTS = "use it on abs(z), or on real(z) and imag(z)"
_UNORDERED = ("complex numbers have no order", "compare abs(z), or real(z) and imag(z)")
_WHOLE = ("complex numbers have no whole quotient", OF_PARTS)
NO_COMPLEX = {
    **dict.fromkeys(("lt", "le", "gt", "ge", "maximum", "minimum", "max", "min", "argmax", "argsort", "sign"), _UNORDERED),
    **dict.fromkeys(("floordiv", "mod", "floor", "ceil", "round", "to_int"), _WHOLE),
    "pow": ("only whole powers have one value there", "write a whole power, or exp(y * complex(log(abs(z)), angle(z)))"),
    "complex": ("its arguments are the real and the imaginary part", "multiply: x + complex(0, 1) * y"),
    "to_float": ("a float has no imaginary part", "take real(z), imag(z) or abs(z)"),
    "rfft": ("its frequencies below 0 follow from those above for floats alone", "fft[t](z) gives them all"),
}
"""Why operations refuse complex numbers, and the way out; by row."""


def converted(term: Term, dtype: str, frame: Frame) -> Term:
    """A term as a wider type that is declared for it: an int as a float, an int or float as complex. Others stay as they are."""
    found = term.type.dtype
    if found == "int" and dtype in SMOOTH:
        whole = isinstance(term, Const)
        term = const(float(term.value), term.span) if whole else apply("to_float", [term], term.span, frame)  # type: ignore[union-attr]
    if found in ("int", "float") and dtype == "complex":
        return apply("complex", [term, const(0.0, term.span)], term.span, frame)
    return term


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

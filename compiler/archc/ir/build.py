"""Making nodes with their types inferred. The only place where the type of an operation's result is decided.

What is made here is in normal form: an operation on constants is a constant, arithmetic of sizes is a size, a float is not
converted to a float, and a read says nothing of an axis that it leaves as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import cast

from archc.checker.sizes import Size, product
from archc.checker.types import Axis, Type
from archc.ir.graph import Accumulate, At, Attrs, Borders, Fourier, Matrix, Node, Random, Read, Table, dtype_of, node
from archc.ops.constants import Number, computed
from archc.ops.table import OPS, SMOOTH, DType

LARGEST_POWER = 8  # of a size that is written out
_ONE = Size.of(1)

def const(value: bool | int | float) -> Node:
    return node("const", (), value, Type(dtype_of(value)))


def size(value: Size) -> Node:
    """A size as an int value; a known one is a constant."""
    return const(value.constant) if value.constant is not None else node("size", (), value, Type("int"))


def count_of(axes: Iterable[Axis]) -> Node:
    """The number of elements of axes, as an int."""
    return size(product(axis.size for axis in axes))


def iota(axis: Axis) -> Node:
    """The index along an axis."""
    return node("iota", (), axis, Type("int", frozenset({axis})))


def table(axes: Iterable[Axis], shape: Iterable[int], values: Iterable[bool | int | float], dtype: DType) -> Node:
    """Constants along axes, the last one's fastest."""
    axes, values = tuple(axes), tuple(values)
    data = struct.pack(f"<{len(values)}{'d' if dtype == 'float' else 'q'}", *values)
    return node("table", (), Table(axes, tuple(shape), data), Type(dtype, frozenset(axes)))


def apply(op: str, *args: Node) -> Node:
    """An elementwise operation: the union of the operands' axes. An int operand where the row wants a float is converted."""
    row = OPS[op]
    if row.form != "elementwise" or len(args) != row.arity:
        raise TypeError(f"{op} is not elementwise with {len(args)} operands")
    if op == "to_float" and args[0].type.dtype == "float":
        return args[0]
    promoted = _promote(row.dtypes, args)
    dtype = row.result(tuple(arg.type.dtype for arg in promoted))
    if (known := _known(op, promoted, dtype)) is not None:
        return known
    axes = frozenset().union(*(arg.axes for arg in args)) if args else frozenset()
    return node(op, promoted, None, Type(dtype, axes))


def _known(op: str, args: tuple[Node, ...], dtype: DType) -> Node | None:
    """The constant or size that an operation on constants and sizes gives; None where it is neither."""
    if all(arg.op == "const" for arg in args):
        value = computed(op, [cast(Number, arg.attrs) for arg in args], dtype)
        return None if value is None else const(value)
    if dtype != "int" or not all(arg.op == "size" or (arg.op == "const" and arg.type.dtype == "int") for arg in args):
        return None
    found = _arithmetic(op, *(arg.attrs if isinstance(arg.attrs, Size) else Size.of(cast(int, arg.attrs)) for arg in args))
    return None if found is None else size(found)


def _arithmetic(op: str, a: Size, b: Size = _ONE) -> Size | None:
    """Arithmetic of sizes; None where its result is no size."""
    if op == "neg":
        return -a
    if op in ("add", "sub", "mul"):
        return a + b if op == "add" else a - b if op == "sub" else a * b
    if op in ("floordiv", "mod") and b.constant != 0:
        return a // b if op == "floordiv" else a % b
    if op == "maximum":
        return a.largest(b)
    if op == "ipow" and b.constant is not None and 0 <= b.constant <= LARGEST_POWER:
        return product([a] * b.constant)
    return None


def _promote(letters: str, args: tuple[Node, ...]) -> tuple[Node, ...]:
    """Ints become floats where the row wants floats, or where a number or anything meets a float or a complex number."""
    mixed = any(arg.type.dtype in SMOOTH for arg, letter in zip(args, letters, strict=False) if letter in "naz")

    def convert(arg: Node, letter: str) -> Node:
        wants_float = letter in "fv" or (letter in "naz" and mixed)
        if wants_float and arg.type.dtype == "int":
            return const(float(arg.attrs)) if arg.op == "const" else node(  # type: ignore[arg-type]
                "to_float", (arg,), None, Type("float", arg.axes))
        return arg

    return tuple(convert(arg, letter) for arg, letter in zip(args, letters, strict=False))


def expand(x: Node, axes: Iterable[Axis]) -> Node:
    """The value repeated along axes that it lacks."""
    added = frozenset(axes) - x.axes
    return node("expand", (x,), added, Type(x.type.dtype, x.axes | added)) if added else x


def reduce(op: str, x: Node, over: Iterable[Axis]) -> Node:
    """A reduction or normaliser. A sum over axes that x lacks multiplies by their sizes; others expand x first."""
    over = frozenset(over)
    row = OPS[op]
    if row.form == "elementwise":
        raise TypeError(f"{op} has no axes")
    if row.dtypes[0] in "fv" and x.type.dtype == "int":
        x = apply("to_float", x)
    missing = over - x.axes
    if missing and op == "sum":
        return apply("mul", reduce(op, x, over - missing), count_of(missing))
    x = expand(x, missing)
    if not over and op in ("sum", "prod", "max", "min", "any", "all"):
        return x
    axes = x.axes - over if row.form == "reduce" else x.axes
    return node(op, (x,), over, Type(row.result((x.type.dtype,)), axes))


def matrix(op: str, rows: Axis, columns: Axis, *args: Node) -> Node:
    """An operation on matrices. An operand is repeated along the axes of a matrix (or of its right side) that it lacks."""
    args = tuple(apply("to_float", arg) if arg.type.dtype == "int" else arg for arg in args)
    args = (expand(args[0], {rows, columns}), *(expand(arg, {rows}) for arg in args[1:]))
    axes = frozenset().union(*(arg.axes for arg in args))
    if op not in ("cholesky", "eigenvectors"):
        axes -= {rows}
    return node(op, args, Matrix(rows, columns), Type("float", axes))


def read(x: Node, at: Mapping[Axis, tuple[Node, Borders]], fill: Node | None = None) -> Node:
    """x at other places: each axis named in `at` is indexed by an int expression over the surrounding axes."""
    if missing := frozenset(at) - x.axes:
        raise TypeError(f"read indexes axes that its operand lacks: {missing}")
    if any(border == "fill" for _, border in at.values()) != (fill is not None):
        raise TypeError("a read has a fill scalar exactly where a border fills")
    ordered = sorted(((axis, place) for axis, place in at.items() if place[0] is not iota(axis)), key=lambda item: item[0].name)
    if not ordered:
        return x
    indices = tuple(index for _, (index, _) in ordered)
    axes = (x.axes - {axis for axis, _ in ordered}).union(*(index.axes for index in indices))
    attrs = Read(tuple(At(axis, border) for axis, (_, border) in ordered))
    if all(border != "fill" for _, (_, border) in ordered):
        fill = None
    dtype = x.type.dtype
    if fill is not None and fill.type.dtype != dtype:
        fill = converted(fill, dtype)
    return node("read", (x, *indices, *((fill,) if fill is not None else ())), attrs, Type(dtype, axes))


def normal(op: str, args: tuple[Node, ...], attrs: Attrs, type: Type) -> Node:
    """The node with this content, in normal form; its type stays."""
    if op in OPS and OPS[op].form == "elementwise":
        return apply(op, *args)
    if isinstance(attrs, Read):
        at = {at.axis: (index, at.border) for at, index in zip(attrs.at, args[1:], strict=False)}
        return read(args[0], at, args[-1] if len(args) > 1 + len(at) else None)
    return node(op, args, attrs, type)


def converted(x: Node, dtype: DType) -> Node:
    """A value as one of another type."""
    if x.type.dtype == dtype:
        return x
    if dtype == "complex":
        return apply("complex", x, const(0.0))
    return const(float(x.attrs)) if x.op == "const" and dtype == "float" else apply(f"to_{dtype}", x)  # type: ignore[arg-type]


def fourier(op: str, x: Node, over: Iterable[Axis], half: tuple[Axis, Axis] | None = None, norm: str = "backward") -> Node:
    """A Fourier transform; see `Fourier`. Along an axis that x lacks its elements are equal."""
    attrs = Fourier(frozenset(over), half, norm)
    row = OPS[op]
    if x.type.dtype == "int":
        x = apply("to_float", x)
    gone = frozenset(half[:1] if op == "rfft" else half[1:]) if half else frozenset()
    x = expand(x, attrs.over | gone)
    axes = (x.axes - gone) | (frozenset(half or ()) - gone)
    return node(op, (x,), attrs, Type(row.result((x.type.dtype,)), axes))


def rename(x: Node, axes: Mapping[Axis, Axis]) -> Node:
    """x with axes replaced by others of equal size."""
    moved = {old: (iota(new), "trust") for old, new in axes.items() if old in x.axes and old != new}
    return read(x, moved) if moved else x  # type: ignore[arg-type]


def accumulate(v: Node, at: Mapping[Axis, tuple[Node, Borders]], keep: Iterable[Axis]) -> Node:
    """The transpose of `read`; see `Accumulate`."""
    keep = frozenset(keep)
    ordered = sorted(at.items(), key=lambda item: item[0].name)
    attrs = Accumulate(tuple(At(axis, border) for axis, (_, border) in ordered), keep)
    return node("accumulate", (v, *(index for _, (index, _) in ordered)), attrs,
                Type(v.type.dtype, keep | frozenset(at)))


def random(kind: str, args: Iterable[Node], axes: Iterable[Axis], serial: int) -> Node:
    axes = tuple(axes)
    args = (apply("to_float", arg) if arg.type.dtype == "int" and arg.op != "const" else
            const(float(arg.attrs)) if arg.type.dtype == "int" else arg for arg in args)  # type: ignore[arg-type]
    return node("random", args, Random(kind, axes, serial), Type("float", frozenset(axes)))


def item(call: Node, index: int, type: Type) -> Node:
    """One result of a `call` or `member` node."""
    return node("item", (call,), index, type)

"""Lowering of elementwise operations, constants and indices."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis
from archc.codegen.torch import layout
from archc.codegen.torch.form import Dims, Expr
from archc.codegen.torch.layout import align, literal, merge
from archc.codegen.torch.lower import Lowering, NeedsFlat
from archc.codegen.torch.print import literal as number
from archc.codegen.torch.spelling import HOST
from archc.ir.graph import Node, Table
from archc.ops.table import DType


def constant(_: Lowering, current: Node) -> Expr:
    assert isinstance(current.attrs, (bool, int, float))
    return literal(current.attrs)


def size(low: Lowering, current: Node) -> Expr:
    assert isinstance(current.attrs, Size)
    return low.size(current.attrs)


def table(low: Lowering, current: Node) -> Expr:
    """The constants as lists in lists."""
    found = current.attrs
    assert isinstance(found, Table)
    items = [number(value) for value in found.values(current.type.dtype)]
    for count in reversed(found.shape):
        groups = len(items) // count if count else prod(found.shape[: found.shape.index(0)])
        items = [f"[{', '.join(items[i * count : (i + 1) * count])}]" for i in range(groups)]
    dtype = {"float": low.dtype_text, "int": "torch.long", "bool": "torch.bool"}[current.type.dtype]
    return Expr("tensor", (Expr("literal", (), (items[0],)),), (dtype, low.device_text), found.axes, current.type.dtype)


def port(low: Lowering, current: Node) -> Expr:
    return low.port(str(current.attrs))


def index(low: Lowering, current: Node) -> Expr:
    axis = current.attrs
    assert isinstance(axis, Axis)
    if axis.name == LEADING and low.native:
        raise NeedsFlat
    return Expr("arange", (low.size(axis.size),), (low.device_text,), (axis,), "int")


def expand(low: Lowering, current: Node) -> Expr:
    x = low.value(current.args[0])
    order = order_of(low, current, [x])
    if x.is_host:
        sizes = tuple(Expr("star", (low.lead_shape(),)) if axis.name == LEADING and low.native else low.size(axis.size)
                      for axis in order)
        return Expr("full", (Expr("tuple", sizes), x), (low.dtype_of(x.dtype), low.device_text), order, x.dtype)
    lead = low.lead_shape() if low.native and order and order[0].name == LEADING and order[0] not in x.axes else None
    if low.native and order and order[0].name == LEADING and lead is None and x.axes != frozenset(order):
        lead = low.lead_shape()
    return layout.expand(x, order, low.size, lead)


def order_of(low: Lowering, current: Node, args: Sequence[Expr]) -> tuple[Axis, ...]:
    """The order of dimensions of an elementwise result."""
    orders = [tuple(dim for dim in arg.dims if dim is not None) for arg in args if arg.dims is not None]
    found = merge(orders, low.wish.get(current, ()))
    rest = [axis for axis in low.wish.get(current, ()) if axis in current.axes and axis not in found]
    found = (*found, *rest, *sorted(current.axes - frozenset((*found, *rest)), key=lambda axis: axis.name))
    return tuple(sorted(found, key=lambda axis: axis.name != LEADING))


def broadcast(args: Sequence[Expr]) -> Dims:
    """The dimensions of aligned operands together."""
    rank = max((len(arg.dims) for arg in args if arg.dims is not None), default=0)
    found: list[Axis | None] = [None] * rank
    for arg in args:
        dims = arg.dims or ()
        for place, dim in enumerate(dims, rank - len(dims)):
            found[place] = found[place] or dim
    return tuple(found)


def make(low: Lowering, current: Node, op: str, args: Sequence[Expr], dtype: DType, params: tuple[str, ...] = ()) -> Expr:
    """An elementwise operation on operands in any order of dimensions."""
    if not fits(args):
        order = order_of(low, current, args)
        args = [align(arg, order) for arg in args]
    return Expr(op, tuple(args), params, broadcast(args), dtype)


def fits(args: Sequence[Expr]) -> bool:
    """Whether operands broadcast as they are: aligned at the right, each axis stands at one place and each place has one axis."""
    places: dict[Axis, int] = {}
    taken: dict[int, Axis] = {}
    for arg in args:
        for place, dim in enumerate(reversed(arg.dims or ())):
            if dim is not None and (places.setdefault(dim, place) != place or taken.setdefault(place, dim) != dim):
                return False
    rank = max((len(arg.dims or ()) for arg in args), default=0)
    return all(place == rank - 1 for dim, place in places.items() if dim.name == LEADING)


def general(low: Lowering, current: Node) -> Expr:
    if current.op == "mul" and low.operands(current) != current.args:
        return _over_root(low, current)
    args = [low.value(arg) for arg in current.args]
    if all(arg.is_host for arg in args):
        by_hand = current.op in ("exp", "ipow") and args[0].dtype == "complex"  # Python's math has no complex numbers
        if not by_hand and current.op in HOST and (low.scope.constructing or not _may_raise(current)):
            if current.op == "detach":
                return args[0]
            if current.op == "div" and _may_raise(current):
                args = [args[0], Expr("maximum", (args[1], literal(1)), (), None, args[1].dtype)]
            return Expr(current.op, tuple(args), (), None, current.type.dtype)
        args = [low.as_tensor(args[0]), *args[1:]]
    if len(args) == 2 and current.op in ("and", "or"):
        args = [low.as_tensor(arg) for arg in args]
    if all(arg.is_host for arg in args[:1]) and len(args) == 1:
        args = [low.as_tensor(args[0])]
    if current.op == "floordiv" and current.type.dtype == "float":
        return make(low, current, "floor_of_quotient", [low.as_tensor(args[0]), args[1]], "float")
    return make(low, current, current.op, args, current.type.dtype)


def _over_root(low: Lowering, current: Node) -> Expr:
    """x / number ** 0.5; a number that may be negative stays a tensor, whose root is nan."""
    operands = low.operands(current)
    place = next(i for i in (1, 0) if operands[i] is not current.args[i])
    x, number = low.value(operands[1 - place]), low.value(operands[place])
    if not low.scope.constructing and not _not_negative(operands[place]):
        number = low.as_tensor(number)
    root = Expr("sqrt", (number,), (), number.dims, "float")
    if x.is_host and (low.scope.constructing or _positive(operands[place])):
        return Expr("div", (x, root), (), None, "float")
    return make(low, current, "div", [low.as_tensor(x), root], current.type.dtype)


def _may_raise(current: Node) -> bool:
    """Python raises where torch gives inf or nan: a division by what may be zero, a logarithm, an overflow."""
    if current.op == "div":
        return not _positive(current.args[1])
    if current.op in ("floordiv", "mod"):
        return False
    return current.op in ("log", "log1p", "pow", "rsqrt", "exp", "expm1", "sqrt") and not _safe(current)


def _safe(current: Node) -> bool:
    if current.op in ("sqrt",):
        return _not_negative(current.args[0])
    if current.op in ("rsqrt", "log"):
        return _positive(current.args[0])
    return all(arg.op == "const" for arg in current.args)


def _positive(current: Node) -> bool:
    """Never zero or less: a constant, a size plus one, a root or product of such, or the larger of one and anything."""
    if current.op == "const":
        return isinstance(current.attrs, (int, float)) and current.attrs > 0
    if current.op in ("to_float", "sqrt"):
        return _positive(current.args[0])
    if current.op in ("mul", "div"):
        return all(map(_positive, current.args))
    if current.op == "maximum":
        return any(map(_positive, current.args))
    if current.op == "add":
        return any(map(_positive, current.args)) and all(_positive(arg) or _not_negative(arg) for arg in current.args)
    return False


def _not_negative(current: Node) -> bool:
    if current.op == "size" and isinstance(current.attrs, Size):
        return all(coefficient > 0 for _, coefficient in current.attrs.terms)
    if current.op in ("to_float", "sqrt", "add", "mul"):
        return all(map(_not_negative, current.args))
    return _positive(current)


def to_float(low: Lowering, current: Node) -> Expr:
    x = low.value(current.args[0])
    if x.dtype == "float":
        return x
    if x.is_host:
        return literal(float(x.params[0])) if x.op in ("literal", "negative") else Expr(  # type: ignore[arg-type]
            "as", (x,), (), None, "float")
    inner = current.args[0]
    one_or_zero = inner.op == "where" and [arg.attrs for arg in inner.args[1:] if arg.op == "const"] == [1, 0]
    if inner.op == "bool_to_int" or one_or_zero:
        x = low.value(inner.args[0])
    long = any(axis.size.constant is None or axis.size.constant > EXACT for axis in current.axes)
    if long and low.is_fixed(current) and all(map(low.is_fixed, low.readers[current])) and current not in low.kept:
        low.precise.add(current)
        return Expr("to_float", (x,), (f"torch.promote_types({low.dtype_text}, torch.float32)",), x.dims, "float")
    return Expr("to_float", (x,), (low.dtype_text,), x.dims, "float")


def put_together(low: Lowering, current: Node) -> Expr:
    """A complex number from its parts; one whose imaginary part is 0 is converted."""
    x, y = (low.value(arg) for arg in current.args)
    if x.is_host and y.is_host:
        return Expr("complex", (x, y), (), None, "complex")
    if y.op == "literal" and y.params == (0.0,):
        return low.as_complex(x)
    return make(low, current, "complex", [low.as_tensor(x), low.as_tensor(y)], "complex")


def part(low: Lowering, current: Node) -> Expr:
    """The real or imaginary part, or the conjugate; a float is all real."""
    x = low.value(current.args[0])
    if x.dtype == "complex":
        return general(low, current)
    return x if current.op != "imag" else literal(0.0) if x.is_host else Expr(
        "function", (x,), ("torch.zeros_like",), x.dims, "float")


EXACT = 256
"""Ints up to here are the same in bfloat16, so that a shorter axis' positions can be too."""


def whole_power(low: Lowering, current: Node) -> Expr:
    x, exponent = (low.value(arg) for arg in current.args)
    if not x.is_host and exponent.op == "literal" and exponent.params == (2,):
        return Expr("square", (x,), (), x.dims, x.dtype)
    return general(low, current)


def extremum(low: Lowering, current: Node) -> Expr:
    """torch.maximum gives each of two equal operands half of the derivative, clamp does not; torch.atan2 takes no numbers: they
    become tensors."""
    args = [low.value(arg) for arg in current.args]
    if all(arg.is_host for arg in args):
        return general(low, current)
    return make(low, current, current.op, [low.as_tensor(arg) for arg in args], current.type.dtype)


def where(low: Lowering, current: Node) -> Expr:
    condition, yes, no = (low.value(arg) for arg in current.args)
    if condition.is_host:
        if yes.is_host and no.is_host:
            return Expr("where", (condition, yes, no), (), None, current.type.dtype)
        yes, no = low.as_tensor(yes), low.as_tensor(no)
        order = order_of(low, current, [yes, no])
        lead = low.lead_shape() if low.native and order and order[0].name == LEADING else None
        yes, no = (layout.expand(part, order, low.size, lead) for part in (yes, no))
        return Expr("select", (condition, yes, no), (), order, current.type.dtype)
    if yes.is_host and no.is_host and current.type.dtype == "float":
        if (yes.params, no.params) == ((1.0,), (0.0,)):
            return Expr("to_float", (condition,), (low.dtype_text,), condition.dims, "float")
        yes = low.as_tensor(yes)
    if current.type.dtype == "complex":
        yes, no = (part if part.is_host else low.as_complex(part) for part in (yes, no))
        yes = low.as_complex(yes) if no.is_host else yes
    return make(low, current, "where", [condition, yes, no], current.type.dtype)

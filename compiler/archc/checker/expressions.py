"""What an expression means where it stands: names resolved, static parts computed, terms typed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from archc.checker import calls, reads
from archc.checker.frame import Frame
from archc.checker.sizes import Size
from archc.checker.terms import apply, as_term, const, describe, is_term
from archc.checker.typed import Term
from archc.checker.values import AxisRef, Bound, BuiltinRef, FnRef, Instance, OpRef, SizeVal, Value, chain_size
from archc.diagnostics import codes
from archc.syntax import tree
from archc.syntax.tree import Span

OPERATORS = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "//": "floordiv",
    "%": "mod",
    "==": "eq",
    "!=": "ne",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
    "and": "and",
    "or": "or",
}
STATIC: dict[str, Callable[..., object]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "^": operator.pow,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
}
LARGEST_STATIC = 2**63


def evaluate(expr: tree.Expr, frame: Frame) -> Value:
    """The value of an expression. Raises Stop where a problem was reported."""
    context = frame.context
    context.nested += 1
    try:
        if context.nested > context.nested_below:
            frame.limit("evaluations", context.nested, expr.span)
            context.nested_below = context.nested
        value = _evaluate(expr, frame)
    finally:
        context.nested -= 1
    if context.record is not None:
        context.record(expr, value, frame)
    return value


def _evaluate(expr: tree.Expr, frame: Frame) -> Value:
    match expr:
        case tree.Number() | tree.Bool() | tree.String():
            return expr.value
        case tree.Name():
            return frame.element(frame.find(expr), expr.span)
        case tree.SizeOf(axis):
            return _size_of(axis, frame)
        case tree.ListOf(items):
            return tuple(evaluate(item, frame) for item in items)
        case tree.Unary(op, operand):
            return _unary(op, evaluate(operand, frame), expr.span, frame)
        case tree.Binary():
            return _binary(expr, frame)
        case tree.Bracketed():
            return _bracketed(expr, frame)
        case tree.Call():
            return calls.call(expr, frame)
        case tree.Member(base, name):
            return calls.member(evaluate(base, frame), name, frame)
        case tree.Repeat():
            return calls.repeat(expr, frame)


def term(expr: tree.Expr, frame: Frame) -> Term:
    """The expression as a tensor."""
    return as_term(evaluate(expr, frame), expr.span, frame)


def _size_of(axis: tree.Ident, frame: Frame) -> Value:
    chain = frame.find_axis(axis.name)
    frame.known_or_stop(axis)
    if chain is None and axis.name != "..." and frame.find_value(axis.name) is not None:
        frame.fail(codes.SIZE_NAMES_VALUE, axis.span, name=axis.name)
    return SizeVal(chain_size(frame.chain(axis)))


def _unary(op: str, value: Value, span: Span, frame: Frame) -> Value:
    if op == "not":
        return not value if isinstance(value, bool) else apply("not", [as_term(value, span, frame)], span, frame)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return -value
    if isinstance(value, SizeVal):
        return SizeVal(-value.size)
    return apply("neg", [as_term(value, span, frame)], span, frame, sign="-")


def _binary(expr: tree.Binary, frame: Frame) -> Value:
    op, span = expr.op, expr.span
    left = evaluate(expr.left, frame)
    if isinstance(left, bool) and op in ("and", "or") and left == (op == "or"):
        return left
    right = evaluate(expr.right, frame)
    if isinstance(left, (bool, int, float, str)) and isinstance(right, (bool, int, float, str)):
        return _static(op, left, right, span, frame)
    if (sized := _sizes(op, left, right, frame)) is not None:
        frame.limit("terms of a size", sum(1 + len(monomial) for monomial, _ in sized.size.terms), span)
        return sized
    if isinstance(left, (bool, int, float, str)) and op in ("==", "!=") and not is_term(right) and not isinstance(right, SizeVal):
        frame.fail(codes.NOT_A_VALUE, expr.right.span, what=describe(right), way_out="")
    a, b = as_term(left, expr.left.span, frame), as_term(right, expr.right.span, frame)
    if op == "^":
        return _power(a, b, right, span, frame)
    return apply(OPERATORS[op], [a, b], span, frame, (expr.left.span, expr.right.span), op)


def _static(op: str, left: bool | int | float | str, right: bool | int | float | str, span: Span, frame: Frame) -> Value:
    if isinstance(left, str) != isinstance(right, str) or (isinstance(left, str) and op not in ("==", "!=")):
        frame.fail(codes.STATIC_OPERANDS, span, op=op, left=describe(left), right=describe(right))
    if op == "^" and isinstance(left, (int, float)) and isinstance(right, (int, float)) and abs(right) > 4096:
        frame.fail(codes.STATIC_ARITHMETIC, span, why="the power is too large")
    try:
        result = STATIC[op](left, right)
    except ZeroDivisionError:
        frame.fail(codes.STATIC_ARITHMETIC, span, why=f"{left} {op} {right} divides by zero")
    except (ArithmeticError, TypeError, ValueError):
        frame.fail(codes.STATIC_ARITHMETIC, span, why=f"{left} {op} {right} has no value")
    if isinstance(result, complex) or (isinstance(result, int) and abs(result) >= LARGEST_STATIC):
        frame.fail(codes.STATIC_ARITHMETIC, span, why="the result is not a number of 64 bits")
    return result  # type: ignore[return-value]


def _sizes(op: str, left: Value, right: Value, frame: Frame) -> SizeVal | None:
    """Arithmetic of sizes and ints gives a size again; None where it does not apply."""

    def as_size(value: Value) -> Size | None:
        if isinstance(value, SizeVal):
            return value.size
        return Size.of(value) if isinstance(value, int) and not isinstance(value, bool) else None

    a, b = as_size(left), as_size(right)
    if a is None or b is None:
        return None
    if op == "+":
        return SizeVal(a + b)
    if op == "-":
        return SizeVal(a - b)
    if op == "*":
        return SizeVal(a * b)
    if op in ("//", "%") and b.constant != 0:
        if b.constant is None:
            frame.context.divisors.append(b)
        return SizeVal(a // b if op == "//" else a % b)
    if op == "^" and b.constant is not None and 0 <= b.constant <= 8:
        total = Size.of(1)
        for _ in range(b.constant):
            total = total * a
        return SizeVal(total)
    return None


def _power(a: Term, b: Term, exponent: Value, span: Span, frame: Frame) -> Term:
    if isinstance(exponent, int) and not isinstance(exponent, bool) and exponent >= 0:
        return apply("ipow", [a, b], span, frame, sign="^")
    if a.type.dtype == "complex" and isinstance(exponent, int) and not isinstance(exponent, bool):
        return apply("div", [const(1.0, span), apply("ipow", [a, const(-exponent, span)], span, frame)], span, frame)
    return apply("pow", [a, b], span, frame, sign="^")


def _bracketed(expr: tree.Bracketed, frame: Frame) -> Value:
    # A read may name the scanned axis of a loop: its operand is the whole value, not the element.
    base = frame.find(expr.base) if isinstance(expr.base, tree.Name) else evaluate(expr.base, frame)
    if isinstance(base, (OpRef, BuiltinRef, FnRef, Instance)):
        no_numbers(expr.items, frame)
        return Bound(base, expr.items, expr.span)
    if isinstance(base, tuple):
        return _item(base, expr, frame)
    if isinstance(base, AxisRef):
        frame.fail(codes.AXIS_INDEXED, expr.span, name=base.name)
    no_numbers(expr.items, frame)
    return frame.element(reads.read(as_term(base, expr.base.span, frame), expr, frame), expr.span)


def no_numbers(items: Sequence[tree.BracketItem], frame: Frame) -> None:
    """A number alone in brackets is the index of a static list; of a value it would leave open which axis is meant."""
    for item in items:
        if not item.axis.name.isidentifier() and item.axis.name != "...":
            frame.fail(codes.syntax_codes.INDEX_WITHOUT_AXIS, item.span)


def _item(items: tuple[Value, ...], expr: tree.Bracketed, frame: Frame) -> Value:
    """`sizes[0]`: an element of a static list. The parser gives the index as an item."""
    if len(expr.items) == 1 and expr.items[0].value is None:
        name = expr.items[0].axis
        index: Value = int(name.name) if name.name.isdigit() else frame.find(name)
        if isinstance(index, int) and -len(items) <= index < len(items):
            return items[index]
        if isinstance(index, int):
            frame.fail(codes.INDEX_OUTSIDE, expr.items[0].span, name="this list", runs=f"is {index}", size=len(items), way_out="")
    frame.fail(codes.NOT_STATIC, expr.span, what="the index of a list")


def static(expr: tree.Expr, frame: Frame, what: str) -> Value:
    """A value that must be known now."""
    value = evaluate(expr, frame)
    if isinstance(value, SizeVal):
        if value.size.constant is not None:
            return value.size.constant
        frame.fail(codes.NOT_STATIC, expr.span, what=what)
    if is_term(value):
        frame.fail(codes.NOT_STATIC, expr.span, what=what)
    return value

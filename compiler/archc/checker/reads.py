"""`x[axis = expression, ...]`: views, shifts, gathers, stencils. Left stand the operand's axes, right the surrounding scope."""

from __future__ import annotations

from typing import Literal

from archc.checker import expressions
from archc.checker.bounds import interval, of_sizes
from archc.checker.frame import Frame, nonnegative
from archc.checker.sizes import Size
from archc.checker.terms import apply, as_term, const, converted, int_op
from archc.checker.typed import AxisIndex, ReadAt, Step, Term
from archc.checker.types import Axis, Dim, Type
from archc.checker.values import AxisRef, SizeVal, chain_size
from archc.diagnostics import codes
from archc.syntax import tree
from archc.syntax.tree import Span

Policy = Literal["check", "trust", "fill", "edge", "reflect", "wrap"]
At = tuple[Axis, Term, Policy]
BORDERS = {"zero": "fill", "edge": "edge", "reflect": "reflect", "wrap": "wrap"}


def read(operand: Term, expr: tree.Bracketed, frame: Frame) -> Term:
    """The read as a term. Reports unknown axes, indices that are not whole, and reads that provably miss."""
    at: list[At] = []
    fill: Term | None = None
    for item in expr.items:
        chain = _operand_axis(item, operand, frame)
        if any(axis in {a for a, _, _ in at} for axis in chain):
            frame.fail(codes.AXIS_TWICE, item.span, name=item.axis.name)
        if item.value is None:
            continue
        policy, scalar = _policy(item, frame)
        if scalar is not None:
            if fill is not None and not _same(fill, scalar):
                frame.fail(codes.SECOND_FILL, item.span)
            fill = fill or scalar
        index = _index(item, policy, chain, frame)
        at.extend(_through_split(chain, index, policy, item, frame))
    # What is read where it stands is never outside.
    at = [(axis, index, "trust" if isinstance(index, Step) and index.axis == axis else policy)
          for axis, index, policy in at if not (isinstance(index, AxisIndex) and index.axis == axis)]
    if not at:
        return operand
    if not any(policy == "fill" for _, _, policy in at):
        fill = None
    indexed = {axis for axis, _, _ in at}
    axes = (operand.type.axes - indexed).union(*(index.type.axes for _, index, _ in at))
    if fill is not None and fill.type.dtype != operand.type.dtype:
        fill = converted(fill, operand.type.dtype, frame)
        if fill.type.dtype != operand.type.dtype:
            frame.fail(codes.FILL_DTYPE, fill.span, found=frame.show(fill.type), expected=frame.show(operand.type))
    return ReadAt(operand, tuple(at), fill, Type(operand.type.dtype, axes), expr.span)


def _operand_axis(item: tree.BracketItem, operand: Term, frame: Frame) -> Dim:
    if item.axis.name == "...":
        frame.fail(codes.LEADING_INDEXED, item.span)
    chain = frame.find_axis(item.axis.name)
    frame.known_or_stop(item.axis)
    if chain is None and frame.find_value(item.axis.name) is not None:
        frame.fail(codes.VALUE_AS_AXIS, item.axis.span, name=item.axis.name)
    if chain is None or not set(chain) <= operand.type.axes:
        names = frame.names_of(operand.type.axes)
        frame.fail(codes.UNKNOWN_AXIS, item.axis.span, name=item.axis.name, axes=names, value="this value")
    return chain


def _policy(item: tree.BracketItem, frame: Frame) -> tuple[Policy, Term | None]:
    border = item.border
    if border is None:
        return "check", None
    if border.kind == "else":
        assert border.value is not None
        scalar = expressions.term(border.value, frame)
        if scalar.type.axes:
            frame.fail(codes.FILL_NOT_SCALAR, border.value.span, found=frame.show(scalar.type))
        return "fill", scalar
    if border.kind == "by":
        assert border.value is not None
        name = expressions.static(border.value, frame, "the border of a read")
        if not isinstance(name, str) or name not in BORDERS:
            frame.fail(codes.UNKNOWN_BORDER, border.value.span, name=name, borders=sorted(BORDERS))
        policy: Policy = BORDERS[name]  # type: ignore[assignment]
        return policy, const(0, border.span) if policy == "fill" else None
    return border.kind, None


def _same(a: Term, b: Term) -> bool:
    return getattr(a, "value", a) == getattr(b, "value", b)


def _index(item: tree.BracketItem, policy: Policy, chain: Dim, frame: Frame) -> Term:
    """The index expression as an int term; `/` at its top is an exact division whose other results count as outside."""
    assert item.value is not None
    expr = item.value
    if isinstance(expr, tree.Binary) and expr.op == "/":
        if policy != "fill":
            frame.fail(codes.EXACT_DIVISION, expr.span)
        whole, divisor = expressions.term(expr.left, frame), expressions.term(expr.right, frame)
        exact = apply("eq", [apply("mod", [whole, divisor], expr.span, frame), const(0, expr.span)], expr.span, frame)
        quotient = apply("floordiv", [whole, divisor], expr.span, frame)
        return apply("where", [exact, quotient, const(-1, expr.span)], expr.span, frame)
    value = expressions.evaluate(expr, frame)
    index = as_term(value, expr.span, frame)
    if index.type.dtype != "int":
        frame.fail(codes.INDEX_NOT_INT, expr.span, found=frame.show(index.type), name=item.axis.name)
    if isinstance(value, AxisRef) and policy == "check":
        _same_size(chain, value.chain, item, frame)
    return index


MISS = "say what a miss gives: else 0, edge, reflect or wrap"


def _runs(low: Size, high: Size) -> str:
    return f"is {low}" if low == high else f"runs from {low} to {high}"


def _same_size(chain: Dim, other: Dim, item: tree.BracketItem, frame: Frame) -> None:
    """`k[t = s]` renames: a bare axis on the right should be no longer than the operand's."""
    difference = (chain_size(chain) - chain_size(other)).constant
    if difference is not None and difference < 0:
        frame.fail(
            codes.INDEX_OUTSIDE,
            item.span,
            name=f"'{item.axis.name}'",
            size=chain_size(chain),
            runs=_runs(Size.of(0), chain_size(other) - 1),
            way_out=MISS,
        )


def _through_split(chain: Dim, index: Term, policy: Policy, item: tree.BracketItem, frame: Frame) -> list[At]:
    """An index on a split axis reads through the split: quotient and remainder for the parts."""
    size = chain_size(chain)
    policy = _prove(index, size, policy, item, frame)
    if len(chain) == 1:
        return [(chain[0], index, policy)]
    if isinstance(index, AxisIndex) and index.axis.size == size and policy == "trust":
        pass
    span = item.span
    if policy in ("edge", "reflect", "wrap"):
        index, policy = _folded(index, size, policy, span, frame), "trust"
    result: list[At] = []
    stride = Size.of(1)
    for position in reversed(range(len(chain))):
        axis = chain[position]
        part = index if stride.constant == 1 else int_op("floordiv", index, stride, span)
        if position:
            result.append((axis, int_op("mod", part, axis.size, span), "trust"))
        else:
            result.append((axis, part, policy))
        stride = stride * axis.size
    return result[::-1]


def _folded(index: Term, size: Size, policy: Policy, span: Span, frame: Frame) -> Term:
    """The index after its border policy, as arithmetic."""
    last = as_term(SizeVal(size - 1), span, frame)
    if policy == "wrap":
        return int_op("mod", index, size, span)
    if policy == "edge":
        return apply("minimum", [apply("maximum", [index, const(0, span)], span, frame), last], span, frame)
    period = as_term(SizeVal((size - 1) * 2), span, frame)
    turned = apply("mod", [index, apply("maximum", [period, const(1, span)], span, frame)], span, frame)
    return apply("minimum", [turned, apply("sub", [period, turned], span, frame)], span, frame)


def _prove(index: Term, size: Size, policy: Policy, item: tree.BracketItem, frame: Frame) -> Policy:
    """What is left of a check when bounds are known: nothing to do, a check at entry, or a check in the kernel."""
    if policy != "check":
        return policy
    bounds = interval(index)
    if bounds is None:
        frame.context.undecided |= of_sizes(index)
        return policy
    low, high = bounds
    inside_low, inside_high = nonnegative(low), nonnegative(size - 1 - high)
    name = item.axis.name
    below, above = (-low).constant, (high - size).constant
    if (below is not None and below > 0) or (above is not None and above >= 0):
        frame.fail(codes.INDEX_OUTSIDE, item.span, name=f"'{name}'", size=size, runs=_runs(low, high), way_out=MISS)
    message = f"axis {name} of size {size} is indexed from {low} to {high}"
    if not inside_low:
        frame.require_at_least(low, Size.of(0), item.span, message)
    if not inside_high:
        frame.require_at_least(size, high + 1, item.span, message)
    return "trust"

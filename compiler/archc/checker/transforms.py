"""Fourier transforms: `fft[t](x)`, `rfft[h, w = f](x, "ortho")`. Which axes, which sizes, and how they are scaled."""

from __future__ import annotations

from collections.abc import Sequence

from archc.checker import expressions
from archc.checker.frame import Frame
from archc.checker.sizes import Size
from archc.checker.terms import demand_dtype, describe, reindex
from archc.checker.typed import Term, Transform
from archc.checker.types import Axis, Type
from archc.checker.values import AxisRef
from archc.diagnostics import codes
from archc.ops.table import Op
from archc.syntax import tree

NORMS = ("backward", "ortho", "forward")


def transform(row: Op, items: Sequence[tree.BracketItem], expr: tree.Call, frame: Frame) -> Term:
    """Over the axes in brackets. One that is bound, `t = k`, comes out under that name; the last one of `rfft` and `irfft` is,
    for its size changes: to |t| // 2 + 1 frequencies, or from them to the length that the axis bound has."""
    name = row.name
    x, norm = _arguments(row, expr, frame)
    axes = [_axis(name, item, x, frame) for item in items]
    targets = [_target(item, frame) for item in items]
    halves = name in ("rfft", "irfft")
    half: tuple[Axis, Axis] | None = None
    renamed: list[tuple[Axis, Axis]] = []
    for position, (item, axis, target) in enumerate(zip(items, axes, targets, strict=True)):
        taken = {*targets[:position], *(x.type.axes - set(axes))}
        if axis in axes[:position] or (target is not None and target in taken):
            frame.fail(codes.AXIS_TWICE, item.span, name=frame.axis_name(target if target is not None else axis))
        if halves and position == len(items) - 1:
            if target is None or target == axis:
                frame.fail(codes.HALF_AXIS, item.span, name=name, axis=item.axis.name, way_out=_way_out(name, item.axis.name))
            time, frequency = (axis, target) if name == "rfft" else (target, axis)
            frame.require_equal(frequency.size, time.size // 2 + 1, item.span, codes.FOURIER_SIZE, name=name,
                                axis=frame.axis_name(frequency), of=frame.axis_name(time))  # fmt: skip
            half = (time, frequency)
        elif target is not None and target != axis:
            frame.require_equal(target.size, axis.size, item.span, codes.FOURIER_SIZE, name=name, axis=frame.axis_name(target),
                                of=frame.axis_name(axis))  # fmt: skip
            renamed.append((axis, target))
    over = frozenset(axes) - frozenset(half or ())
    for axis in sorted((*over, *(half[:1] if half else ())), key=frame.axis_name):
        message = f"a Fourier transform over {frame.axis_name(axis)} needs an element, and there is none"
        frame.require_at_least(axis.size, Size.of(1), expr.span, message)
    kept = x.type.axes - frozenset(axes) | over | (frozenset({targets[-1]}) if half and targets[-1] else frozenset())
    dtype = row.result(("float" if x.type.dtype == "int" else x.type.dtype,))
    result: Term = Transform(name, x, over, half, norm, Type(dtype, kept), expr.span)
    for axis, target in renamed:
        result = reindex(result, (axis,), (target,), expr.span)
    return result


def _arguments(row: Op, expr: tree.Call, frame: Frame) -> tuple[Term, str]:
    """The operand, and the norm as torch names it: which direction is divided by the number of elements."""
    plain = [argument for argument in expr.arguments if argument.name is None]
    named = [argument for argument in expr.arguments if argument.name is not None]
    if len(expr.arguments) not in (1, 2) or not plain:
        frame.fail(codes.WRONG_ARGUMENT_COUNT, expr.span, name=row.name, expected="one or two", found=len(expr.arguments))
    for argument in named:
        assert argument.name is not None
        if argument.name.name != "norm":
            frame.fail(codes.UNKNOWN_ARGUMENT, argument.name.span, name=argument.name.name, names=["norm"], callee=row.name)
    x = expressions.term(plain[0].value, frame)
    demand_dtype(row, 0, x, expr.span, frame)
    if len(expr.arguments) == 1:
        return x, "backward"
    written = (named or plain[1:])[0].value
    norm = expressions.evaluate(written, frame)
    if norm not in NORMS:
        expected = "one of " + ", ".join(f'"{choice}"' for choice in NORMS)
        frame.fail(codes.ARGUMENT_KIND, written.span, name="norm", expected=expected, found=describe(norm), way_out="")
    return x, str(norm)


def _axis(name: str, item: tree.BracketItem, x: Term, frame: Frame) -> Axis:
    """The one axis of the operand that an item names."""
    if item.border is not None:
        frame.fail(codes.REDUCTION_ITEM, item.span, name=name)
    chain = frame.chain(item.axis)
    if len(chain) != 1 or item.axis.name == "...":
        frame.fail(codes.FOURIER_SPLIT, item.axis.span, name=name, axis=item.axis.name)
    if chain[0] not in x.type.axes:
        axes = frame.names_of(x.type.axes)
        frame.fail(codes.UNKNOWN_AXIS, item.axis.span, name=item.axis.name, axes=axes, value="this value")
    return chain[0]


def _target(item: tree.BracketItem, frame: Frame) -> Axis | None:
    if item.value is None:
        return None
    target = expressions.evaluate(item.value, frame)
    if not isinstance(target, AxisRef) or len(target.chain) != 1:
        frame.fail(codes.BINDING_NOT_AXIS, item.span, name=item.axis.name)
    return target.chain[0]


def _way_out(name: str, axis: str) -> str:
    if name == "rfft":
        return f"declare axis f = |{axis}| // 2 + 1, and write rfft[{axis} = f](...)"
    return f"write irfft[{axis} = t](...), where t has the length of the result: |{axis}| frequencies are those of two lengths"

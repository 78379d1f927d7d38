"""Stretches of an axis with what lies outside: slices, padding, and gathers where a border folds back."""

from __future__ import annotations

from archc.checker.sizes import Size
from archc.checker.types import Axis
from archc.codegen.torch import layout
from archc.codegen.torch.affine import same
from archc.codegen.torch.form import Expr
from archc.codegen.torch.indices import mapped
from archc.codegen.torch.layout import literal
from archc.codegen.torch.lower import Lowering
from archc.ir.graph import Borders


def span(low: Lowering, x: Expr, axis: Axis, start: Size, length: Size, border: Borders, fill: Expr) -> Expr:
    """`length` elements of an axis from `start` on, as the border says outside; of a trusted border, fewer where it ends."""
    assert x.dims is not None
    before, after = -start, start + length - axis.size
    if before.constant == 0 and after.constant == 0:
        return x
    if border == "fill":
        padded = pad(low, x, axis, before, after, fill)
        return cut(low, padded, axis, start.largest(0), length, after.constant is not None and after.constant >= 0 and (
            before.constant is not None and before.constant >= 0))
    if border == "trust":
        return cut(low, x, axis, start, length, after.constant == 0 and before.constant == 0)
    if border == "wrap" and same(length, axis.size):
        back = low.size(-start) if start.constant is None else literal(-start.constant)
        return Expr("roll", (x, back), (x.position(axis),), x.dims, x.dtype)
    mode = {"edge": "replicate", "wrap": "circular"}.get(border)
    rank = len(x.dims)
    if mode and not x.is_leading and (sides := _sides(before, after)) is not None and (border == "edge" or max(sides) <= 1):
        depth = next((m for m in (rank - 2, rank - 1) if rank - x.dims.index(axis) <= m <= 3), None)
        if depth is not None:
            pads = [0, 0] * depth
            place = rank - 1 - x.dims.index(axis)
            pads[2 * place:2 * place + 2] = sides
            return _together(Expr("pad", (x, *map(literal, pads)), (f', mode="{mode}"',), x.dims, x.dtype))
    end = start + (length.largest(0) if any(count < 0 for _, count in length.terms) else length)
    numbers = Expr("function", (low.size(start), low.size(end), Expr("keyword", (layout.name(low.device_text),), (
        "device",))), ("torch.arange",), (axis,), "int")
    return Expr("index_select", (x, mapped(low, numbers, axis.size, border)), (x.position(axis),), x.dims, x.dtype)


def _sides(before: Size, after: Size) -> list[int] | None:
    if before.constant is None or after.constant is None or before.constant < 0 or after.constant < 0:
        return None
    return [before.constant, after.constant]


def pad(low: Lowering, x: Expr, axis: Axis, before: Size, after: Size, fill: Expr) -> Expr:
    """x with the fill on both sides of an axis; a negative number of elements is none."""
    assert x.dims is not None
    before, after = before.largest(0), after.largest(0)
    if before.constant == 0 and after.constant == 0:
        return x
    pads = [literal(0)] * 2 * (len(x.dims) - 1 - x.dims.index(axis)) + [low.size(before), low.size(after)]
    is_zero = fill.op == "literal" and fill.params[0] == 0
    value = Expr("keyword", (fill,), ("value",))
    return _together(Expr("pad", (x, *pads), ("",), x.dims, x.dtype)) if is_zero else Expr(
        "function", (x, Expr("tuple", tuple(pads)), value), ("F.pad",), x.dims, x.dtype)


def _together(outer: Expr) -> Expr:
    """Padding of padding in one call, where each side is padded once."""
    inner = outer.args[0]
    if inner.op != "pad" or inner.params != outer.params:
        return outer
    longer, shorter = sorted((outer.args[1:], inner.args[1:]), key=len, reverse=True)
    sides = []
    for first, second in zip(longer, (*shorter, *[literal(0)] * (len(longer) - len(shorter))), strict=True):
        if literal(0) not in (first, second):
            return outer
        sides.append(second if first == literal(0) else first)
    return Expr("pad", (inner.args[0], *sides), outer.params, outer.dims, outer.dtype)


def pad_to(low: Lowering, x: Expr, axis: Axis, more: Size) -> Expr:
    """An axis with so many zeros more at its end, or so many elements fewer."""
    if more.constant is not None and more.constant < 0:
        return subscript(x, axis, f":{more.constant}")
    return pad(low, x, axis, Size.of(0), more, literal(0.0))


def cut(low: Lowering, x: Expr, axis: Axis, start: Size, length: Size, whole: bool) -> Expr:
    """`x[:, start:start + length]`, which stops at the end."""
    assert x.dims is not None
    if whole and start.constant == 0:
        return x
    begin = "" if start.constant == 0 else _text(low, start)
    return subscript(x, axis, f"{begin}:{_text(low, start + length)}")


def _text(low: Lowering, size: Size) -> str:
    return str(low.size(size).params[0])


def subscript(x: Expr, axis: Axis, what: str) -> Expr:
    assert x.dims is not None
    at = x.dims.index(axis)
    text = ", ".join(["...", what, *(":" * (len(x.dims) - 1 - at))]) if x.is_leading or at > 2 else ", ".join([*(":" * at), what])
    return Expr("subscript", (x,), (text,), x.dims, x.dtype)


def strided(x: Expr, axis: Axis, step: int) -> Expr:
    return subscript(x, axis, f"::{step}")

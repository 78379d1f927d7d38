"""The indices of a read: which axes each runs through, whether it is affine, and the int tensors where no view will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis
from archc.codegen.torch import layout
from archc.codegen.torch.affine import Affine, affine, same
from archc.codegen.torch.form import Expr
from archc.codegen.torch.layout import literal
from archc.codegen.torch.lower import Lowering, NeedsFlat
from archc.ir.graph import Borders, Node, Read


@dataclass(frozen=True)
class Index:
    """One index of a read: the axes of the operand that it runs through (several where it reads through a split), where it
    points, and what happens outside."""

    axes: tuple[Axis, ...]
    form: Affine | None
    node: Node
    border: Borders

    @property
    def free(self) -> frozenset[Axis]:
        return frozenset(self.form.coefficients) if self.form is not None else self.node.axes

    @property
    def size(self) -> Size:
        return count(self.axes)


def count(axes: Sequence[Axis]) -> Size:
    total = Size.of(1)
    for axis in axes:
        total = total * axis.size
    return total


def indices(current: Node) -> list[Index]:
    """The indices of a read; quotient and remainder of one expression are put together again."""
    attrs = current.attrs
    assert isinstance(attrs, Read)
    found = [Index((at.axis,), affine(arg), arg, at.border) for at, arg in zip(attrs.at, current.args[1:], strict=False)]
    return _through_splits(found)


def _through_splits(found: list[Index]) -> list[Index]:
    """(g = e // |k|, k = e % |k|) is one index e on the two axes together; and so on for more parts."""
    result = list(found)
    changed = True
    while changed:
        changed = False
        for outer in result:
            for inner in result:
                if outer is inner or inner.border not in ("trust", "check"):
                    continue
                whole = _quotient(outer, inner.size)
                if whole is not None and whole is _remainder(inner):
                    joined = Index((*outer.axes, *inner.axes), affine(whole), whole, outer.border)
                    result = [index for index in result if index is not outer and index is not inner] + [joined]
                    changed = True
                    break
            if changed:
                break
    return result


def _quotient(index: Index, by: Size) -> Node | None:
    node = index.node
    if node.op == "floordiv" and (divisor := affine(node.args[1])) and not divisor.coefficients and same(divisor.constant, by):
        return node.args[0]
    return None


def _remainder(index: Index) -> Node | None:
    node = index.node
    if node.op == "mod" and (divisor := affine(node.args[1])) and not divisor.coefficients and same(divisor.constant, index.size):
        return node.args[0]
    return None


def needs(current: Node) -> tuple[Node, ...]:
    """The operands of a read that become code: an affine index does not."""
    found = indices(current)
    fill = current.args[-1:] if any(index.border == "fill" for index in found) else ()
    return (current.args[0], *(index.node for index in found if index.form is None), *fill)


# ------------------------------------------------------------------------------------- index tensors
def vector(low: Lowering, form: Affine, order: Sequence[Axis]) -> Expr:
    """An affine index as an int tensor over its axes, in this order."""
    total: Expr | None = None
    for axis in order:
        if axis not in form.coefficients:
            continue
        if axis.name == LEADING and low.native:
            raise NeedsFlat
        term = layout.align(Expr("arange", (low.size(axis.size),), (low.device_text,), (axis,), "int"), order)
        if form.coefficients[axis].constant != 1:
            term = Expr("mul", (low.size(form.coefficients[axis]), term), (), term.dims, "int")
        total = term if total is None else _sum(total, term)
    constant = low.size(form.constant)
    if total is None:
        return low.as_tensor(constant)
    if form.constant.constant == 0:
        return total
    if form.constant.constant is not None and form.constant.constant < 0:
        return Expr("sub", (total, literal(-form.constant.constant)), (), total.dims, "int")
    return Expr("add", (total, constant), (), total.dims, "int")


def _sum(left: Expr, right: Expr) -> Expr:
    from archc.codegen.torch.elementwise import broadcast

    return Expr("add", (left, right), (), broadcast((left, right)), "int")


def mapped(low: Lowering, index: Expr, size: Size, border: Borders) -> Expr:
    """An index tensor after its border: always inside, but for `check`, which is left to fail, and `fill`, which gives `size`."""
    count = low.size(size)
    if border == "trust":
        return index
    if border == "edge":
        return Expr("clamp", (index, literal(0), low.size(size - 1)), (), index.dims, "int")
    if border == "wrap":
        return Expr("mod", (index, count), (), index.dims, "int")
    if border == "check":
        index = low.again(index, "index")
        return Expr("where", (Expr("lt", (index, literal(0)), (), index.dims, "bool"), count, index), (), index.dims, "int")
    if border == "fill":
        index = low.again(index, "index")
        low_ok = Expr("ge", (index, literal(0)), (), index.dims, "bool")
        high_ok = Expr("lt", (index, count), (), index.dims, "bool")
        return Expr("where", (Expr("and", (low_ok, high_ok), (), index.dims, "bool"), index, count), (), index.dims, "int")
    period = low.size((size * 2 - 2).largest(1))
    folded = low.again(Expr("mod", (index, period), (), index.dims, "int"), "index")
    over = Expr("ge", (folded, count), (), index.dims, "bool")
    back = Expr("sub", (period, folded), (), index.dims, "int")
    return Expr("where", (over, back, folded), (), index.dims, "int")

"""Dimensions in memory: putting a value's dimensions into the order that an operation wants, with views only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis, Layout, flat
from archc.codegen.torch.form import Dims, Expr
from archc.ops.table import DType

SizeText = Callable[[Size], Expr]


def literal(value: bool | int | float) -> Expr:
    negative = not isinstance(value, bool) and value == value and (value < 0 or str(value).startswith("-"))
    dtype: DType = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "float"
    return Expr("negative" if negative else "literal", (), (value,), None, dtype)


def name(text: str, dims: Dims | None = None, dtype: DType = "float") -> Expr:
    return Expr("name", (), (text,), dims, dtype)


def merge(orders: Sequence[Sequence[Axis]], wish: Sequence[Axis] = ()) -> tuple[Axis, ...]:
    """One order of all axes: that of an operand that has them all, else the wish, else the longest with the others put in."""
    every = frozenset(axis for order in orders for axis in order)
    widest = max(orders, key=len, default=())
    if len(widest) < len(every) and every <= frozenset(wish):
        widest = [axis for axis in wish if axis in every]
    found = list(widest)
    for order in orders:
        for at, axis in enumerate(order):
            if axis in found:
                continue
            after = order[at - 1] if at else None
            before = next((later for later in order[at + 1:] if later in found), None)
            if axis.name == LEADING:
                found.insert(0, axis)
            elif after in found:
                found.insert(found.index(after) + 1, axis)
            elif before is not None and before.name != LEADING:
                found.insert(found.index(before), axis)
            else:
                found.append(axis)
    return tuple(found)


def permute(x: Expr, order: Sequence[Axis | None]) -> Expr:
    """The same dimensions in another order. With leading dimensions, these stay first."""
    assert x.dims is not None
    order = tuple(order)
    if x.dims == order:
        return x
    where: list[int] = []
    for dim in order:
        where.append(next(i for i, d in enumerate(x.dims) if d == dim and i not in where))
    rank = len(order)
    moved = [i for i in range(rank) if where[i] != i]
    if len(moved) == 2:
        i, j = moved
        if x.is_leading or j == rank - 1:
            i, j = i - rank, j - rank
        if (i, j) == (-2, -1):
            return Expr("matrix_transpose", (x,), (), order, x.dtype)
        return Expr("transpose", (x,), (i, j), order, x.dtype)
    if len(moved) >= 3 and (move := _one_moves(where)) is not None:
        i, j = (place - rank for place in move) if x.is_leading else move
        return Expr("method", (x, literal(i), literal(j)), ("movedim",), order, x.dtype)
    if not x.is_leading:
        return Expr("permute", (x,), (", ".join(map(str, where)),), order, x.dtype)
    # An unknown number of dimensions comes first: swap from the right until the order is reached.
    current = x
    for i in range(rank - 1, 0, -1):
        assert current.dims is not None
        if current.dims[i] != order[i]:
            j = next(j for j in range(i - 1, -1, -1) if current.dims[j] == order[i])
            swapped = list(current.dims)
            swapped[i], swapped[j] = swapped[j], swapped[i]
            current = permute(current, swapped)
    return current


def _one_moves(where: Sequence[int]) -> tuple[int, int] | None:
    """The place and the target of a dimension whose move alone gives the order."""
    for source in range(len(where)):
        rest = [place for place in range(len(where)) if place != source]
        target = where.index(source)
        if [*rest[:target], source, *rest[target:]] == list(where):
            return source, target
    return None


def squeeze(x: Expr) -> Expr:
    """Without the dimensions of size one that only broadcast."""
    assert x.dims is not None
    places = [at for at, dim in enumerate(x.dims) if dim is None]
    if not places:
        return x
    rest = tuple(dim for dim in x.dims if dim is not None)
    if x.is_leading:
        places = [at - len(x.dims) for at in places]
    return Expr("squeeze", (x,), (places[0] if len(places) == 1 else tuple(places),), rest, x.dtype)


def align(x: Expr, order: Sequence[Axis]) -> Expr:
    """x so that its dimensions, aligned at the right, are those of `order` or of size one."""
    if x.dims is None or _fits(x.dims, order):
        return x
    x = squeeze(x)
    assert x.dims is not None
    present = [axis for axis in order if axis in x.axes]
    x = permute(x, present)
    first = order.index(present[0]) if present else len(order)
    target = tuple(axis if axis in x.axes else None for axis in order[first:])
    return insert(x, target)


def _fits(dims: Dims, order: Sequence[Axis]) -> bool:
    return len(dims) <= len(order) and all(
        dim is None or dim == axis for dim, axis in zip(reversed(dims), reversed(order), strict=False))


def insert(x: Expr, target: Dims) -> Expr:
    """x with dimensions of size one put where `target` has None."""
    assert x.dims is not None
    if x.dims == target:
        return x
    missing = target.count(None)
    if len(x.dims) == 1 and target[0] is not None and not x.is_leading:
        return Expr("view", (x, literal(-1), *(literal(1),) * missing), (), target, x.dtype)
    if x.op == "unflatten" and x.args[0].dims is not None and len(x.args[0].dims) == 1 and not x.is_leading:
        sizes = iter(x.args[1:])
        return Expr("view", (x.args[0], *(literal(1) if dim is None else next(sizes) for dim in target)), (), target, x.dtype)
    if missing == 1:
        at = target.index(None)
        return Expr("unsqueeze", (x,), (at - len(target) if x.is_leading or at == len(target) - 1 else at,), target, x.dtype)
    last = len(target) - 1 - target[::-1].index(None)
    lead = x.is_leading
    if lead:
        parts = ["..."] + ["None" if dim is None else ":" for dim in target[1:]]
    else:
        parts = ["None" if dim is None else ":" for dim in target[:last + 1]]
    return Expr("subscript", (x,), (", ".join(parts),), target, x.dtype)


def expand(x: Expr, order: Sequence[Axis], size: SizeText, lead: Expr | None = None) -> Expr:
    """x with every axis of `order` as a real dimension. `lead` gives the sizes of leading dimensions, starred."""
    x = align(x, order)
    assert x.dims is not None
    if x.dims == tuple(order):
        return x
    sizes: list[Expr] = []
    for axis in order:
        if axis.name == LEADING and lead is not None:
            sizes.append(Expr("star", (lead,)))
        else:
            sizes.append(size(axis.size))
    return Expr("expand", (x, *sizes), (), tuple(order), x.dtype)


def flatten(x: Expr, axes: Sequence[Axis], into: Axis) -> Expr:
    """Adjacent dimensions as one; a view where memory allows, else a copy."""
    assert x.dims is not None
    if len(axes) == 1:
        return relabel(x, {axes[0]: into})
    at = x.dims.index(axes[0])
    if x.op == "unflatten" and x.dims[at:at + len(axes)] == tuple(axes) and len(x.args) == len(axes) + 1:
        parted = x.args[0].dims
        if parted is not None and int(str(x.params[0])) % len(parted) == at:
            return Expr("as", (x.args[0],), (), (*x.dims[:at], into, *x.dims[at + len(axes):]), x.dtype)
    first, last = x.position(axes[0]), x.position(axes[-1])
    dims = (*x.dims[:at], into, *x.dims[at + len(axes):])
    return Expr("flatten", (x,), (first, last), dims, x.dtype)


def relabel(x: Expr, axes: dict[Axis, Axis]) -> Expr:
    """The same memory under other names of axes: no code at all."""
    assert x.dims is not None
    dims = tuple(axes.get(dim, dim) if dim is not None else None for dim in x.dims)
    if dims == x.dims:
        return x
    return replace(x, dims=dims) if x.op == "name" else Expr("as", (x,), (), dims, x.dtype)


def unflatten(x: Expr, axis: Axis, parts: Sequence[Axis], size: SizeText, infer: Callable[[Axis], bool]) -> Expr:
    """One dimension as several. One size may be left to torch: the first part for which `infer` says so."""
    assert x.dims is not None
    sizes: list[Expr] = []
    inferred = False
    for part in parts:
        if not inferred and infer(part):
            sizes.append(literal(-1))
            inferred = True
        else:
            sizes.append(size(part.size))
    at = x.dims.index(axis)
    dims = (*x.dims[:at], *parts, *x.dims[at + 1:])
    return Expr("unflatten", (x, *sizes), (x.position(axis),), dims, x.dtype)


def split_dims(x: Expr, layout: Layout, size: SizeText, infer: Callable[[Axis], bool]) -> Expr:
    """A tensor as it comes in: every memory dimension of several axes as these axes. `x.dims` has wholes by their first part."""
    for dim in reversed(layout):
        if len(dim) > 1:
            x = unflatten(x, dim[0], dim, size, infer)
    return x


def entry_dims(layout: Layout) -> Dims:
    """The dimensions of a tensor as it comes in: a split one goes by its first part until it is unflattened."""
    return tuple(dim[0] if dim else None for dim in layout)


def to_memory(x: Expr, layout: Layout, size: SizeText, lead: Expr | None = None) -> Expr:
    """A value as it goes out: in the layout's order, all dimensions real, parts of a split joined."""
    order = flat(layout)
    x = expand(x, order, size, lead)
    for dim in reversed(layout):
        if len(dim) > 1:
            x = flatten(x, dim, dim[0])
    if any(not dim for dim in layout):
        x = insert(x, tuple(dim[0] if dim else None for dim in layout))
    return x


def positions(x: Expr, axes: Iterable[Axis]) -> tuple[int, ...]:
    """The dimensions of axes, in order."""
    assert x.dims is not None
    found = sorted(x.dims.index(axis) for axis in axes)
    if len(found) == 1 or x.is_leading:
        return tuple(sorted(x.position(axis) for axis in axes))
    return tuple(found)

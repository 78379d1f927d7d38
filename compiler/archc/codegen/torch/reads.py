"""Lowering of reads and accumulations by index: views where the index is affine, library gathers where one tensor indexes one
axis, advanced indexing for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis
from archc.codegen.torch import layout
from archc.codegen.torch.affine import Affine, affine, same
from archc.codegen.torch.form import Assign, Dims, Expr
from archc.codegen.torch.indices import Index, indices, mapped, vector
from archc.codegen.torch.layout import literal
from archc.codegen.torch.lower import Lowering, NeedsFlat
from archc.codegen.torch.spans import cut, pad, span, strided
from archc.ir.graph import Accumulate, Borders, Node, Read


def read(low: Lowering, current: Node) -> Expr:
    x = layout.squeeze(low.value(current.args[0]))
    found = indices(current)
    fill = low.value(current.args[-1]) if any(index.border == "fill" for index in found) else literal(0.0)
    if fill.dtype == "complex" and fill.is_host:
        # torch pads with floats alone.
        fill = fill.args[0] if fill.op == "complex" and fill.args[1] == literal(0.0) else low.as_tensor(fill)
    if low.native and any(axis.name == LEADING for index in found for axis in index.axes):
        raise NeedsFlat
    renames = _renames(found)
    if renames is not None:
        for old in [old for old, new in renames.items() if new in x.axes - renames.keys()]:
            x = _diagonal(x, old, renames.pop(old))
        return layout.relabel(x, renames)
    x, found = _unbound(low, current.args[0], x, found)
    rest: list[Index] = []
    taken = frozenset[Axis]()
    for index in found:
        others = frozenset().union(*(other.free for other in found if other is not index))
        separate = not index.free & (others | (x.axes - frozenset(index.axes)) | taken)
        step = _one(low, x, index, fill) if separate else None
        if step is None:
            rest.append(index)
        else:
            x, taken = step, taken | index.free
    if len(rest) == 1 and (along := _along(low, x, rest[0])) is not None:
        return along
    return _general(low, current, x, rest, fill) if rest else x


def _diagonal(x: Expr, old: Axis, new: Axis) -> Expr:
    """`x[old = new]` of a value that has both: where they are equal. torch puts the diagonal last."""
    rest = tuple(dim for dim in x.dims or () if dim not in (old, new))
    return Expr("diagonal", (x,), (x.position(old), x.position(new)), (*rest, new), x.dtype)


def _unbound(low: Lowering, source: Node, x: Expr, found: list[Index]) -> tuple[Expr, list[Index]]:
    """Elements of one axis that several reads take, `q, k, v = y.unbind(-3)`: its derivative is one stack, not a sum of zeros."""
    for index in found:
        if index.form is None or index.form.coefficients or len(index.axes) > 1:
            continue
        place, axis, count = index.form.constant.constant, index.axes[0], index.size.constant
        if place is None or count is None or not 0 <= place < count <= 8:
            continue
        key = (source, axis)
        if key not in low.unbound:
            taken = {other.args[1 + i].attrs for other in low.readers[source] if isinstance(other.attrs, Read)
                     for i, at in enumerate(other.attrs.at) if at.axis == axis and other.args[1 + i].op == "const"}
            if len(taken) < max(2, count - 1):
                continue
            x = low.again(x, "whole")
            names = [low.scope.names.fresh(f"{str(x.params[0]).rsplit('.', 1)[-1]}_{i}") for i in range(count)]
            parts = Expr("method", (x, literal(x.position(axis))), ("unbind",), None)
            low.block.append(Assign(tuple(names), parts))
            dims = tuple(dim for dim in x.dims or () if dim != axis)
            low.unbound[key] = [layout.name(text, dims, x.dtype) for text in names]
        return low.unbound[key][place], [other for other in found if other is not index]
    return x, found


def _renames(found: Sequence[Index]) -> dict[Axis, Axis] | None:
    """Every index is a bare axis of the same size: the same memory under other names."""
    renames: dict[Axis, Axis] = {}
    for index in found:
        form = index.form
        if form is None or len(index.axes) != 1 or form.constant.constant != 0 or len(form.coefficients) != 1:
            return None
        ((axis, coefficient),) = form.coefficients.items()
        if coefficient.constant != 1 or not same(axis.size, index.axes[0].size) or axis in renames.values():
            return None
        renames[index.axes[0]] = axis
    return renames


def _one(low: Lowering, x: Expr, index: Index, fill: Expr) -> Expr | None:
    """A read along one axis by an index that has nothing to do with the other axes; None if no such call fits."""
    if index.border == "fill" and not fill.is_host:
        return None
    if index.form is not None and index.border in ("fill", "trust") and (backward := _backward(index.form)):
        forward = _one(low, x, replace(index, form=_turned(index.form, backward)), fill)
        return None if forward is None else _flipped(forward, backward)
    x, axis = _whole(low, x, index)
    if index.form is None:
        return _gather(low, x, axis, index, fill)
    terms = list(index.form.coefficients.items())
    start = index.form.constant
    plain = index.border in ("fill", "trust")
    if not terms:
        return _select(low, x, axis, start) if index.border == "trust" or _inside(start, axis) else _by_vector(
            low, x, axis, index, fill)
    if len(terms) == 1:
        (out, step), = terms
        if step.constant == 1:
            return layout.relabel(span(low, x, axis, start, out.size, index.border, fill), {axis: out})
        if step.constant is not None and step.constant > 1 and plain:
            x = span(low, x, axis, start, out.size * step.constant, index.border, fill)
            return layout.relabel(strided(x, axis, step.constant), {axis: out})
        return _by_vector(low, x, axis, index, fill)
    if len(terms) == 2:
        return _window(low, x, axis, index, fill)
    return None


def _backward(form: Affine) -> list[Axis]:
    """The axes along which an index falls."""
    return [axis for axis, step in form.coefficients.items() if step.constant is not None and step.constant < 0]


def _turned(form: Affine, backward: Sequence[Axis]) -> Affine:
    """The index with these axes counted from their ends, so that it rises: `1 - pair` is `pair`."""
    start = form.constant
    for axis in backward:
        start = start + form.coefficients[axis] * (axis.size - 1)
    return Affine({axis: -step if axis in backward else step for axis, step in form.coefficients.items()}, start)


def _flipped(x: Expr, backward: Sequence[Axis]) -> Expr:
    """Two elements swap places by rolling, which torch does four times as fast as flipping."""
    for axis in backward:
        if axis.size.constant == 2:
            x = Expr("roll", (x, literal(1)), (x.position(axis),), x.dims, x.dtype)
        else:
            x = Expr("flip", (x,), (x.position(axis),), x.dims, x.dtype)
    return x


def _whole(low: Lowering, x: Expr, index: Index) -> tuple[Expr, Axis]:
    """The axes that an index runs through as one dimension."""
    if len(index.axes) == 1:
        return x, index.axes[0]
    assert x.dims is not None
    at = min(x.dims.index(axis) for axis in index.axes)
    order = [dim for dim in x.dims if dim not in index.axes]
    whole = Axis("*".join(map(str, index.axes)), index.size)
    return layout.flatten(layout.permute(x, (*order[:at], *index.axes, *order[at:])), index.axes, whole), whole


def _inside(start: Size, axis: Axis) -> bool:
    last = (axis.size - 1 - start).constant
    return start.constant is not None and start.constant >= 0 and last is not None and last >= 0


def _select(low: Lowering, x: Expr, axis: Axis, at: Size) -> Expr:
    assert x.dims is not None
    dims = tuple(dim for dim in x.dims if dim != axis)
    return Expr("method", (x, literal(x.position(axis)), low.size(at)), ("select",), dims, x.dtype)


def _window(low: Lowering, x: Expr, axis: Axis, index: Index, fill: Expr) -> Expr | None:
    """x[axis = a*i + b*p + c] for two axes: a split where windows lie side by side, else overlapping views."""
    assert index.form is not None and x.dims is not None
    start = index.form.constant
    (first, a), (second, b) = index.form.coefficients.items()
    at = x.dims.index(axis)
    for (outer, step), (inner, one) in (((first, a), (second, b)), ((second, b), (first, a))):
        if one.constant == 1 and same(step, inner.size):
            x = span(low, x, axis, start, outer.size * inner.size, index.border, fill)
            return layout.unflatten(x, axis, (outer, inner), low.size, lambda _: False)
    (outer, step), (inner, dilation) = ((first, a), (second, b))
    if inner.size.constant is None and outer.size.constant is not None:
        (outer, step), (inner, dilation) = (inner, dilation), (outer, step)
    if step.constant is None or dilation.constant is None or step.constant < 1 or dilation.constant < 1:
        return None
    reach = dilation * (inner.size - 1) + 1
    if index.border == "check" or inner.size.constant is None:
        return None
    x = span(low, x, axis, start, step * (outer.size - 1) + reach, index.border, fill)
    dims: Dims = (*x.dims[:at], outer, *x.dims[at + 1:], inner)  # type: ignore[index]
    x = Expr("unfold", (x, low.size(reach), low.size(step)), (x.position(axis),), dims, x.dtype)
    return x if dilation.constant == 1 else strided(x, inner, dilation.constant)


def _index_tensor(low: Lowering, index: Index, order: Sequence[Axis]) -> Expr:
    if index.form is not None:
        return vector(low, index.form, order)
    return layout.align(layout.squeeze(low.as_tensor(low.value(index.node))), order)


def _ready(low: Lowering, x: Expr, axis: Axis, index: Index, tensor: Expr, fill: Expr) -> tuple[Expr, Expr]:
    """The operand and the index so that the index lies inside: a border that fills adds one element of the fill at the end."""
    if index.border == "fill":
        x = pad(low, x, axis, Size.of(0), Size.of(1), fill)
    return x, mapped(low, tensor, index.size, index.border)


def _by_vector(low: Lowering, x: Expr, axis: Axis, index: Index, fill: Expr) -> Expr | None:
    """An affine index along one axis as a vector for index_select."""
    assert index.form is not None and x.dims is not None
    order = tuple(index.form.coefficients)
    if len(order) > 1:
        return None
    x, places = _ready(low, x, axis, index, vector(low, index.form, order), fill)
    if not order:
        places = Expr("view", (places, literal(1)), (), (axis,), "int")
        one: Dims = tuple(None if dim == axis else dim for dim in x.dims or ())
        taken = Expr("index_select", (x, places), (x.position(axis),), one, x.dtype)
        return Expr("squeeze", (taken,), (x.position(axis),), tuple(d for d in x.dims or () if d != axis), x.dtype)
    return layout.relabel(Expr("index_select", (x, places), (x.position(axis),), x.dims, x.dtype), {axis: order[0]})


def _gather(low: Lowering, x: Expr, axis: Axis, index: Index, fill: Expr) -> Expr | None:
    """x along one axis by an int tensor whose axes x does not have."""
    assert x.dims is not None
    tensor = layout.squeeze(low.as_tensor(low.value(index.node)))
    assert tensor.dims is not None
    # The library's own gathers refuse an index outside, negative ones too.
    border: Borders = "trust" if index.border == "check" else index.border
    x, tensor = _ready(low, x, axis, Index(index.axes, None, index.node, border), tensor, fill)
    assert x.dims is not None and tensor.dims is not None
    at = x.dims.index(axis)
    inner = tensor.dims
    if len(x.dims) == 2 and at == 0 and x.dtype == "float" and not x.is_leading:
        return Expr("embedding", (x, tensor), (), (*inner, x.dims[1]), x.dtype)
    if any(dim is not None and dim.name == LEADING for dim in inner) and low.native:
        raise NeedsFlat
    dims: Dims = (*x.dims[:at], *inner, *x.dims[at + 1:])
    if len(inner) == 1:
        return Expr("index_select", (x, tensor), (x.position(axis),), dims, x.dtype)
    flat = Expr("method", (tensor, literal(-1)), ("reshape",), (axis,), "int") if inner else Expr(
        "view", (tensor, literal(1)), (), (axis,), "int")
    if not inner:
        one: Dims = tuple(None if dim == axis else dim for dim in x.dims)
        taken = Expr("index_select", (x, flat), (x.position(axis),), one, x.dtype)
        return Expr("squeeze", (taken,), (x.position(axis),), dims, x.dtype)
    taken = Expr("index_select", (x, flat), (x.position(axis),), x.dims, x.dtype)
    return layout.unflatten(taken, axis, [dim for dim in inner if dim is not None], low.size, lambda _: False)


def _along(low: Lowering, x: Expr, index: Index) -> Expr | None:
    """x along one axis by an int tensor that shares other axes with it: take_along_dim; where the index is to be checked,
    gather, for take_along_dim wraps an index outside, and only where nothing is to be broadcast, for gather cuts.
    """
    assert x.dims is not None
    if index.form is not None or len(index.axes) != 1 or index.border not in ("trust", "check", "edge", "wrap"):
        return None
    (axis,) = index.axes
    shared = index.free & (x.axes - {axis})
    new = index.free - shared
    if len(new) > 1 or not shared or (x.is_leading and any(a.name == LEADING for a in new)):
        return None
    checked = index.border == "check"
    if checked and (x.is_leading or shared != x.axes - {axis}):
        return None
    border: Borders = "trust" if checked else index.border
    tensor = mapped(low, layout.squeeze(low.value(index.node)), axis.size, border)
    if new:
        tensor = layout.relabel(tensor, {next(iter(new)): axis})
        tensor = layout.permute(tensor, [dim for dim in x.dims if dim in tensor.axes])
        order = x.dims
    else:
        tensor = layout.permute(tensor, [dim for dim in x.dims if dim in tensor.axes])
        order = x.dims
    if frozenset(tensor.axes) != x.axes or tensor.dims != order:
        tensor = layout.insert(tensor, tuple(dim if dim in tensor.axes else None for dim in order))
    taken = Expr("gather" if checked else "take_along_dim", (x, tensor), (x.position(axis),), x.dims, x.dtype)
    if new:
        return layout.relabel(taken, {axis: next(iter(new))})
    return Expr("squeeze", (taken,), (x.position(axis),), tuple(dim for dim in x.dims if dim != axis), x.dtype)


def _general(low: Lowering, current: Node, x: Expr, found: Sequence[Index], fill: Expr) -> Expr:
    """Advanced indexing: x[..., i, j] with index tensors over all axes that the indices have."""
    outside = fill
    if any(index.border == "fill" for index in found) and not fill.is_host:
        return _masked(low, current, x, found, fill)
    ready: list[tuple[Index, Axis]] = []
    for index in found:
        x, axis = _whole(low, x, index)
        ready.append((index, axis))
    free = _order(low, current, frozenset().union(*(index.free for index in found)))
    if low.native and any(axis.name == LEADING for axis in free):
        raise NeedsFlat
    assert x.dims is not None
    axes = [axis for _, axis in ready]
    shared = [dim for dim in x.dims if dim in free and dim not in axes]
    tensors: list[Expr] = []
    for index, axis in ready:
        x, tensor = _ready(low, x, axis, index, _index_tensor(low, index, free), outside)
        tensors.append(tensor)
    for dim in shared:
        assert dim is not None
        tensors.append(vector(low, Affine({dim: Size.of(1)}, Size.of(0)), free))
    return _indexed(x, (*axes, *shared), tensors, free)


def _indexed(x: Expr, axes: Sequence[Axis | None], tensors: Sequence[Expr], free: Sequence[Axis]) -> Expr:
    assert x.dims is not None
    rest = [dim for dim in x.dims if dim not in axes]
    x = layout.permute(x, (*rest, *axes))
    ellipsis = (layout.name("..."),) if rest else ()
    return Expr("index", (x, *ellipsis, *tensors), (), (*rest, *free), x.dtype)


def _order(low: Lowering, current: Node, axes: frozenset[Axis]) -> tuple[Axis, ...]:
    wished = [axis for axis in low.wish.get(current, ()) if axis in axes]
    return (*wished, *sorted(axes - frozenset(wished), key=lambda axis: axis.name))


def _masked(low: Lowering, current: Node, x: Expr, found: Sequence[Index], fill: Expr) -> Expr:
    """A border that fills with a value of the graph: read with zeros outside, then choose."""
    from archc.codegen.torch.elementwise import broadcast

    free = _order(low, current, frozenset().union(*(index.free for index in found)))
    inside: Expr | None = None
    for index in found:
        if index.border != "fill":
            continue
        tensor = low.again(_index_tensor(low, index, free), "index")
        good = Expr("and", (Expr("ge", (tensor, literal(0)), (), tensor.dims, "bool"),
                            Expr("lt", (tensor, low.size(index.size)), (), tensor.dims, "bool")), (), tensor.dims, "bool")
        inside = good if inside is None else Expr("and", (inside, good), (), broadcast((inside, good)), "bool")
    assert inside is not None
    zero = literal(False if x.dtype == "bool" else 0 if x.dtype == "int" else 0.0)
    taken = _general(low, current, x, found, zero)
    order = tuple(dim for dim in taken.dims or () if dim is not None)
    inside = layout.align(layout.squeeze(inside), order)
    return Expr("where", (inside, taken, fill), (), order, x.dtype)


# ------------------------------------------------------------------------------------------------ accumulate
def accumulate(low: Lowering, current: Node) -> Expr:
    """index_put with accumulation into zeros; an element that a filling border would not read lands in one that is cut off."""
    attrs = current.attrs
    assert isinstance(attrs, Accumulate)
    v = low.as_tensor(low.value(current.args[0]))
    found = [Index((at.axis,), affine(arg), arg, at.border) for at, arg in zip(attrs.at, current.args[1:], strict=True)]
    if low.native and any(axis.name == LEADING for axis in v.axes | current.axes):
        raise NeedsFlat
    free = tuple(sorted(frozenset().union(*(index.free for index in found)), key=lambda axis: axis.name))
    gone = [axis for axis in v.axes if axis not in free and axis not in attrs.keep]
    if gone:
        places = layout.positions(v, gone)
        v = Expr("sum", (v,), (str(places), ""), tuple(d for d in v.dims or () if d not in gone), v.dtype)
    rest = tuple(axis for axis in sorted(v.axes | attrs.keep, key=lambda a: a.name) if axis not in free and axis in attrs.keep)
    v = layout.expand(v, (*free, *rest), low.size)
    shared = tuple(axis for axis in free if axis in attrs.keep)
    tensors = [vector(low, Affine({axis: Size.of(1)}, Size.of(0)), free) for axis in shared]
    sizes = [low.size(axis.size) for axis in shared]
    for index in found:
        tensors.append(mapped(low, _index_tensor(low, index, free), index.size, index.border))
        sizes.append(low.size(index.size + 1 if index.border == "fill" else index.size))
    sizes += [low.size(axis.size) for axis in rest]
    targets = tuple(index.axes[0] for index in found)
    dims: Dims = (*shared, *targets, *rest)
    zeros = Expr("zeros", tuple(sizes), (low.dtype_of(v.dtype), low.device_text), dims, v.dtype)
    done = Expr("index_put", (zeros, v, Expr("tuple", tuple(tensors))), (), dims, v.dtype)
    for index in found:
        if index.border == "fill":
            done = cut(low, done, index.axes[0], Size.of(0), index.size, False)
    return done

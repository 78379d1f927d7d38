"""Lowering of contractions, convolutions, pooling and concatenation to the library's calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis
from archc.codegen.torch import layout
from archc.codegen.torch.affine import same
from archc.codegen.torch.form import Dims, Expr
from archc.codegen.torch.layout import literal
from archc.codegen.torch.lower import Lowering, NeedsFlat
from archc.codegen.torch.spans import pad_to, span
from archc.ir.graph import Library, Node
from archc.ir.library import Cat, Convolution, Pool, Stack, Transposed, Window


def contract(low: Lowering, current: Node) -> Expr:
    """sum over the axes that the result lacks of the product of two operands: linear, matmul or einsum."""
    first, second = (layout.squeeze(low.value(arg)) for arg in current.args[:2])
    if current.type.dtype == "complex":
        first, second = low.as_complex(first), low.as_complex(second)
    bias = layout.squeeze(low.value(current.args[2])) if len(current.args) > 2 else None
    if low.native and any(axis.name == LEADING for axis in (first.axes & second.axes) - current.axes):
        raise NeedsFlat
    if _second_is_data(low, current, first, second):
        first, second = second, first
    over = (first.axes & second.axes) - current.axes
    batch = first.axes & second.axes & current.axes
    if not batch:
        if bias is not None and bias.axes != second.axes - over:
            first, second = second, first
        return _linear(low, first, second, over, bias)
    elif not _leads_only(first, second, batch):
        return _batched(low, first, second, over, batch)
    return _einsum(low, current, first, second, over, batch)


def _second_is_data(low: Lowering, current: Node, first: Expr, second: Expr) -> bool:
    """Whether the second operand has the rows: it has leading dimensions, or depends on inputs, where the first does not."""
    if first.is_leading != second.is_leading:
        return second.is_leading
    return low.is_data(current.args[1]) and not low.is_data(current.args[0])


def _leads_only(first: Expr, second: Expr, batch: frozenset[Axis]) -> bool:
    """Whether just one operand has leading dimensions beside other shared ones: matmul would copy the other for each of them."""
    return first.is_leading != second.is_leading


def _kept(x: Expr, axes: frozenset[Axis]) -> list[Axis]:
    assert x.dims is not None
    return [dim for dim in x.dims if dim is not None and dim in axes]


def _linear(low: Lowering, x: Expr, w: Expr, over: frozenset[Axis], bias: Expr | None) -> Expr:
    """No shared axis is kept: x [.., k] and w [o, k] or [k, o], several k or o flattened to one; perhaps plus bias [o]."""
    assert x.dims is not None and w.dims is not None
    inner = _kept(w, over)
    rows, columns = _kept(x, x.axes - over), _kept(w, w.axes - over)
    if len(inner) > 1 and _kept(x, over) != inner:
        ordered = _kept(x, over)
        if w.dims[: len(inner)] == tuple(inner) or w.dims[len(w.dims) - len(inner):] == tuple(inner):
            inner = ordered if _adjacent(x, ordered) and not _adjacent(x, inner) else inner
    x = layout.permute(x, (*rows, *inner))
    x, whole = _joined(x, inner)
    transposed = w.dims[: len(inner)] == tuple(inner) and bool(columns)
    w = layout.permute(w, (*inner, *columns) if transposed else (*columns, *inner))
    w, _ = _joined(w, inner, whole)
    w, out = _joined(w, columns)
    assert x.dims is not None
    dims: Dims = (*x.dims[:-1], *([out] if columns else []))
    if bias is not None:
        if transposed:
            w = layout.permute(w, (out, whole))
        bias, _ = _joined(layout.permute(bias, columns), columns, out)
        product = Expr("linear", (x, w, bias), (), dims, x.dtype)
    elif not columns or not rows or transposed:
        right = w if transposed or not columns else layout.permute(w, (whole, out))
        if not rows and not columns:
            return Expr("function", (x, right), ("torch.dot",), (), x.dtype)
        product = Expr("matmul", (x, right), (), dims, x.dtype)
    else:
        product = Expr("linear", (x, w), (), dims, x.dtype)
    return _parted(low, product, out, columns)


def _adjacent(x: Expr, axes: Sequence[Axis]) -> bool:
    assert x.dims is not None
    return any(x.dims[i:i + len(axes)] == tuple(axes) for i in range(len(x.dims)))


def _joined(x: Expr, axes: Sequence[Axis], into: Axis | None = None) -> tuple[Expr, Axis]:
    """Adjacent axes flattened to one."""
    if into is None:
        total = Size.of(1)
        for axis in axes:
            total = total * axis.size
        into = axes[0] if len(axes) == 1 else Axis("*".join(map(str, axes)), total)
    if not axes or (len(axes) == 1 and axes[0] == into):
        return x, into
    return layout.flatten(x, axes, into), into


def _parted(low: Lowering, x: Expr, whole: Axis, parts: Sequence[Axis]) -> Expr:
    if len(parts) < 2:
        return x
    return layout.unflatten(x, whole, parts, low.size, lambda _: False)


def _batched(low: Lowering, x: Expr, y: Expr, over: frozenset[Axis], batch: frozenset[Axis]) -> Expr:
    """Shared axes are kept: matmul over batches [b.., m, k] and [b.., k, n]; several m, n or k are flattened to one."""
    rows, columns, inner = _kept(x, x.axes - over - batch), _kept(y, y.axes - over - batch), _kept(x, over)
    outer = sorted(_kept(x, batch), key=lambda axis: axis.name != LEADING)
    x, row = _joined(layout.permute(x, (*outer, *rows, *inner)), rows)
    x, whole = _joined(x, inner)
    y, column = _joined(layout.permute(y, (*outer, *inner, *columns)), columns)
    y, _ = _joined(y, inner, whole)
    x = x if rows else layout.insert(x, (*outer, None, whole))
    y = y if columns else layout.insert(y, (*outer, whole, None))
    dims: Dims = (*outer, row if rows else None, column if columns else None)
    done = layout.squeeze(Expr("matmul", (x, y), (), dims, x.dtype))
    return _parted(low, _parted(low, done, row, rows), column, columns)


def _einsum(low: Lowering, current: Node, x: Expr, y: Expr, over: frozenset[Axis], batch: frozenset[Axis]) -> Expr:
    """The general case; torch.einsum permutes and multiplies batches of matrices."""
    order = low.wish.get(current, ())
    if frozenset(order) != current.axes:
        order = (*_kept(x, batch), *_kept(x, x.axes - over - batch), *_kept(y, y.axes - over - batch))
    order = tuple(sorted(order, key=lambda axis: axis.name != LEADING))
    letters: dict[Axis, str] = {}
    spare = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    for axis in (*(x.dims or ()), *(y.dims or ())):
        if axis is None or axis in letters:
            continue
        if axis.name == LEADING and low.native:
            letters[axis] = "..."
            continue
        wanted = axis.name[0] if axis.name[:1] in spare else spare[0]
        spare.remove(wanted)
        letters[axis] = wanted

    def spell(dims: Sequence[Axis | None]) -> str:
        return "".join(letters[dim] for dim in dims if dim is not None)

    equation = f'"{spell(x.dims or ())},{spell(y.dims or ())}->{spell(order)}"'
    return Expr("einsum", (x, y), (equation,), tuple(order), x.dtype)


# ------------------------------------------------------------------------------------------------ convolutions
def convolution(low: Lowering, current: Node) -> Expr:
    """F.conv over one to three windows: batch axes flattened to one, groups and channels to the channel dimension."""
    x, w = (layout.squeeze(low.value(arg)) for arg in current.args[:2])
    library = current.attrs
    assert isinstance(library, Library)
    spec = library.options
    assert isinstance(spec, Convolution)
    if low.native and x.is_leading:
        raise NeedsFlat
    windows = _ordered(x, spec.windows)
    x, padding = _padded(low, x, windows)
    batch, groups = _kept(x, frozenset(spec.batch)), _kept(w, frozenset(spec.groups))
    channels, filters = _kept(w, frozenset(spec.channels)), _kept(w, frozenset(spec.filters))
    x = layout.permute(x, (*batch, *groups, *channels, *(window.axis for window in windows)))
    x = _one_batch(x, batch)
    x = _one(x, (*groups, *channels), len(batch) > 0)
    w = layout.permute(w, (*groups, *filters, *channels, *(window.kernel for window in windows)))
    w = _one(w, (*groups, *filters), False)
    w = _one(w, tuple(channels), True)
    assert x.dims is not None
    keyword = _options(low, windows, padding)
    if groups:
        keyword.append(("groups", low.size(_count(groups))))
    bias = (_bias(low, current, [*groups, *filters]),) if len(current.args) > 2 else ()
    extra = tuple(Expr("keyword", (value,), (text,)) for text, value in keyword)
    outs = [window.out for window in windows]
    return _unjoined(low, Expr("convolution", (x, w, *bias, *extra), (f"conv{len(windows)}d", ""), (), "float"), batch,
                     [*groups, *filters], outs)


def _bias(low: Lowering, current: Node, target: Sequence[Axis]) -> Expr:
    bias = layout.permute(layout.squeeze(low.value(current.args[2])), target)
    return _joined(bias, target)[0]


def _unjoined(low: Lowering, done: Expr, batch: Sequence[Axis], target: Sequence[Axis], outs: Sequence[Axis]) -> Expr:
    """The result of a convolution with its batch and channel dimensions taken apart."""
    whole = Axis("*".join(map(str, target)), _count(target))
    first = _joined_axis(batch)
    dims = (*([first] if batch else []), whole, *outs)
    done = replace(done, dims=dims)
    if len(target) > 1:
        done = layout.unflatten(done, whole, target, low.size, lambda _: False)
    elif len(target) == 1:
        done = layout.relabel(done, {whole: target[0]})
    else:
        done = Expr("squeeze", (done,), (dims.index(whole),), tuple(dim for dim in dims if dim != whole), "float")
    if len(batch) > 1 and first is not None:
        done = layout.unflatten(done, first, batch, low.size, lambda _: False)
    return done


def transposed(low: Lowering, current: Node) -> Expr:
    """F.conv_transpose; what it gives too much is cut off, what it lacks is zero."""
    x, w = (layout.squeeze(low.value(arg)) for arg in current.args[:2])
    library = current.attrs
    assert isinstance(library, Library)
    spec = library.options
    assert isinstance(spec, Transposed)
    if low.native and x.is_leading:
        raise NeedsFlat
    assert x.dims is not None
    spreads = sorted(spec.spreads, key=lambda s: x.dims.index(s.axis))  # type: ignore[union-attr]
    batch, groups = _kept(x, frozenset(spec.batch)), _kept(w, frozenset(spec.groups))
    channels, filters = _kept(w, frozenset(spec.channels)), _kept(w, frozenset(spec.filters))
    x = layout.permute(x, (*batch, *groups, *channels, *(spread.axis for spread in spreads)))
    x = _one(_one_batch(x, batch), (*groups, *channels), len(batch) > 0)
    w = layout.permute(w, (*groups, *channels, *filters, *(spread.kernel for spread in spreads)))
    w = _one(_one(w, (*groups, *channels), False), tuple(filters), True)
    extra = [(s.out.size - s.natural).constant or 0 for s in spreads]
    padding = [e if 0 <= e < max(s.step, s.dilation) else 0 for e, s in zip(extra, spreads, strict=True)]
    keyword: list[tuple[str, Expr]] = []
    for text, values, default in (("stride", [s.step for s in spreads], 1), ("padding", [s.pad for s in spreads], 0),
                                  ("output_padding", padding, 0), ("dilation", [s.dilation for s in spreads], 1)):
        if any(value != default for value in values):
            keyword.append((text, _each(low, [Size.of(value) for value in values])))
    if groups:
        keyword.append(("groups", low.size(_count(groups))))
    arguments = tuple(Expr("keyword", (value,), (text,)) for text, value in keyword)
    bias = (_bias(low, current, [*groups, *filters]),) if len(current.args) > 2 else ()
    done = Expr("convolution", (x, w, *bias, *arguments), (f"conv_transpose{len(spreads)}d", ""), (), "float")
    done = _unjoined(low, done, batch, [*groups, *filters], [s.out for s in spreads])
    for e, p, s in zip(extra, padding, spreads, strict=True):
        if e != p:
            done = pad_to(low, done, s.out, Size.of(e - p))
    return done


def _count(axes: Sequence[Axis]) -> Size:
    total = Size.of(1)
    for axis in axes:
        total = total * axis.size
    return total


def _joined_axis(axes: Sequence[Axis]) -> Axis | None:
    if not axes:
        return None
    return axes[0] if len(axes) == 1 else Axis("*".join(map(str, axes)), _count(axes))


def _one_batch(x: Expr, batch: Sequence[Axis]) -> Expr:
    """Several batch axes as one; none is left out, F.conv takes unbatched inputs too."""
    into = _joined_axis(batch)
    return layout.flatten(x, batch, into) if into is not None and len(batch) > 1 else x


def _one(x: Expr, axes: Sequence[Axis], after: bool) -> Expr:
    """The axes as one dimension; a new one of size one where there are none (at dimension 1 if `after`, else 0)."""
    if len(axes) > 1:
        into = _joined_axis(axes)
        assert into is not None
        return layout.flatten(x, axes, into)
    if axes:
        return x
    assert x.dims is not None
    place = 1 if after else 0
    return Expr("unsqueeze", (x,), (place,), (*x.dims[:place], None, *x.dims[place:]), x.dtype)


def _ordered(x: Expr, windows: Sequence[Window]) -> list[Window]:
    assert x.dims is not None
    return sorted(windows, key=lambda window: x.dims.index(window.axis))  # type: ignore[union-attr]


def _padded(low: Lowering, x: Expr, windows: Sequence[Window]) -> tuple[Expr, list[Size]]:
    """x as far as the windows reach, and the zeros on both sides that the call itself adds."""
    padding: list[Size] = []
    for window in windows:
        before = -window.start
        length = window.axis.size
        step = window.step.constant or 1
        zeros = window.border == "fill" and before.constant is not None and before.constant >= 0
        whole = (window.border in ("check", "trust") or zeros) and (before.constant == 0 or zeros)
        if whole:
            out = (length + before * 2 - window.span) // step + 1 if step != 1 else length + before * 2 - window.span + 1
            if same(out, window.out.size):
                padding.append(before)
                continue
        x = span(low, x, window.axis, window.start, window.extent, window.border, layout.literal(0.0))
        padding.append(Size.of(0))
    return x, padding


def _options(low: Lowering, windows: Sequence[Window], padding: Sequence[Size]) -> list[tuple[str, Expr]]:
    found: list[tuple[str, Expr]] = []
    for text, values, default in (("stride", [w.step for w in windows], 1), ("padding", list(padding), 0),
                                  ("dilation", [w.dilation for w in windows], 1)):
        if all(value.constant == default for value in values):
            continue
        found.append((text, _each(low, values)))
    return found


def _each(low: Lowering, values: Sequence[Size]) -> Expr:
    if all(value == values[0] for value in values):
        return low.size(values[0])
    return Expr("tuple", tuple(map(low.size, values)))


def pool(low: Lowering, current: Node) -> Expr:
    """F.avg_pool over one to three windows; every other axis is a batch."""
    x = layout.squeeze(low.value(current.args[0]))
    library = current.attrs
    assert isinstance(library, Library)
    spec = library.options
    assert isinstance(spec, Pool)
    if low.native and x.is_leading:
        raise NeedsFlat
    windows = _ordered(x, spec.windows)
    x, padding = _padded(low, x, windows)
    for place, (window, pad) in enumerate(zip(windows, padding, strict=True)):
        most = window.kernel.size.constant
        if pad.constant != 0 and (pad.constant is None or most is None or 2 * pad.constant > most):
            # The library pads by at most half a window.
            x = span(low, x, window.axis, -pad, window.axis.size + pad * 2, window.border, layout.literal(0.0))
            padding[place] = Size.of(0)
    batch = _kept(x, frozenset(spec.batch))
    x = layout.permute(x, (*batch, *(window.axis for window in windows)))
    first = _joined_axis(batch)
    keep = batch if len(batch) == 2 else []
    if not batch:
        assert x.dims is not None
        x = Expr("unsqueeze", (x,), (0,), (None, *x.dims), x.dtype)
    elif len(batch) > 2:
        x = _one_batch(x, batch)
    options = [("kernel_size", _each(low, [w.kernel.size for w in windows])), ("stride", _each(low, [w.step for w in windows]))]
    options += [("padding", _each(low, padding))] if any(pad.constant != 0 for pad in padding) else []
    outs = [window.out for window in windows]
    lead = (None,) if not batch else tuple(keep) if keep else (first,)
    extra = tuple(Expr("keyword", (value,), (text,)) for text, value in options[2:])
    arguments = (x, options[0][1], options[1][1], *extra)
    done = Expr("convolution", arguments, (f"avg_pool{len(windows)}d", ""), (*lead, *outs), "float")
    if len(batch) > 2 and first is not None:
        done = layout.unflatten(done, first, batch, low.size, lambda _: False)
    if spec.op == "sum":
        count = low.size(_count([window.kernel for window in windows]))
        done = Expr("mul", (done, count), (), done.dims, "float")
    return done


def stack(low: Lowering, current: Node) -> Expr:
    """torch.stack along a new last axis; parts that lack other axes are expanded."""
    library = current.attrs
    assert isinstance(library, Library)
    assert isinstance(library.options, Stack)
    axis = library.options.axis
    parts = [layout.squeeze(low.as_tensor(low.value(arg))) for arg in current.args]
    parts = [low.as_complex(part) for part in parts] if current.type.dtype == "complex" else parts
    order = layout.merge([[dim for dim in part.dims or () if dim is not None] for part in parts], low.wish.get(current, ()))
    order = tuple(sorted(order, key=lambda a: a.name != LEADING))
    lead = low.lead_shape() if low.native and order and order[0].name == LEADING else None
    whole = Expr("tuple", tuple(layout.expand(part, order, low.size, lead) for part in parts))
    return Expr("function", (whole, literal(-1)), ("torch.stack",), (*order, axis), current.type.dtype)


def cat(low: Lowering, current: Node) -> Expr:
    """torch.cat along one axis; parts that lack other axes are expanded."""
    library = current.attrs
    assert isinstance(library, Library)
    assert isinstance(library.options, Cat)
    axis, sources = library.options.axis, library.options.parts
    if low.native and axis.name == LEADING:
        raise NeedsFlat
    parts = [layout.squeeze(low.as_tensor(low.value(arg))) for arg in current.args]
    parts = [low.as_complex(part) for part in parts] if current.type.dtype == "complex" else parts
    renamed = [[axis if dim == source else dim for dim in part.dims or () if dim is not None]
               for part, source in zip(parts, sources, strict=True)]
    order = layout.merge(renamed, low.wish.get(current, ()))
    order = tuple(sorted(order, key=lambda a: a.name != LEADING))
    lead = low.lead_shape() if low.native and order[0].name == LEADING else None
    made = []
    for part, source in zip(parts, sources, strict=True):
        mine = [source if dim == axis else dim for dim in order]
        part = layout.permute(part, mine) if part.axes == frozenset(mine) else layout.expand(part, mine, low.size, lead)
        made.append(layout.relabel(part, {source: axis}))
    at = order.index(axis)
    place = at - len(order) if order[0].name == LEADING or at == len(order) - 1 else at
    return Expr("cat", tuple(made), (place,), order, current.type.dtype)

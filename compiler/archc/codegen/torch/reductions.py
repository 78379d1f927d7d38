"""Lowering of reductions and normalisers over axes."""

from __future__ import annotations

from collections.abc import Sequence

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis
from archc.codegen.torch import layout
from archc.codegen.torch.form import Assign, Dims, Expr
from archc.codegen.torch.lower import Lowering, NeedsFlat
from archc.ir.graph import Library, Node
from archc.ir.library import Standardised
from archc.ops.table import OPS


def _parts(low: Lowering, current: Node) -> tuple[str, frozenset[Axis], Expr]:
    """The row, its axes and its operand; a library node stands for its body."""
    row = current.attrs.body if isinstance(current.attrs, Library) else current
    over = row.attrs
    assert isinstance(over, frozenset)
    if low.native and any(axis.name == LEADING for axis in over):
        raise NeedsFlat
    return row.op, over, low.as_tensor(low.value(current.args[0]))


def reduce(low: Lowering, current: Node) -> Expr:
    op, over, x = _parts(low, current)
    assert x.dims is not None
    if low.storing and (known := low.statistics.get((current.args[0], over), {}).get(op)) is not None:
        return known
    if not over:
        return x if op not in ("var", "std") else Expr("function", (x,), ("torch.zeros_like",), x.dims, x.dtype)
    if op == "prod":
        return _product(low, current, x, over)
    keep = _kept(low, current, over, x)
    dims: Dims = tuple(None if dim in over else dim for dim in x.dims) if keep else tuple(d for d in x.dims if d not in over)
    places = layout.positions(x, over)
    text = str(places[0]) if len(places) == 1 else str(places)
    if not dims and op not in ("logsumexp", "var", "std"):
        text = ""
    return Expr(op, (x,), (text, ", keepdim=True" if keep else ""), dims, OPS[op].result((x.dtype,)))


def _kept(low: Lowering, current: Node, over: frozenset[Axis], x: Expr) -> bool:
    """Whether the reduced dimensions stay, with size one: readers broadcast the result against values that have them."""
    assert x.dims is not None
    inner = [dim for dim in x.dims if dim in over]
    if all(dim in over for dim in x.dims[: len(inner)]):
        return False  # the outermost ones are broadcast anyway
    seen: set[Node] = set()
    stack = [current]
    while stack:
        for reader in low.readers.get(stack.pop(), ()):
            if reader in seen or reader.op not in OPS or OPS[reader.op].form != "elementwise":
                continue
            seen.add(reader)
            if over <= reader.axes:
                return True
            if reader.axes == current.axes:
                stack.append(reader)
    return False


def _product(low: Lowering, current: Node, x: Expr, over: frozenset[Axis]) -> Expr:
    """torch.prod takes one dimension at a time, and multiplies in the type it is given: float32 at least."""
    rounds = x.dtype == "float" and not low.is_fixed(current)
    wide = f", dtype=torch.promote_types({low.dtype_text}, torch.float32)" if rounds else ""
    for axis in sorted(over, key=lambda a: x.position(a), reverse=True):
        assert x.dims is not None
        rest = tuple(dim for dim in x.dims if dim != axis)
        x = Expr("prod", (x,), (str(x.position(axis)), wide), rest, x.dtype)
        wide = ""
    return Expr("to_float", (x,), (low.dtype_text,), x.dims, "float") if rounds else x


def normalise(low: Lowering, current: Node) -> Expr:
    op, over, x = _parts(low, current)
    assert x.dims is not None
    if len(over) == 1:
        (axis,) = over
        return Expr(op, (x,), (x.position(axis),), x.dims, OPS[op].result((x.dtype,)))
    x = layout.squeeze(x)
    assert x.dims is not None
    inner = [dim for dim in x.dims if dim in over]
    if not inner:
        raise AssertionError("a normaliser needs an axis")
    outer = [dim for dim in x.dims if dim not in over]
    x = layout.permute(x, (*outer, *inner))
    whole = _joined(inner)
    flat = layout.flatten(x, [axis for axis in inner if axis is not None], whole)
    done = Expr(op, (flat,), (-1,), flat.dims, "float")
    return layout.unflatten(done, whole, [axis for axis in inner if axis is not None], low.size, lambda _: False)


def _joined(axes: Sequence[Axis | None]) -> Axis:
    total = Size.of(1)
    for axis in axes:
        assert axis is not None
        total = total * axis.size
    return Axis("*".join(str(axis) for axis in axes), total)


def standardise(low: Lowering, current: Node) -> Expr:
    """F.layer_norm over the last dimensions, F.group_norm where the weight belongs to channels before them, batch_norm over
    all but the channels."""
    library = current.attrs
    assert isinstance(library, Library)
    spec = library.options
    assert isinstance(spec, Standardised)
    if low.native and any(axis.name == LEADING for axis in spec.over):
        raise NeedsFlat
    x = layout.squeeze(low.value(current.args[0]))
    first = 4 if spec.kind == "frozen" else 2
    affine = [layout.squeeze(low.value(arg)) for arg in current.args[first:]]
    eps = Expr("keyword", (low.value(current.args[1]),), ("eps",))
    assert x.dims is not None
    if spec.kind in ("batch", "frozen"):
        channel = spec.order[1]
        others = [dim for dim in x.dims if dim != channel]
        x = layout.permute(x, (others[0], channel, *others[1:]))
        nothing = layout.name("None")
        weight, bias = [*affine, nothing, nothing][:2]
        if spec.kind == "frozen":
            stored = [low.value(arg) for arg in current.args[2:4]]
            return Expr("function", (x, *stored, weight, bias, eps), ("F.batch_norm",), x.dims, "float")
        return _over_batch(low, current, spec, x, weight, bias)
    assert x.dims is not None
    inner = [dim for dim in x.dims if dim in spec.over]
    outer = [dim for dim in x.dims if dim not in spec.over]
    x = layout.permute(x, (*outer, *inner))
    if spec.kind == "group" and not x.is_leading and len(outer) == 2:
        return _grouped(low, x, outer, inner, affine, eps)
    sizes = [low.size(axis.size) for axis in inner if axis is not None]
    plain = () if spec.kind == "group" else tuple(layout.permute(arg, inner) for arg in affine)
    done = Expr("function", (x, Expr("tuple", tuple(sizes)), *plain, eps), ("F.layer_norm",), x.dims, "float")
    order = tuple(dim for dim in x.dims or () if dim is not None)
    for op, arg in zip(("mul", "add"), affine if spec.kind == "group" else (), strict=False):
        done = Expr(op, (done, layout.align(arg, order)), (), order, "float")
    return done


def _over_batch(low: Lowering, current: Node, spec: Standardised, x: Expr, weight: Expr, bias: Expr) -> Expr:
    """The kernel gives mean and variance too; what is stored of them is taken from there."""
    call = Expr("function", (x, weight, bias, low.value(current.args[1])), ("_batch_norm",), x.dims, "float")
    normal, *statistics = (low.scope.names.fresh(text) for text in ("normal", "mean", "variance"))
    low.block.append(Assign((normal, *statistics), call))
    low.statistics[current.args[0], spec.over] = {
        op: layout.name(text, (spec.order[1],)) for op, text in zip(("mean", "var"), statistics, strict=True)}
    return layout.name(normal, x.dims)


def _grouped(low: Lowering, x: Expr, outer: Sequence[Axis | None], inner: Sequence[Axis | None], affine: Sequence[Expr],
             eps: Expr) -> Expr:
    """x [n, g, k, ...] with weights of [g, k] or [g]: channels are g times k, groups are g."""
    group, first = outer[1], inner[0]
    assert group is not None and first is not None
    channels = [group, first] if first in affine[0].axes else [group]
    whole = _joined(channels) if len(channels) > 1 else group
    flat = layout.flatten(x, channels, whole) if len(channels) > 1 else x
    weights = []
    for arg in affine:
        arg = layout.permute(arg, channels)
        weights.append(layout.flatten(arg, channels, whole) if len(channels) > 1 else arg)
    done = Expr("function", (flat, low.size(group.size), *weights, eps), ("F.group_norm",), flat.dims, "float")
    return layout.unflatten(done, whole, channels, low.size, low.infer) if len(channels) > 1 else done

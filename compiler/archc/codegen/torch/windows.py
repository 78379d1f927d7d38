"""Windows over a shifted read: which sums are convolutions, which reductions pool, which choices are concatenations.
"""

from __future__ import annotations

from archc.checker.sizes import Size
from archc.checker.types import Axis
from archc.codegen.torch.affine import affine, same
from archc.ir import build
from archc.ir.graph import Library, Node, Read, node
from archc.ir.library import Cat, Convolution, Pool, Spread, Stack, Transposed, Window


def _windows(read: Node, kernels: frozenset[Axis]) -> tuple[Window, ...] | None:
    """The windows of a read whose every index is affine in one kernel axis and one other; None if it is anything else."""
    attrs = read.attrs
    if read.op != "read" or not isinstance(attrs, Read):
        return None
    found: list[Window] = []
    taken: set[Axis] = set()
    for at, index in zip(attrs.at, read.args[1:], strict=False):
        form = affine(index)
        if form is None or len(form.coefficients) != 2:
            return None
        inner = [axis for axis in form.coefficients if axis in kernels]
        outer = [axis for axis in form.coefficients if axis not in kernels]
        if len(inner) != 1 or len(outer) != 1 or taken & form.coefficients.keys():
            return None
        step, dilation = form.coefficients[outer[0]], form.coefficients[inner[0]]
        if not (_positive(step) and _positive(dilation)):
            return None
        taken |= set(form.coefficients)
        found.append(Window(at.axis, outer[0], inner[0], step, dilation, form.constant, at.border))
    return tuple(found)


def _positive(size: Size) -> bool:
    """Strides and dilations are at least 1 and known now."""
    return size.constant is not None and size.constant > 0


def convolution(read: Node, weight: Node, over: frozenset[Axis]) -> Node | None:
    """sum over `over` of read * weight as a `convolution` node, or None."""
    windows = _windows(read, over & weight.axes)
    if not windows or len(windows) > 3:
        return None
    source = read.args[0]
    kernels = frozenset(w.kernel for w in windows)
    outs = frozenset(w.out for w in windows)
    read_axes = frozenset(w.axis for w in windows)
    rest = source.axes - read_axes
    if outs & (weight.axes | over) or kernels - over or (outs | kernels) & rest or not _zero_fill(read):
        return None
    channels = rest & over & weight.axes
    groups = (rest & weight.axes) - over
    filters = weight.axes - channels - groups - kernels
    if over - kernels - channels or filters & read.axes:
        return None
    windows = _in_order(windows, source)
    options = Convolution(windows, *(tuple(sorted(axes, key=str)) for axes in
                                     (rest - channels - groups, groups, channels, filters)))
    x, w = node("input", (), "0", source.type), node("input", (), "1", weight.type)
    body = build.reduce("sum", build.apply("mul", node("read", (x, *read.args[1:]), read.attrs, read.type), w), over)
    return node("library", (source, weight), Library("convolution", body, options), body.type)


def transposed(read: Node, weight: Node, over: frozenset[Axis]) -> Node | None:
    """sum over `over` of x[h = (u + pad - p) / step else 0] * weight as a `transposed` node, or None."""
    attrs = read.attrs
    if read.op != "read" or not isinstance(attrs, Read) or not 1 <= len(attrs.at) <= 3 or not _zero_fill(read):
        return None
    spreads: list[Spread] = []
    for at, index in zip(attrs.at, read.args[1:], strict=False):
        found = _spread(at.axis, index, over) if at.border == "fill" else None
        if found is None:
            return None
        spreads.append(found)
    source = read.args[0]
    kernels, outs = frozenset(s.kernel for s in spreads), frozenset(s.out for s in spreads)
    rest = source.axes - frozenset(s.axis for s in spreads)
    if len(kernels) != len(spreads) or len(outs) != len(spreads) or not kernels <= weight.axes or outs & weight.axes:
        return None
    channels, groups = rest & over & weight.axes, (rest & weight.axes) - over
    filters = weight.axes - channels - groups - kernels
    if over - kernels - channels or filters & read.axes or (outs | kernels) & rest:
        return None
    options = Transposed(tuple(spreads), *(tuple(sorted(axes, key=str)) for axes in
                                           (rest - channels - groups, groups, channels, filters)))
    x, w = node("input", (), "0", source.type), node("input", (), "1", weight.type)
    body = build.reduce("sum", build.apply("mul", node("read", (x, *read.args[1:]), read.attrs, read.type), w), over)
    return node("library", (source, weight), Library("transposed", body, options), body.type)


def _spread(axis: Axis, index: Node, over: frozenset[Axis]) -> Spread | None:
    """The index e / step: where e % step == 0 it is e // step, else outside."""
    step, whole = 1, index
    if index.op == "where":
        condition, quotient, outside = index.args
        if condition.op != "eq" or quotient.op != "floordiv" or outside.op != "const" or not _below_zero(outside):
            return None
        rest, zero = condition.args if condition.args[0].op == "mod" else condition.args[::-1]
        if rest.op != "mod" or zero.op != "const" or zero.attrs != 0 or rest.args != quotient.args:
            return None
        divisor = quotient.args[1]
        if divisor.op != "const" or not isinstance(divisor.attrs, int) or divisor.attrs < 1:
            return None
        step, whole = divisor.attrs, quotient.args[0]
    form = affine(whole)
    if form is None or len(form.coefficients) != 2 or form.constant.constant is None or form.constant.constant < 0:
        return None
    out = [a for a, c in form.coefficients.items() if c.constant == 1 and a not in over]
    kernel = [(a, -c.constant) for a, c in form.coefficients.items() if c.constant is not None and c.constant < 0 and a in over]
    if len(out) != 1 or len(kernel) != 1:
        return None
    found = Spread(axis, out[0], kernel[0][0], step, kernel[0][1], form.constant.constant)
    return found if (found.out.size - found.natural).constant is not None else None


def _below_zero(current: Node) -> bool:
    return isinstance(current.attrs, int) and current.attrs < 0


def pooling(current: Node) -> Node | None:
    """A mean or sum over the kernels of a windowed read as a `pool` node. The largest in each window stays an `amax` over views:
    the library's max pooling gives the whole derivative to one of several equal elements."""
    read, over = current.args[0], current.attrs
    if current.op not in ("mean", "sum") or not isinstance(over, frozenset) or read.type.dtype != "float":
        return None
    windows = _windows(read, over)
    if not windows or len(windows) > 3 or frozenset(w.kernel for w in windows) != over or not _zero_fill(read):
        return None
    if any(w.dilation.constant != 1 or w.out in read.args[0].axes for w in windows):
        return None
    source = read.args[0]
    x = node("input", (), "0", source.type)
    body = build.reduce(current.op, node("read", (x, *read.args[1:]), read.attrs, read.type), over)
    batch = tuple(sorted(source.axes - frozenset(w.axis for w in windows), key=str))
    options = Pool(current.op, _in_order(windows, source), batch)
    return node("library", (source,), Library("pool", body, options), body.type)


def _in_order(windows: tuple[Window, ...], source: Node) -> tuple[Window, ...]:
    """In the order in which the axes lie in memory, as far as names say; lowering puts them in the operand's own order."""
    return tuple(sorted(windows, key=lambda w: w.axis.name))


def _zero_fill(read: Node) -> bool:
    """Whether everything outside reads as zero, or as an element of the tensor."""
    attrs = read.attrs
    assert isinstance(attrs, Read)
    if not any(at.border == "fill" for at in attrs.at):
        return True
    fill = read.args[-1]
    return fill.op == "const" and fill.attrs == 0


def concatenation(current: Node) -> Node | None:
    """where(z < |a|, p[a = z], where(z < |a| + |b|, q[b = z - |a|], r[...])): each part read from where the one before ended."""
    parts: list[tuple[Node, Axis]] = []
    start, axis = Size.of(0), None
    rest: Node | None = current
    while rest is not None:
        bound: Size | None = None
        part = rest
        if rest.op == "where" and (split := _split(rest.args[0])) and (axis is None or split[0] == axis):
            axis, bound = split
            part = rest.args[1]
        found = axis and _part(part, axis, start)
        if not found or axis is None:
            return None
        parts.append((part.args[0], found))
        end = start + found.size
        if bound is not None and not same(bound, end):
            return None
        start = end
        rest = rest.args[2] if bound is not None else None
    if axis is None or len(parts) < 2 or not same(start, axis.size):
        return None
    holes = {}
    for i, (source, _) in enumerate(parts):
        holes[source] = node("input", (), str(i), source.type)
    if len(holes) != len(parts):
        return None
    return node("library", tuple(source for source, _ in parts),
                Library("cat", _rebuilt(current, holes, axis), Cat(axis, tuple(a for _, a in parts))), current.type)


def stack(current: Node) -> Node | None:
    """where(z < 1, p, q) along an axis z of size 2 that neither has."""
    condition, first, second = current.args
    found = _split(condition)
    if found is None or found[1].constant != 1 or found[0].size.constant != 2 or found[0] in first.axes | second.axes:
        return None
    holes = (node("input", (), str(i), arg.type) for i, arg in enumerate((first, second)))
    body = build.apply("where", condition, *holes)
    return node("library", (first, second), Library("stack", body, Stack(found[0])), current.type)


def _split(condition: Node) -> tuple[Axis, Size] | None:
    """`z < size` as (z, size)."""
    if condition.op == "lt" and condition.args[0].op == "iota":
        bound = affine(condition.args[1])
        if bound is not None and not bound.coefficients and isinstance(condition.args[0].attrs, Axis):
            return condition.args[0].attrs, bound.constant
    return None


def _part(read: Node, axis: Axis, start: Size) -> Axis | None:
    """The axis that a read of one part runs along: x[a = z - start]."""
    attrs = read.attrs
    if read.op != "read" or not isinstance(attrs, Read) or len(attrs.at) != 1 or axis in read.args[0].axes:
        return None
    form = affine(read.args[1])
    if form is None or dict(form.coefficients) != {axis: Size.of(1)} or not same(form.constant, -start):
        return None
    return attrs.at[0].axis


def _rebuilt(current: Node, holes: dict[Node, Node], axis: Axis) -> Node:
    """The choice again, reading the holes in place of the parts."""
    if current.op == "read":
        return node("read", (holes[current.args[0]], *current.args[1:]), current.attrs, current.type)
    condition, part, rest = current.args
    return build.apply("where", condition, _rebuilt(part, holes, axis), _rebuilt(rest, holes, axis))

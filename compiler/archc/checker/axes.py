"""Axes of a declaration: declared, sized, split to the finest parts, bound to those of a caller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from archc.checker import expressions
from archc.checker.frame import Context, Frame, Stop
from archc.checker.sizes import Size, product
from archc.checker.typed import SplitSize
from archc.checker.types import LEADING, Axis, Dim, Layout
from archc.checker.values import POISON, AxisRef, SizeVal, Value, chain_size
from archc.diagnostics import codes
from archc.diagnostics.model import Problems
from archc.syntax import tree
from archc.syntax.tree import Span

Splits = dict[str, tuple[tree.Dim, ...]]
LEAVES = (tree.Ident, tree.Name, tree.Number, tree.SizeOf, tree.String)


def splits_in(node: object, frame: Frame) -> Splits:
    """The splits that a declaration makes anywhere, by the name of the whole: they hold in all of it, except those of a branch
    that the static choices in `frame` leave out. A choice that is made later, as by the turn of a loop, leaves out nothing."""
    known = frame.context.registry.splits if frame.context.registry else {}
    if id(node) in known:
        return known[id(node)]
    found: Splits = {}
    places: dict[str, Span] = {}
    values: Values = {name: value for name, value in frame.values.items() if isinstance(value, STATICS)}
    chosen = False
    for current, under in _splits(node, values, frame):
        assert current.name is not None
        name = current.name.name
        names = [part.name.name for part in current.parts if part.name]
        if name not in found:
            found[name], places[name] = current.parts, current.span
        elif [p.name.name for p in found[name] if p.name] != names:
            frame.report(codes.SECOND_SPLIT, current.span, name=name, also=[(places[name], "split here first")])
        chosen |= under
    if not chosen:
        known[id(node)] = found
    return found


STATICS = (bool, int, float, str, tuple)
Values = dict[str, Value]


def _splits(root: object, values: Values, frame: Frame) -> Iterator[tuple[tree.Dim | tree.AxisDecl, bool]]:
    """The splits below a node in the order of the text, and whether a static choice is around them."""
    stack: list[tuple[object, Values, bool]] = [(root, values, False)]
    while stack:
        current, values, under = stack.pop()
        below: Iterable[object] = () if isinstance(current, LEAVES) else tree.children(current)
        if isinstance(current, (tree.Dim, tree.AxisDecl)) and current.name is not None and current.parts:
            yield current, under
        elif isinstance(current, tree.If):
            under = True
            taken = _static(current.condition, values, frame)
            if isinstance(taken, bool):
                below = current.then if taken else current.otherwise or ()
        elif isinstance(current, tree.Assign):
            value = _static(current.value, values, frame) if len(current.targets) == 1 else None
            values |= {target.name: POISON if value is None else value for target in current.targets}
        elif isinstance(current, tree.Fn) and current is not root:
            values = values | {entry.name.name: POISON for entry in current.signature}
        elif isinstance(current, tree.For):
            values[current.target.name] = POISON
        stack.extend((node, values, under) for node in reversed(list(below)))


def _static(expr: tree.Expr, values: Values, frame: Frame) -> Value | None:
    """The value of an expression of static choices; None where it is made of anything else."""
    stack: list[object] = [expr]
    while stack:
        current = stack.pop()
        if isinstance(current, (tree.Call, tree.Repeat, tree.Member, tree.SizeOf)):
            return None
        if isinstance(current, tree.Name) and not isinstance(values.get(current.name), STATICS):
            return None
        stack.extend(() if isinstance(current, LEAVES) else tree.children(current))
    apart = Frame(Context(Problems()), frame.file)
    apart.values = values
    try:
        value = expressions.evaluate(expr, apart)
    except Stop:
        return None
    return value if isinstance(value, STATICS) else None


def size_expression(expr: tree.Expr, frame: Frame) -> Size:
    """A size that is written out: an int, or made of sizes and int parameters."""
    value = expressions.evaluate(expr, frame)
    return as_size(value, expr.span, frame)


def as_size(value: Value, span: Span, frame: Frame) -> Size:
    if isinstance(value, SizeVal):
        return value.size
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            frame.fail(codes.NEGATIVE_SIZE, span, size=value)
        return Size.of(value)
    if isinstance(value, AxisRef):
        frame.fail(codes.AXIS_AS_SIZE, span, name=value.name)
    frame.fail(codes.NOT_A_SIZE, span)


def declare(frame: Frame, name: str, size: Size | None, span: Span, splits: Splits) -> Dim:
    """A new axis of this declaration, or the chain of its parts where it is split. `size` None: its own symbol."""
    parts = splits.get(name)
    if parts is None:
        chain: Dim = (frame.context.axis(name, size),)
    else:
        chain = split(frame, parts, size, span, splits)
    frame.define_axis(name, chain, span)
    return chain


def split(frame: Frame, parts: Sequence[tree.Dim], whole: Size | None, span: Span, splits: Splits) -> Dim:
    """The axes of the parts of a split, outermost first. One open part is sized by the whole; several are read off inputs."""
    sizes = {id(part): size_expression(part.size, frame) for part in parts if part.size is not None}
    for part in parts:
        known = frame.find_axis(part.name.name) if part.name else None
        if known is not None and id(part) not in sizes:
            sizes[id(part)] = chain_size(known)
    open_parts = [part for part in parts if id(part) not in sizes]
    given = product(sizes.values())
    if not open_parts and whole is not None:
        frame.require_equal(given, whole, span, codes.SPLIT_SIZE)
    chain: list[Axis] = []
    for part in parts:
        name = part.name.name if part.name else "part"
        known = frame.find_axis(name)
        if known is not None:
            chain.extend(known)
            continue
        size = sizes.get(id(part))
        if size is None and whole is not None and len(open_parts) == 1:
            size = _part_size(frame, name, whole, given, span)
        chain.extend(declare(frame, name, size, part.span, {k: v for k, v in splits.items() if v is not parts}))
    if whole is not None and len(open_parts) > 1:
        frame.require_equal(chain_size(tuple(chain)), whole, span, codes.SPLIT_SIZE)
        frame.context.wholes[tuple(chain)] = whole
    return tuple(chain)


def _part_size(frame: Frame, name: str, whole: Size, given: Size, span: Span) -> Size:
    """The size of the part that is left: exact, or a new symbol that is checked when the graph is entered."""
    if given.constant == 0:
        frame.fail(codes.SPLIT_SIZE, span, left=given, right=whole)
    if whole.divisible_by(given):
        return whole // given
    if whole.constant is not None and given.constant is not None:
        frame.fail(codes.SPLIT_NOT_EXACT, span, whole=whole, part=given)
    for made in frame.context.splits:
        if (made.whole, made.part) == (whole, given):
            return Size.symbol(made.symbol)  # the same quotient has one name
    symbol = name
    if name in frame.context.taken:
        symbol = frame.context.fresh(name)
    frame.context.splits.append(SplitSize(symbol, whole, given, span))
    return Size.symbol(symbol)


def layout(frame: Frame, dims: Sequence[tree.Dim], splits: Splits) -> Layout:
    """The memory layout that a signature or param states, declaring the axes that are new."""
    result: list[Dim] = []
    seen: set[Axis] = set()
    for dim in dims:
        chain = dimension(frame, dim, splits)
        for axis in chain:
            if axis in seen:
                frame.fail(codes.AXIS_TWICE, dim.span, name=frame.axis_name(axis))
            seen.add(axis)
        if dim.name is not None and dim.name.name == LEADING:
            result.extend((axis,) for axis in chain)
        else:
            result.append(chain)
    return tuple(result)


def dimension(frame: Frame, dim: tree.Dim, splits: Splits) -> Dim:
    """The axes of one dimension of a signature."""
    if dim.name is not None and dim.name.name == LEADING:
        return leading_order(frame)
    if dim.name is None:
        return split(frame, dim.parts, None, dim.span, splits)
    known = frame.find_axis(dim.name.name)
    size = size_expression(dim.size, frame) if dim.size is not None else None
    if known is None:
        return declare(frame, dim.name.name, size, dim.span, splits)
    if size is not None:
        frame.require_equal(chain_size(known), size, dim.span, codes.SIZE_MISMATCH, name=dim.name.name)
    return known


def declare_results(frame: Frame, results: Sequence[tree.Result]) -> None:
    """Sized axes of results are axes of the body. Reports a new axis without a size."""
    for result in results:
        declare_sized(frame, result.dims or ())


def declare_sized(frame: Frame, dims: Sequence[tree.Dim]) -> None:
    """Declares the axes that are new, where no tensor tells their sizes. Reports one without a size."""
    for dim in dims:
        for part in dim.parts or (dim,):
            if part.name is None or part.name.name == LEADING or frame.find_axis(part.name.name) is not None:
                continue
            if part.size is None:
                frame.fail(codes.FRESH_AXIS, part.span, name=part.name.name, axes=sorted(frame.axis_names()))
            declare(frame, part.name.name, size_expression(part.size, frame), part.span, {})


def leading_order(frame: Frame) -> Dim:
    """The members of `...`, in the order in which they were made: that of the caller's memory, as a rule."""
    return frame.context.in_order(frame.leading)

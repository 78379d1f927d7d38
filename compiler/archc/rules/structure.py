"""Rewrites that a pattern cannot say: of indices, reads, accumulations and repeated values. All of them are exact.

Each takes a node whose operands are simplified already, and gives what it becomes, or None. They are tried in order.
"""

from __future__ import annotations

from collections.abc import Callable

from archc.checker.types import Axis
from archc.ir import build
from archc.ir.graph import Accumulate, Borders, Node, topological
from archc.ir.graph import node as make
from archc.ops.table import OPS
from archc.rules.integers import as_node, decide, never_negative, polynomial, remainder

Places = dict[Axis, tuple[Node, Borders]]


def constant(node: Node) -> Node | None:
    """An operation on constants, or another that the builder has a shorter form of."""
    made = build.apply(node.op, *node.args)
    return None if made is node else build.expand(made, node.axes)


def index_arithmetic(node: Node) -> Node | None:
    """An int expression of sizes and indices in its one spelling."""
    if node.type.dtype != "int" or node.op not in ("neg", "add", "sub", "mul", "floordiv", "mod", "maximum"):
        return None
    size = polynomial(node)
    if size is None:
        shorter = remainder(node) if node.op == "mod" else None
        return build.expand(shorter, node.axes) if shorter else None
    spelled = as_node(size, node.axes)
    # Indices may cancel: the value is then the same along their axes.
    return build.expand(spelled, node.axes)


def provable_condition(node: Node) -> Node | None:
    """A comparison of sizes and indices that always holds or never, and the like."""
    return decide(node)


def repeated_operand(node: Node) -> Node | None:
    """An elementwise operation does not need an operand repeated along axes that another has, or that can be repeated after."""
    if not any(arg.op == "expand" for arg in node.args):
        return None
    bare = [arg.args[0] if arg.op == "expand" else arg for arg in node.args]
    return build.expand(_same(node, tuple(bare)), node.axes)


def _same(node: Node, args: tuple[Node, ...]) -> Node:
    """The elementwise operation on operands of the same dtypes and other axes."""
    axes: frozenset[Axis] = frozenset().union(*(arg.axes for arg in args))
    return make(node.op, args, node.attrs, type(node.type)(node.type.dtype, axes))


def sum_of_repeated(node: Node) -> Node | None:
    """sum[k](expand[k](x)) => x * |k|"""
    if node.op != "sum" or node.args[0].op != "expand":
        return None
    over: frozenset[Axis] = node.attrs  # type: ignore[assignment]
    x = node.args[0].args[0]
    return build.expand(build.reduce("sum", x, over), node.axes)


# ------------------------------------------------------------------------------------------------- reads
def places_of(node: Node) -> Places:
    """axis -> (index, border) of a read or an accumulate."""
    return {at.axis: (index, at.border) for at, index in zip(node.attrs.at, node.args[1:], strict=False)}  # type: ignore[union-attr]


def fill_of(node: Node) -> Node | None:
    """The scalar that a read gives outside, if it has one."""
    return node.args[-1] if any(at.border == "fill" for at in node.attrs.at) else None  # type: ignore[union-attr]


def is_inside(index: Node, axis: Axis) -> bool:
    """Proof that an index is never outside of an axis."""
    if index.op == "iota" and index.attrs.size == axis.size:  # type: ignore[union-attr]
        return True
    if index.op == "mod" and polynomial(index.args[1]) == axis.size:
        return True
    size = polynomial(index)
    return size is not None and never_negative(size, index.axes) and never_negative(axis.size - 1 - size, index.axes)


def _reading(x: Node, at: Places, fill: Node | None) -> Node:
    """A read, with the fill only if a border still fills."""
    return build.read(x, at, fill if any(border == "fill" for _, border in at.values()) else None)


def read_itself(node: Node) -> Node | None:
    """x[k = k] => x"""
    if node.op != "read":
        return None
    made = _reading(node.args[0], places_of(node), fill_of(node))
    return None if made is node else made


def read_inside(node: Node) -> Node | None:
    """A read that cannot be outside needs no border."""
    if node.op != "read":
        return None
    at = places_of(node)
    proved: Places = {
        axis: (index, "trust" if border != "trust" and is_inside(index, axis) else border) for axis, (index, border) in at.items()
    }
    return None if proved == at else _reading(node.args[0], proved, fill_of(node))


def read_repeated(node: Node) -> Node | None:
    """What is the same along an axis is the same wherever it is read, if that is inside."""
    if node.op != "read" or node.args[0].op != "expand":
        return None
    repeated: frozenset[Axis] = node.args[0].attrs  # type: ignore[assignment]
    at = places_of(node)
    kept = {axis: place for axis, place in at.items() if axis not in repeated or place[1] in ("fill", "check")}
    if len(kept) == len(at):
        return None
    x = build.expand(node.args[0].args[0], frozenset(kept) & repeated)
    return build.expand(_reading(x, kept, fill_of(node)), node.axes)


def read_of_read(node: Node) -> Node | None:
    """y[a = e] with y = x[b = f] => x[b = f where a is e]"""
    if node.op != "read" or node.args[0].op != "read":
        return None
    inner, outer = node.args[0], places_of(node)
    if any(border != "trust" for _, border in outer.values()):
        return None
    x, at = inner.args[0], places_of(inner)
    moved: Places = {axis: (moved_index(index, outer), border) for axis, (index, border) in at.items()}
    for axis, place in outer.items():
        if axis in x.axes and axis not in at:
            moved[axis] = place
    result = _reading(x, moved, fill_of(inner))
    return result if result.axes == node.axes else None


def moved_index(index: Node, at: Places) -> Node:
    """An int expression read at other places: indices are replaced, and data in it is read there."""
    new: dict[Node, Node] = {}
    for current in topological((index,)):
        here = {axis: place for axis, place in at.items() if axis in current.axes}
        if not here:
            new[current] = current
        elif current.op == "iota":
            new[current] = at[current.attrs][0]  # type: ignore[index]
        elif current.op in OPS and OPS[current.op].form == "elementwise":
            new[current] = build.apply(current.op, *(new[arg] for arg in current.args))
        else:
            new[current] = build.read(current, here)
    return new[index]


def renamed_operands(node: Node) -> Node | None:
    """f(x[k = j]) => f(x)[k = j]: equal things under other names meet where they are computed. Only where all operands that are
    not constants are renamed alike, so that nothing is computed under two names that was under one."""
    if not node.args or node.args[0].op in ("call", "member"):
        return None
    values = [arg for arg in node.args if arg.op != "const"]
    first = values[0] if values else node
    if any(arg.op != "read" or arg.attrs != first.attrs or arg.args[1:] != first.args[1:] for arg in values) or first is node:
        return None
    names = renaming(first)
    if names is None or any(axis in arg.args[0].axes for arg in values for axis in names):
        return None
    back = {old: new for new, old in names.items()}
    if OPS[node.op].form == "elementwise":
        return build.rename(_same(node, tuple(arg.args[0] if arg.op == "read" else arg for arg in node.args)), back)
    over: frozenset[Axis] = node.attrs  # type: ignore[assignment]
    return build.rename(build.reduce(node.op, first.args[0], {names.get(axis, axis) for axis in over}), back)


def renaming(node: Node) -> dict[Axis, Axis] | None:
    """new axis -> old, where a read does nothing but give axes other names."""
    names: dict[Axis, Axis] = {}
    at = places_of(node)
    for axis, (index, border) in at.items():
        new = index.attrs
        if index.op != "iota" or not isinstance(new, Axis) or new.size != axis.size or border == "fill":
            return None
        if new in names or new in node.args[0].axes - at.keys():
            return None
        names[new] = axis
    return names


def accumulate_renamed(node: Node) -> Node | None:
    """What every element is added to once, under another name, is only summed and renamed."""
    if node.op != "accumulate":
        return None
    attrs: Accumulate = node.attrs  # type: ignore[assignment]
    names: dict[Axis, Axis] = {}
    for axis, (index, _) in places_of(node).items():
        new = index.attrs
        if index.op != "iota" or not isinstance(new, Axis) or new.size != axis.size or new in names or new in attrs.keep:
            return None
        names[new] = axis
    v = build.expand(node.args[0], names)
    if not attrs.keep <= v.axes:
        return None
    return build.rename(build.reduce("sum", v, v.axes - attrs.keep - names.keys()), names)


Rewrite = Callable[[Node], Node | None]
ELEMENTWISE: tuple[Rewrite, ...] = (constant, repeated_operand, index_arithmetic, provable_condition, renamed_operands)
REDUCE: tuple[Rewrite, ...] = (sum_of_repeated, provable_condition, renamed_operands)
READ: tuple[Rewrite, ...] = (read_itself, read_inside, read_repeated, read_of_read)
ACCUMULATE: tuple[Rewrite, ...] = (accumulate_renamed,)


def rewrites(op: str) -> tuple[Rewrite, ...]:
    """The rewrites that may apply to an operation."""
    row = OPS.get(op)
    if row is not None:
        return {"elementwise": ELEMENTWISE, "matrix": (), "transform": ()}.get(row.form, REDUCE)
    return READ if op == "read" else ACCUMULATE if op == "accumulate" else ()


"""Graph nodes from the op table's texts: what a row means, and its derivatives.

Texts are expressions of the language over the row's operands. In them, as in the language, `max[k](x)` is the reduction and
`max(x, y)` the larger of two; `k` is whatever set of axes the row goes over, and `|k|` the number of elements in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from archc.checker.types import Axis
from archc.diagnostics.model import CompilerBug
from archc.ir.build import apply, const, count_of, expand, iota, read, reduce, rename
from archc.ir.graph import Node, node, topological
from archc.ops.table import LANGUAGE_NAMES, OPS, SMOOTH
from archc.syntax import tree
from archc.syntax.parse import parse_expression

OPERANDS = ("x", "y", "z")
_BINARY = {"+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod", "==": "eq", "!=": "ne", "<": "lt",
           "<=": "le", ">": "gt", ">=": "ge", "and": "and", "or": "or"}
_parse = lru_cache(maxsize=None)(parse_expression)


def expression(text: str, bindings: Mapping[str, Node], over: frozenset[Axis] = frozenset()) -> Node:
    """The node that a text of the op table means, for these operands; `k` stands for the axes `over`."""
    return _Builder(text, bindings, over).build(_parse(text))


class _Builder:
    def __init__(self, text: str, bindings: Mapping[str, Node], over: frozenset[Axis]) -> None:
        self.text, self.bindings, self.over = text, bindings, over

    def build(self, e: tree.Expr) -> Node:
        if isinstance(e, tree.Number):
            return const(e.value)
        if isinstance(e, tree.Bool):
            return const(e.value)
        if isinstance(e, tree.Name) and e.name in self.bindings:
            return self.bindings[e.name]
        if isinstance(e, tree.Name) and e.name in ("inf", "nan"):
            return const(float(e.name))
        if isinstance(e, tree.SizeOf):
            self.axes(e.axis.name)
            return count_of(self.over)
        if isinstance(e, tree.Unary):
            return apply("neg" if e.op == "-" else "not", self.build(e.operand))
        if isinstance(e, tree.Binary):
            left, right = self.build(e.left), self.build(e.right)
            if e.op == "^":
                # An int exponent in the table is never negative, so the power is a whole one whether it is known or not.
                return apply("ipow" if right.type.dtype == "int" else "pow", left, right)
            return apply(_BINARY[e.op], left, right)
        if isinstance(e, tree.Call):
            return self.call(e)
        raise CompilerBug(f"the op table cannot say {e} in {self.text!r}")

    def call(self, e: tree.Call) -> Node:
        args = [self.build(argument.value) for argument in e.arguments]
        if isinstance(e.callee, tree.Name):
            return apply(self.row(e.callee.name, False), *args)
        if isinstance(e.callee, tree.Bracketed) and isinstance(e.callee.base, tree.Name):
            over = frozenset().union(*(self.axes(item.axis.name) for item in e.callee.items))
            return reduce(self.row(e.callee.base.name, True), args[0], over)
        raise CompilerBug(f"the op table cannot say {e} in {self.text!r}")

    def row(self, name: str, over_axes: bool) -> str:
        found = LANGUAGE_NAMES.get((name, over_axes), name)
        if found not in OPS or (OPS[found].form != "elementwise") != over_axes:
            raise CompilerBug(f"there is no operation {name} in {self.text!r}")
        return found

    def axes(self, name: str) -> frozenset[Axis]:
        if name != "k":
            raise CompilerBug(f"{name} is no axis in {self.text!r}")
        return self.over


def as_float(x: Node) -> Node:
    """The value as a float: constants change, a choice is made between floats, anything else is converted."""
    if x.type.dtype != "int":
        return x
    if x.op == "where":
        return apply("where", x.args[0], as_float(x.args[1]), as_float(x.args[2]))
    return apply("to_float", x) if x.op != "const" else const(float(x.attrs))  # type: ignore[arg-type]


def meaning(n: Node) -> Node | None:
    """What the node's row is defined as, on the same operands; None for a row that is not defined by others."""
    row = OPS.get(n.op)
    if row is None or row.value is None:
        return None
    over = n.attrs if isinstance(n.attrs, frozenset) else frozenset()
    meant = expression(row.value, dict(zip(OPERANDS, n.args, strict=False)), over)
    if n.type.dtype == "float":
        meant = as_float(meant)
    if meant.type.dtype != n.type.dtype or not meant.axes <= n.axes:
        raise CompilerBug(f"{n.op} is {n.type}, but its meaning is {meant.type}")
    return expand(meant, n.axes)


def derivative(n: Node, index: int) -> Node | None:
    """The partial derivative of an elementwise node by its operand, a float over the node's axes or fewer; None where it is 0.

    `where` is answered too; a transformation that must not multiply a nan by 0 treats it itself.
    """
    row = OPS[n.op]
    if row.form != "elementwise":
        raise CompilerBug(f"{n.op} goes over axes: it has a jvp, not partial derivatives")
    if n.args[index].type.dtype not in SMOOTH or n.type.dtype not in SMOOTH:
        return None
    if n.op == "where":
        yes, no = const(1.0), const(0.0)
        return apply("where", n.args[0], *((yes, no) if index == 1 else (no, yes)))
    name = OPERANDS[index]
    if name in row.grad:
        return as_float(expression(row.grad[name], {**dict(zip(OPERANDS, n.args, strict=False)), "out": n}))
    if row.grad or row.value is None:
        return None
    # By the meaning, on operands that stand apart even where they are one node, then put in their places.
    apart = [node("input", (), f"({name})", arg.type) for name, arg in zip(OPERANDS, n.args, strict=False)]
    meant = meaning(node(n.op, apart, None, n.type))
    assert meant is not None
    found = tangent(meant, {apart[index]: const(1.0)})
    return None if found is None else substitute(found, dict(zip(apart, n.args, strict=True)))


def jvp(n: Node, dx: Node, twin: Callable[[Axis], Axis] | None = None) -> Node | None:
    """The derivative of a row over axes, or of one that is linear over the reals alone, along `dx`, a change of its operand; None
    where it is 0. `twin` gives a second index along an axis, of a name that nothing else has."""
    row = OPS[n.op]
    x = n.args[0]
    if row.form == "elementwise" and row.jvp is not None:
        return expression(row.jvp, {"x": x, "dx": dx, "out": n})
    if row.form == "elementwise" or not isinstance(n.attrs, frozenset):
        raise CompilerBug(f"{n.op} is elementwise: it has partial derivatives, not a jvp")
    if n.type.dtype not in SMOOTH or x.type.dtype not in SMOOTH:
        return None
    if row.jvp is not None:
        return expression(row.jvp, {"x": x, "dx": expand(dx, x.axes), "out": n}, n.attrs)
    if n.op in ("prod", "cumprod"):
        of = _jvp_of_product if n.op == "prod" else _jvp_of_running_product
        return of(n, dx, {axis: (twin or _other)(axis) for axis in sorted(n.attrs, key=lambda axis: axis.name)})
    if row.value is None:
        return None
    meant = meaning(n)
    assert meant is not None
    return tangent(meant, {x: expand(dx, x.axes)})


def _other(axis: Axis) -> Axis:
    return Axis(f"{axis.name} (other)", axis.size)


def _jvp_of_product(n: Node, dx: Node, apart: Mapping[Axis, Axis]) -> Node:
    """sum[k](dx * the product of the others), without a division: a zero among the factors is no special case, and since the
    product of the others is a product again, this holds for every order."""
    x = n.args[0]
    same = None
    for axis, other in apart.items():
        here = apply("eq", iota(axis), iota(other))
        same = here if same is None else apply("and", same, here)
    if same is None:
        return dx
    others = reduce("prod", apply("where", same, const(1.0), rename(x, apart)), apart.values())
    return reduce("sum", apply("mul", dx, others), apart)


def _jvp_of_running_product(n: Node, dx: Node, apart: Mapping[Axis, Axis]) -> Node:
    """For every k, sum[j](dx_j * the product of the others up to k): what comes before j, times what comes after it up to k. Both
    are running products, so this too holds for every order, whatever is zero."""
    ((k, j),) = apart.items()
    before = read(n, {k: (apply("sub", iota(k), const(1)), "fill")}, const(1.0))
    moved = rename(apply("mul", before, dx), apart)
    after = reduce("cumprod", apply("where", apply("gt", iota(k), iota(j)), n.args[0], const(1.0)), {k})
    term = apply("where", apply("le", iota(j), iota(k)), apply("mul", after, moved), const(0.0))
    return reduce("sum", term, {j})


def tangent(root: Node, changes: Mapping[Node, Node]) -> Node | None:
    """The derivative of `root` along given changes of some nodes, by the chain rule; None where it is 0."""
    found: dict[Node, Node | None] = {}
    for n in topological([root]):
        if n in changes:
            found[n] = changes[n]
            continue
        if n.op not in OPS:
            found[n] = None
            continue
        if OPS[n.op].form != "elementwise":
            dx = found[n.args[0]]
            found[n] = None if dx is None else jvp(n, dx)
            continue
        found[n] = _chain(n, [found[arg] for arg in n.args])
    return found[root]


def _chain(n: Node, changes: list[Node | None]) -> Node | None:
    if all(change is None for change in changes):
        return None
    if n.op == "where":
        yes, no = (change if change is not None else const(0.0) for change in changes[1:])
        return apply("where", n.args[0], yes, no)
    total: Node | None = None
    for index, change in enumerate(changes):
        partial = derivative(n, index) if change is not None else None
        if change is None or partial is None:
            continue
        term = change if partial is const(1.0) else partial if change is const(1.0) else apply("mul", change, partial)
        total = term if total is None else apply("add", total, term)
    return total


def substitute(root: Node, replace: Mapping[Node, Node]) -> Node:
    """The node with others in the place of some that it depends on, of the same types."""
    new: dict[Node, Node] = {}
    for n in topological([root]):
        args = tuple(new[arg] for arg in n.args)
        new[n] = replace[n] if n in replace else n if args == n.args else node(n.op, args, n.attrs, n.type)
    return new[root]

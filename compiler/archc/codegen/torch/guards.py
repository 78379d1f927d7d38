"""Rewrites before recognition: rows that torch has no name for are expanded, and where torch's derivative would be nan and
ours is not, operands are kept away from the place where it happens.

- softmax of a row that is all -inf is 0 with zero gradient; torch gives nan. Where such a row can be excluded (a causal mask
  always leaves the first key), the plain call stays; else the row is replaced before the call and put to 0 after it. (torch has
  `_safe_softmax`, which costs five times the plain call here; a choice before and after costs one and a half times.)
- where(c, y, z) never touches the derivative of the branch not taken. torch multiplies it by 0, so that log, sqrt, division and
  the like of a chosen-away operand would give nan: that operand is replaced by a harmless one first.
"""

from __future__ import annotations

from math import inf

from archc.checker.types import Axis
from archc.codegen.torch.affine import affine, same
from archc.codegen.torch.recognise import holes, library
from archc.codegen.torch.spelling import EXPANDED
from archc.ir import build
from archc.ir.graph import Graph, Library, Node, Random, node, rewrite
from archc.ir.meaning import meaning
from archc.ops.table import OPS, SMOOTH
from archc.passes.base import Keeps, Pass, also_inside

SAFE = {"log": 1.0, "log1p": 0.0, "sqrt": 1.0, "rsqrt": 1.0, "asin": 0.0, "acos": 0.0, "exp": 0.0, "expm1": 0.0, "sinh": 0.0,
        "cosh": 0.0, "tan": 0.0, "pow": 1.0, "softplus": 0.0}
"""Operations whose derivative can be infinite or nan, with an operand where it is not; a quotient is guarded below the line."""


def guard(graph: Graph) -> Graph:
    return rewrite(graph, _guarded)


GUARD = Pass("guard", "operands are kept away from places where the target's derivative is nan and ours is not", guard,
             Keeps.ON_FINITE_INPUTS)


def choices(graph: Graph) -> Graph:
    return rewrite(graph, lambda current: _where(current) if current.op == "where" and current.type.dtype in SMOOTH else None)


CHOICES = Pass("choices", "branches not taken are kept away from where the target's derivative is nan, before parts leave a loop",
               also_inside(choices), Keeps.ON_FINITE_INPUTS)


def _guarded(current: Node) -> Node | None:
    if current.op in EXPANDED:
        expanded = meaning(current)
        assert expanded is not None
        return _inner(expanded)
    if current.op == "where" and current.type.dtype in SMOOTH:
        return _where(current)
    if current.op == "div":
        return _dropout(current)
    if current.op == "softmax":
        return _softmax(current)
    if current.op == "logsumexp":
        return _logsumexp(current)
    return None


def _inner(current: Node) -> Node:
    """The meaning of a row may use rows that are expanded themselves."""
    graph = Graph("meaning", (), ())
    from archc.ir.graph import Output

    expanded = rewrite(Graph(graph.name, (), (Output("out", current, ()),)), _guarded)
    return expanded.outputs[0].node


# ------------------------------------------------------------------------------------------------------ choices
def _where(current: Node) -> Node | None:
    condition, yes, no = current.args
    new_yes, new_no = _kept_away(yes, condition, True), _kept_away(no, condition, False)
    if new_yes is yes and new_no is no:
        return None
    return build.apply("where", condition, new_yes, new_no)


def _kept_away(branch: Node, condition: Node, taken: bool) -> Node:
    """The branch with operands of singular operations replaced where the branch is not taken."""
    new: dict[Node, Node] = {}
    stack = [(branch, False)]
    while stack:
        current, ready = stack.pop()
        if current in new:
            continue
        if not (current.op in OPS and OPS[current.op].form == "elementwise") or current.type.dtype not in SMOOTH:
            new[current] = current
        elif ready:
            new[current] = _replaced(current, [new[arg] for arg in current.args], condition, taken)
        else:
            stack.append((current, True))
            stack.extend((arg, False) for arg in current.args)
    return new[branch]


def _replaced(current: Node, args: list[Node], condition: Node, taken: bool) -> Node:
    place = 1 if current.op == "div" else 0
    singular = current.op in SAFE or current.op == "div"
    away = args[place].op == "where" and args[place].args[0] is condition
    if singular and not away and not _harmless(current.op, args[place]) and condition.axes <= current.axes:
        safe = build.const(1.0 if current.op == "div" else SAFE[current.op])
        args[place] = build.apply("where", *((condition, args[place], safe) if taken else (condition, safe, args[place])))
    if all(new is old for new, old in zip(args, current.args, strict=True)):
        return current
    return node(current.op, args, current.attrs, current.type)


def _harmless(op: str, operand: Node) -> bool:
    """Operands known never to meet the singular place: constants, sizes, and their roots; sums with a positive number."""
    if operand.op == "const":
        return True
    if operand.op in ("to_float", "sqrt", "size"):
        return operand.op == "size" or _harmless(op, operand.args[0])
    if not operand.axes and operand.op in ("add", "mul", "maximum", "sub", "div"):
        return all(_harmless(op, arg) for arg in operand.args)
    if op in ("div", "log", "rsqrt", "sqrt"):
        return _bounded_below(operand)
    return op in ("exp", "expm1", "sinh", "cosh", "softplus") and operand.op in ("tanh", "sigmoid", "sin", "cos", "neg") and (
        operand.op != "neg" or operand.args[0].op in ("abs", "ipow", "softplus", "exp"))


def _bounded_below(operand: Node) -> bool:
    """At least some positive number: exp(..) + c, 1 + x^2, positive(..)."""
    if operand.op == "positive":
        return True
    if operand.op == "const":
        return isinstance(operand.attrs, float) and operand.attrs > 0
    if operand.op == "add":
        parts = operand.args
        return any(_bounded_below(part) for part in parts) and all(_bounded_below(part) or _not_negative(part) for part in parts)
    if operand.op in ("sqrt", "maximum"):
        return any(_bounded_below(part) for part in operand.args)
    return False


def _not_negative(operand: Node) -> bool:
    if operand.op == "ipow":
        return operand.args[1].op == "const" and isinstance(operand.args[1].attrs, int) and operand.args[1].attrs % 2 == 0
    if operand.op == "input":
        return not operand.axes  # a constructor's number, such as eps
    return operand.op in ("exp", "abs", "sqrt", "sigmoid", "relu", "softplus", "var", "softmax", "cosh")


# ------------------------------------------------------------------------------------------------ rows of -inf
def _softmax(current: Node) -> Node:
    x, over = current.args[0], current.attrs
    assert isinstance(over, frozenset)

    def plain(operand: Node) -> Node:
        return library("softmax", (operand,), build.reduce("softmax", holes(operand)[0], over))

    if not _may_be_all_minus_inf(x, over):
        return plain(x)
    alive = _alive(x, over)
    return build.apply("where", alive, plain(build.apply("where", alive, x, build.const(0.0))), build.const(0.0))


def _logsumexp(current: Node) -> Node:
    x, over = current.args[0], current.attrs
    assert isinstance(over, frozenset)

    def plain(operand: Node) -> Node:
        return library("logsumexp", (operand,), build.reduce("logsumexp", holes(operand)[0], over))

    if not _may_be_all_minus_inf(x, over):
        return plain(x)
    alive = _alive(x, over)
    return build.apply("where", alive, plain(build.apply("where", alive, x, build.const(0.0))), build.const(-inf))


def _alive(x: Node, over: frozenset[Axis]) -> Node:
    """Where a row has something above -inf: asked of the mask where it is one, which is smaller than what it masks."""
    if x.op == "where" and _is_minus_inf(x.args[2]) and not _may_be_minus_inf(x.args[1]):
        mask = x.args[0]
        if over <= mask.axes:
            return build.reduce("any", mask, over)
    return build.reduce("any", build.apply("gt", x, build.const(-inf)), over)


def _is_minus_inf(current: Node) -> bool:
    return (current.op == "const" and current.attrs == -inf) or (current.op == "neg" and current.args[0].op == "const" and (
        current.args[0].attrs == inf))


def _may_be_minus_inf(current: Node, depth: int = 64) -> bool:
    """Whether -inf may have been put there on purpose: a constant reaches it through choices, sums or products, or a fill."""
    if depth == 0:
        return True
    if current.op == "const":
        return current.attrs in (inf, -inf)
    if current.op == "read":
        fill = current.args[-1:] if current.args[-1].type.dtype == "float" else ()
        return any(_may_be_minus_inf(arg, depth - 1) for arg in (current.args[0], *fill))
    if current.op in ("where", "add", "sub", "mul", "div", "neg", "maximum", "minimum", "expand", "abs", "detach"):
        return any(_may_be_minus_inf(arg, depth - 1) for arg in current.args if arg.type.dtype == "float")
    return False


def _may_be_all_minus_inf(x: Node, over: frozenset[Axis]) -> bool:
    if not _may_be_minus_inf(x):
        return False
    if x.op == "where" and _is_minus_inf(x.args[2]) and not _may_be_minus_inf(x.args[1]):
        return not _holds_somewhere(x.args[0], over)
    return True


def _holds_somewhere(condition: Node, over: frozenset[Axis]) -> bool:
    """Whether a condition on indices holds for at least one index of the axes, whatever the others are: at index 0, or where the
    index equals that of an axis of the same size."""
    if len(over) != 1:
        return False
    (axis,) = over
    others = [other for other in condition.axes if other != axis and same(other.size, axis.size)]
    return _holds(condition, {axis: None}) or any(_holds(condition, {axis: other}) for other in others)


def _holds(condition: Node, at: dict[Axis, Axis | None]) -> bool:
    """Whether a condition holds with axes replaced by others (None: by 0), for all values of the rest."""
    if condition.op == "and":
        return all(_holds(arg, at) for arg in condition.args)
    if condition.op == "or":
        return any(_holds(arg, at) for arg in condition.args)
    if condition.op not in ("le", "lt", "ge", "gt"):
        return False
    left, right = affine(condition.args[0]), affine(condition.args[1])
    if left is None or right is None:
        return False
    small, large = (left, right) if condition.op in ("le", "lt") else (right, left)
    constant = large.constant - small.constant
    found: dict[Axis, int] = {}
    for form, sign in ((large, 1), (small, -1)):
        for axis, coefficient in form.coefficients.items():
            target = at.get(axis, axis)
            if coefficient.constant is None:
                return False
            if target is not None:
                found[target] = found.get(target, 0) + sign * coefficient.constant
    least = constant.constant
    return least is not None and all(value >= 0 for value in found.values()) and least >= (condition.op in ("lt", "gt"))


# ------------------------------------------------------------------------------------------------------ dropout
def _dropout(current: Node) -> Node | None:
    """x * mask / keep with a mask of probability keep = 1 - p: torch's dropout draws the same mask."""
    product, keep = current.args
    if product.op != "mul" or keep.axes or current.type.dtype != "float":
        return None
    for x, mask in (product.args, product.args[::-1]):
        draw = mask.attrs
        if isinstance(draw, Random) and draw.kind == "bernoulli" and mask.args[0] is keep and frozenset(draw.axes) == x.axes:
            if keep.op == "sub" and keep.args[0].op == "const" and keep.args[0].attrs == 1.0:
                p = keep.args[1]
            elif keep.op == "const" and isinstance(keep.attrs, float):
                p = build.const(round(1.0 - keep.attrs, 12))
            else:
                p = build.apply("sub", build.const(1.0), keep)
            hole = holes(x)[0]
            body = build.apply("div", build.apply("mul", hole, mask), keep)
            return node("library", (x, p), Library("dropout", body), current.type)
    return None

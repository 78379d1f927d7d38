"""Recognise what the library does whole: products over shared axes, convolutions, pooling, concatenation.

    sum[k](a[n, k] * b[o, k])                        a contraction, never the product [n, o, k]
    sum[i](a*x + sum[k](b*y))                        two contractions, over i and over (i, k)
    sum[c, p](w[o, c, p] * x[h = a*h + b*p + c])     a convolution
    mean[p](x[h = a*h + p])                          pooling
    where(z < |a|, p[a = z edge], q[b = z - |a| edge])   one after the other
    where(z < 1, p, q)  for an axis z of size 2          one beside the other; so is p put at 0 and q put at 1, added up

Only shapes of computation are looked at. The results are `library` nodes whose bodies say what they mean, so that the evaluator
checks this pass like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

from archc.checker.types import Axis
from archc.codegen.torch.windows import concatenation, convolution, pooling, stack, transposed
from archc.ir import build
from archc.ir.graph import Graph, Library, Node, carry, node, topological, users
from archc.ir.library import Convolution, Options, Transposed
from archc.ops.table import SMOOTH
from archc.passes.base import Keeps, Pass
from archc.passes.slices import whole


def recognise(graph: Graph) -> Graph:
    """Bottom up, once: sums, window reductions and concatenations become `library` nodes where the library has them."""
    uses = {current: len(found) for current, found in users(graph.roots).items()}
    for root in graph.roots:
        uses[root] = uses.get(root, 0) + 1
    new: dict[Node, Node] = {}
    single: dict[Node, int] = {}
    for current in topological(graph.roots):
        args = tuple(new[arg] for arg in current.args)
        rebuilt = current if args == current.args else node(current.op, args, current.attrs, current.type)
        new[current] = _recognised(rebuilt, single) or rebuilt
        single[new[current]] = single.get(new[current], 0) + uses[current]
    return graph.with_roots((new[root] for root in graph.roots), carry(graph.notes, new))


RECOGNISE = Pass("recognise", "products over shared axes, convolutions, pooling and concatenation become library calls",
                 recognise, Keeps.UP_TO_REASSOCIATION)


def _recognised(current: Node, uses: dict[Node, int]) -> Node | None:
    if current.op == "add":
        return _together(current) or _with_bias(current, uses)
    if current.op in ("sum", "mean", "max", "min") and (found := pooling(current)):
        return found
    if current.op == "sum" and current.type.dtype in SMOOTH:
        return _sum(current, uses)
    if current.op == "mean" and isinstance(current.attrs, frozenset):
        total = _sum(build.reduce("sum", current.args[0], current.attrs), uses)
        return total and build.apply("div", total, build.count_of(current.attrs))
    if current.op == "where":
        return concatenation(current) or stack(current)
    return None


def _together(current: Node) -> Node | None:
    """What a sum puts together along one axis, as choices by the place."""
    found = whole(current)
    if found is None or len(found.pieces[0][0]) != 1:
        return None
    (axis,) = found.pieces[0][0]
    *first, last = (value for _, value in sorted(found.pieces, key=lambda piece: piece[0][axis]))
    for place, value in reversed(list(enumerate(first, 1))):
        last = build.apply("where", build.apply("lt", build.iota(axis), build.const(place)), value, last)
    return stack(last) or last


def _with_bias(current: Node, uses: dict[Node, int]) -> Node | None:
    """A product or convolution plus what has only the axes of its columns or filters: the library adds it on the way."""
    for product, bias in (current.args, current.args[::-1]):
        found = product.attrs
        if not isinstance(found, Library) or uses.get(product, 0) > 1 or len(product.args) != 2 or not bias.axes:
            continue
        if found.kind == "contract":
            first, second = product.args
            columns = (first.axes - second.axes, second.axes - first.axes)
            fits = not first.axes & second.axes & product.axes and bias.axes in columns
        elif found.kind in ("convolution", "transposed"):
            spec = found.options
            assert isinstance(spec, (Convolution, Transposed))
            fits = bias.axes == frozenset(spec.groups) | frozenset(spec.filters)
        else:
            continue
        if fits and bias.type.dtype == product.type.dtype:
            hole = node("input", (), "2", bias.type)
            return library(found.kind, (*product.args, bias), build.apply("add", found.body, hole), found.options)
    return None


# ------------------------------------------------------------------------------------------- sums of products
class _Term:
    """A product under a sum: factors that have summed axes, what stands outside, and the axes summed so far."""

    def __init__(self, factors: list[Node], outside: list[tuple[str, Node]], over: frozenset[Axis], negative: bool) -> None:
        self.factors, self.outside, self.over, self.negative = factors, outside, over, negative


def _sum(current: Node, uses: dict[Node, int]) -> Node | None:
    over = current.attrs
    assert isinstance(over, frozenset)
    body = current.args[0]
    addends = _addends(body, uses, body.axes) if body.op in ("add", "sub", "neg") else [(body, False)]
    terms = [_term(addend, over, uses, negative) for addend, negative in addends]
    worth = [len(term.factors) > 1 or bool(term.outside) or term.over != over for term in terms]
    smaller = [not over <= addend.axes for addend, _ in addends]
    if not any(w or s for w, s in zip(worth, smaller, strict=True)) or (len(terms) > 1 and not any(worth)):
        return None
    total: Node | None = None
    for term in terms:
        value = _product(term, over)
        if total is None:
            total = build.apply("neg", value) if term.negative else value
        else:
            total = build.apply("sub" if term.negative else "add", total, value)
    return total if total is not current else None


def _addends(body: Node, uses: dict[Node, int], axes: frozenset[Axis]) -> list[tuple[Node, bool]]:
    """What is added up, each with whether it is subtracted, in order."""
    found: list[tuple[Node, bool]] = []
    stack = [(body, False)]
    while stack:
        current, negative = stack.pop()
        if current.op == "neg" and uses.get(current, 0) <= 1:
            stack.append((current.args[0], not negative))
        elif current.op in ("add", "sub") and (uses.get(current, 0) <= 1 or current.axes == axes):
            left, right = current.args
            stack += [(right, negative ^ (current.op == "sub")), (left, negative)]
        else:
            found.append((current, negative))
    return found


def _term(addend: Node, over: frozenset[Axis], uses: dict[Node, int], negative: bool) -> _Term:
    """The factors of one addend, opened where that spares a broadcast product or lets a factor out of the sum."""
    term = _Term([], [], over, negative)

    stack = [(addend, False)]
    while stack:
        current, inverse = stack.pop()
        if not current.axes & term.over:
            term.outside.append(("div" if inverse else "mul", current))
        elif inverse:
            term.factors.append(build.apply("div", build.const(1.0), current))
        elif current.op == "neg":
            term.negative = not term.negative
            stack.append((current.args[0], False))
        elif current.op in ("mul", "div") and _opens(current, term.over, uses):
            stack += [(current.args[1], current.op == "div"), (current.args[0], False)]
        else:
            term.factors.append(current)
    _merge_inner(term, uses)
    return term


def _opens(current: Node, over: frozenset[Axis], uses: dict[Node, int], depth: int = 40) -> bool:
    """Whether a product or quotient is better taken apart: its operands differ in axes, here or further down."""
    left, right = current.args
    if left.axes == right.axes:
        inner = [arg for arg in current.args if arg.op == current.op == "mul" and uses.get(arg, 0) <= 1]
        return depth > 0 and any(_opens(arg, over, uses, depth - 1) for arg in inner)
    if current.op == "div" and right.axes & over and not (right.axes - left.axes):
        return depth > 0 and left.op == "mul" and uses.get(left, 0) <= 1 and _opens(left, over, uses, depth - 1)
    # A product that is needed as it is anyway is not computed a second time, unless it is larger than both operands.
    return uses.get(current, 0) <= 1 or (current.axes != left.axes and current.axes != right.axes)


def _merge_inner(term: _Term, uses: dict[Node, int]) -> None:
    """sum[i](c * sum[k](a * b)) is one contraction over i and k where i is in both a and b, and c fits beside one of them."""
    for place, inner in enumerate(term.factors):
        library = inner.attrs
        if inner.op != "library" or not isinstance(library, Library) or library.kind != "contract" or uses.get(inner, 0) > 1:
            continue
        others = [*term.factors[:place], *term.factors[place + 1 :]]
        shared = frozenset.intersection(*(arg.axes for arg in inner.args))
        if not (term.over & inner.axes) <= shared:
            continue
        if all(any(other.axes <= arg.axes for arg in inner.args) for other in others):
            summed = frozenset().union(*(arg.axes for arg in inner.args)) - inner.axes
            term.factors = [*others, *inner.args]
            term.over = term.over | summed
            return


def _product(term: _Term, over: frozenset[Axis]) -> Node:
    """The sum of a term's product: contractions where axes differ, elementwise products where one factor holds the other."""
    factors = list(term.factors)
    present = frozenset().union(*(factor.axes for factor in factors)) if factors else frozenset()
    summed = term.over & present
    missing = over - present
    value = _contract(factors, summed) if factors else build.const(1.0)
    for op, outside in term.outside:
        value = outside if value.op == "const" and value.attrs == 1.0 and op == "mul" and outside.type.dtype == "float" \
            else build.apply(op, value, outside)
    return build.apply("mul", value, build.count_of(missing)) if missing else value


def _contract(factors: list[Node], over: frozenset[Axis]) -> Node:
    """The sum of a product. Factors are told apart by their places: the same node may be a factor twice."""
    while len(factors) > 2 and (pair := _nested(factors)):
        small, large = pair
        factors[large] = build.apply("mul", factors[large], factors[small])
        del factors[small]
    while len(factors) > 2:
        first, second, gone = min(
            _pairs(factors, over), key=lambda pair: len(factors[pair[0]].axes | factors[pair[1]].axes) - 2 * len(pair[2])
        )
        rest = [factor for place, factor in enumerate(factors) if place not in (first, second)]
        factors = [_two(factors[first], factors[second], gone), *rest]
        over = over - gone
    if len(factors) == 2:
        return _two(factors[0], factors[1], over)
    return build.reduce("sum", factors[0], over)


def _nested(factors: list[Node]) -> tuple[int, int] | None:
    """The places of a factor and of another that has its axes too: their product is no larger than the other."""
    for small, inner in enumerate(factors):
        for large, outer in enumerate(factors):
            if small != large and inner.axes <= outer.axes:
                return small, large
    return None


def _pairs(factors: Sequence[Node], over: frozenset[Axis]) -> list[tuple[int, int, frozenset[Axis]]]:
    """The places of every pair of factors, and the summed axes that no other factor has."""
    found = []
    for first, one in enumerate(factors):
        for second in range(first + 1, len(factors)):
            others = frozenset().union(*(f.axes for place, f in enumerate(factors) if place not in (first, second)))
            found.append((first, second, (over & (one.axes | factors[second].axes)) - others))
    return found


def _two(first: Node, second: Node, over: frozenset[Axis]) -> Node:
    """sum over `over` of the product of two factors."""
    alone = [frozenset(over & f.axes - g.axes) for f, g in ((first, second), (second, first))]
    first, second = (build.reduce("sum", f, axes) if axes else f for f, axes in zip((first, second), alone, strict=True))
    both = over & first.axes & second.axes
    if not both:
        return build.apply("mul", first, second)
    floats = {first.type.dtype, second.type.dtype} == {"float"}
    for read, weight in ((first, second), (second, first)) if floats else ():
        if found := convolution(read, weight, both) or transposed(read, weight, both):
            return found
    if first.axes == second.axes or not {first.type.dtype, second.type.dtype} <= SMOOTH:
        return build.reduce("sum", build.apply("mul", first, second), both)
    return library("contract", (first, second), build.reduce("sum", build.apply("mul", *holes(first, second)), both))


def holes(*args: Node) -> tuple[Node, ...]:
    """Inputs that stand for the args in the body of a library node."""
    return tuple(node("input", (), str(i), arg.type) for i, arg in enumerate(args))


def library(kind: str, args: Sequence[Node], body: Node, options: Options = None) -> Node:
    return node("library", args, Library(kind, body, options), body.type)

"""Where the term of a reduction is certainly neutral, so that its loop may leave it out.

    sum[s](softmax[s](where(s <= t, score, -inf)) * v)          0 <= s < t + 1
    sum[k](coef * relu(2 - abs(2.5 * x - k + 3.5))^3)           4 functions about 2.5 * x + 3.5

One analysis of the expression: a term is 0 where a factor is, the exponential of minus infinity is 0, a choice is neutral where
the condition chooses a neutral branch, `relu` is 0 where its operand is negative. Conditions are affine in the place along the
axis, or are those of `abs`, `min`, `max` and whole division of what is. The result is a range of places, whose ends are
expressions of all else; a condition that has no range widens it.

What is promised: outside of a live range the term equals the neutral element, if the nodes in `finite` are finite there, and not
0 where they divide. A bound that is not a number bounds nothing, so what nan gives in the condition does not change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

from archc.checker.types import Axis
from archc.ir.build import apply, const, iota, size
from archc.ir.graph import Call, Graph, Node, Read, Scan, topological
from archc.passes.affine import Affine, Bound, Edge, Extreme, affine, as_node, bound_text, extreme, number, over_rows, width
from archc.passes.base import Keeps, Pass

NEUTRAL = {"sum": 0.0, "mean": 0.0, "max": -math.inf, "finite_max": -math.inf, "min": math.inf, "softmax": -math.inf,
           "logsumexp": -math.inf, "log_softmax": -math.inf}
"""The value of a term that a reduction may leave out. Of a mean the count stays."""

ZERO_AT_ZERO = frozenset({"sqrt", "sin", "tan", "asin", "atan", "sinh", "tanh", "erf", "abs", "sign", "floor", "ceil", "round",
                          "expm1", "log1p", "silu", "gelu"})
SAME = frozenset({"expand", "detach", "to_float", "positive"})
FAR = 1 << 40  # beyond every place
BUDGET = 100  # conditions that are looked at for one value


@dataclass(frozen=True)
class Live:
    """The places of an axis at which something may hold: from `lo` to before `hi`, from the first or to the last where None.

    exact: it does hold at all of them. never: there are none.
    """

    lo: Bound | None = None
    hi: Bound | None = None
    exact: bool = True
    never: bool = False
    finite: tuple[Node, ...] = ()

    @property
    def narrow(self) -> bool:
        return self.never or self.lo is not None or self.hi is not None

    @property
    def width(self) -> int | None:
        """At most so many places, over the reals: rounding of floats may add one. None where it depends on values."""
        if self.never:
            return 0
        return width(self.lo, self.hi) if self.lo is not None and self.hi is not None else None


EVERYWHERE, UNKNOWN, NOWHERE = Live(), Live(exact=False), Live(never=True)


def both(left: Live, right: Live) -> Live:
    if left.never or right.never:
        return left if left.never else right
    lo = extreme("maximum", left.lo, right.lo) if left.lo is not None and right.lo is not None else left.lo or right.lo
    hi = extreme("minimum", left.hi, right.hi) if left.hi is not None and right.hi is not None else left.hi or right.hi
    return Live(lo, hi, left.exact and right.exact, False, tuple(dict.fromkeys((*left.finite, *right.finite))))


def either(left: Live, right: Live) -> Live:
    finite = tuple(dict.fromkeys((*left.finite, *right.finite)))
    if left.never or right.never:
        return replace(right if left.never else left, finite=finite)
    lo = extreme("minimum", left.lo, right.lo) if left.lo is not None and right.lo is not None else None
    hi = extreme("maximum", left.hi, right.hi) if left.hi is not None and right.hi is not None else None
    one = left.lo == right.lo or left.hi == right.hi  # without a gap
    return Live(lo, hi, left.exact and right.exact and one, False, finite)


# ----------------------------------------------------------------------------------------------------- the analysis
class _Along:
    """The analysis along one axis."""

    def __init__(self, axis: Axis) -> None:
        self.axis, self.place = axis, iota(axis)
        self.known: dict[tuple[Node, float], Live] = {}
        self.budget = 0

    def live(self, root: Node, neutral: float) -> Live:
        """Where a node may differ from a neutral value: 0 or an infinity."""
        stack = [(root, neutral)]
        while stack:
            at = stack[-1]
            needs = [need for need in self.needs(*at) if need not in self.known]
            if at in self.known or not needs:
                stack.pop()
                if at not in self.known:
                    self.known[at] = self.of(*at)
            else:
                stack.extend(needs)
        return self.known[root, neutral]

    def of(self, n: Node, neutral: float) -> Live:
        """The same, when that of the operands is known."""
        self.budget = BUDGET
        if n.op == "const":
            return NOWHERE if n.attrs == neutral else EVERYWHERE
        if self.axis not in n.axes:
            return EVERYWHERE
        if n.op == "where":
            return either(both(self.holds(n.args[0], True), self.known[n.args[1], neutral]),
                          both(self.holds(n.args[0], False), self.known[n.args[2], neutral]))
        if n.op == "bool_to_int" and neutral == 0:
            return self.holds(n.args[0], True)
        if isinstance(n.attrs, Read):
            return self.read(n, n.attrs, neutral)
        if n.op in ("maximum", "relu") and neutral == 0:
            others = [arg for arg in n.args if not (arg.op == "const" and arg.attrs == 0)]
            if n.op == "relu" or len(others) == 1:
                return both(self.positive(others[0]), self.known[others[0], 0.0])
        needs = list(self.needs(n, neutral))
        parts = [self.known[need] for need in needs]
        if not parts:
            return EVERYWHERE
        if n.op in ("mul", "div") and neutral == 0:
            return _times(parts[0], parts[1] if n.op == "mul" else EVERYWHERE, n)
        if n.op in ("add", "sub") and neutral != 0:
            return _times(parts[0], parts[1], n)
        found = parts[0]
        for part in parts[1:]:
            found = either(found, part)
        if gone := n.args[0].axes - n.axes:
            ends = [bound for bound in (found.lo, found.hi) if bound is not None]
            if any(gone & leaf.axes for bound in ends for leaf in _leaves(bound)):
                return UNKNOWN  # at some place of the other axis
        return found

    def needs(self, n: Node, neutral: float) -> Iterator[tuple[Node, float]]:
        return _needs(n, neutral) if self.axis in n.axes else iter(())

    def read(self, n: Node, attrs: Read, neutral: float) -> Live:
        """A value from elsewhere: neutral where what fills is, outside."""
        found = EVERYWHERE
        fills = any(at.border == "fill" for at in attrs.at)
        if not fills or n.args[-1].op != "const" or n.args[-1].attrs != neutral:
            return found
        for at, index in zip(attrs.at, n.args[1:], strict=False):
            if at.border == "fill":
                found = both(found, both(self.sign(affine(index), strict=False),
                                         self.sign(affine(size(at.axis.size)) - affine(index), strict=True)))
        return found

    def positive(self, n: Node) -> Live:
        """Where a value may be above 0."""
        self.budget -= 1
        if n.op == "where" and self.budget > 0:
            return either(both(self.holds(n.args[0], True), self.positive(n.args[1])),
                          both(self.holds(n.args[0], False), self.positive(n.args[2])))
        if n.op == "const":
            return NOWHERE if n.attrs <= 0 else EVERYWHERE  # type: ignore[operator]
        return self.sign(affine(n), strict=True)

    # -- conditions ----------------------------------------------------------------------------------------------
    def holds(self, condition: Node, truth: bool) -> Live:
        """Where a condition may be true, or false."""
        op, args = condition.op, condition.args
        self.budget -= 1
        if self.budget < 0:
            return UNKNOWN
        if op == "const":
            return EVERYWHERE if condition.attrs == truth else NOWHERE
        if op == "not":
            return self.holds(args[0], not truth)
        if op in ("expand", "detach"):
            return self.holds(args[0], truth)
        if op in ("and", "or"):
            join = both if (op == "and") == truth else either
            return join(self.holds(args[0], truth), self.holds(args[1], truth))
        if op not in ("lt", "le", "gt", "ge", "eq", "ne") or any(arg.type.dtype in ("bool", "complex") for arg in args):
            return UNKNOWN
        more = affine(args[0]) - affine(args[1])
        less = more.times(Fraction(-1))
        if op in ("eq", "ne"):
            if (op == "eq") != truth:
                return UNKNOWN
            return both(self.sign(more, strict=False), self.sign(less, strict=False))
        above = (op in ("gt", "ge")) == truth
        strict = (op in ("gt", "lt")) == truth
        return self.sign(more if above else less, strict)

    def sign(self, form: Affine, strict: bool) -> Live:
        """Where a form may be positive; without `strict`, or 0."""
        varying = [(n, c) for n, c in form.terms if self.axis in n.axes]
        self.budget -= 1
        if len(varying) != 1 or self.budget < 0:
            return UNKNOWN
        n, c = varying[0]
        end = form.without(n).times(-1 / c)  # n is on this side of it: above, if c is positive
        if n is self.place:
            edge = Edge(end, after=strict == (c > 0))
            return Live(edge, None, end.is_int) if c > 0 else Live(None, edge, end.is_int)
        above = c > 0
        if n.op == "abs":
            x = affine(n.args[0])
            if above:
                return either(self.sign(x - end, strict), self.sign(x.times(Fraction(-1)) - end, strict))
            return both(self.sign(end - x, strict), self.sign(end + x, strict))
        if n.op in ("maximum", "minimum"):
            sides = [self.sign(affine(arg) - end if above else end - affine(arg), strict) for arg in n.args]
            return (either if above == (n.op == "maximum") else both)(*sides)
        if n.op == "floordiv" and n.type.dtype == "int" and end.is_whole and self.axis not in n.args[1].axes:
            least = end + number(strict) if above else end - number(strict) + number(1)
            edge_node = self.times(least, n.args[1], -FAR if above else FAR)
            x = affine(n.args[0])
            return self.sign(x - edge_node, False) if above else self.sign(edge_node - x, True)
        return UNKNOWN

    def times(self, form: Affine, by: Node, otherwise: int) -> Affine:
        """A form times a divisor; `otherwise` where that is not positive."""
        if by.op == "const":
            return form.times(Fraction(by.attrs)) if by.attrs > 0 else number(otherwise)  # type: ignore[arg-type, operator]
        value: Node = const(int(form.constant))
        for n, c in form.terms:
            value = apply("add", value, apply("mul", n, const(int(c))) if c != 1 else n)
        return affine(apply("where", apply("gt", by, const(0)), apply("mul", value, by), const(otherwise)))


def _needs(n: Node, neutral: float) -> Iterator[tuple[Node, float]]:
    """Operands, and the value of each that makes the node neutral; of a product and of a sum of infinities one of them does."""
    op, args = n.op, n.args
    if op == "where":
        yield from ((arg, neutral) for arg in args[1:])
    elif op in SAME and not (op == "positive" and neutral == 0) and args[0].type.dtype != "bool":
        yield args[0], neutral
    elif op == "neg":
        yield args[0], -neutral
    elif op in ("add", "sub"):
        yield args[0], neutral
        yield args[1], neutral if op == "add" else -neutral
    elif op in ("maximum", "minimum") or (op in ("mul", "relu") and neutral == 0):
        yield from ((arg, neutral) for arg in args)
    elif op in ("mul", "div") and neutral != 0:
        for x, by in ((args[0], args[1]), (args[1], args[0]))[: 2 if op == "mul" else 1]:
            if by.op == "const" and by.attrs and math.isfinite(by.attrs):  # type: ignore[arg-type]
                yield x, math.copysign(1, by.attrs) * neutral  # type: ignore[arg-type]
    elif neutral == 0 and (op in ZERO_AT_ZERO or op == "div" or (op in ("ipow", "pow") and args[1].op == "const"
                                                               and args[1].attrs > 0)):  # type: ignore[operator]
        yield args[0], neutral
    elif neutral == 0 and op in ("exp", "sigmoid", "softplus", "softmax"):
        yield args[0], -math.inf
    elif (neutral == 0 and op in ("sum", "mean")) or (neutral == -math.inf and op == "max") or (
            neutral == math.inf and op == "min"):
        yield args[0], neutral
    elif neutral == -math.inf and op == "log":
        yield args[0], 0.0


def _times(left: Live, right: Live, n: Node) -> Live:
    """Where both operands may differ from what makes the node neutral. Where one does not, the other must be finite."""
    found = both(left, right)
    if (left.lo, left.hi) == (right.lo, right.hi):
        return found
    needed = [n.args[1]] * left.narrow + [n.args[0]] * right.narrow
    return replace(found, finite=tuple(dict.fromkeys((*found.finite, *(x for x in needed if not _finite(x))))))


def _finite(n: Node) -> bool:
    """Whether a value is finite for certain."""
    if n.op == "const":
        return math.isfinite(n.attrs)  # type: ignore[arg-type]
    if n.op in ("expand", "detach", "neg", "to_float", "abs", "bool_to_int"):
        return n.args[0].type.dtype in ("int", "bool") or _finite(n.args[0])
    return n.type.dtype in ("int", "bool") or n.op == "finite_max"


def _leaves(bound: Bound) -> Iterator[Node]:
    if isinstance(bound, Extreme):
        for part in bound.parts:
            yield from _leaves(part)
    else:
        yield from (n for n, _ in bound.value.terms)


# ---------------------------------------------------------------------------------------------------------- results
@dataclass(frozen=True)
class Narrowed:
    """The live places of one axis of a reduction."""

    reduction: Node
    axis: Axis
    live: Live

    def ends(self) -> tuple[Node, Node]:
        """First and one past the last live place, between 0 and the size; where there is none, the second is no larger."""
        none, end = const(0), size(self.axis.size)
        if self.live.never:
            return none, none
        return (as_node(self.live.lo, "lo", self.axis.size) if self.live.lo is not None else none,
                as_node(self.live.hi, "hi", self.axis.size) if self.live.hi is not None else end)

    def blocks(self, row: Axis, first: Node, last: Node) -> Blocks | None:
        """Live and full places for all rows from `first` to `last`; None where they depend on the values of rows."""
        none, end = const(0), size(self.axis.size)
        if self.live.never:
            return Blocks(none, none, none, none)
        lo = over_rows(self.live.lo, row, first, last) if self.live.lo is not None else None
        hi = over_rows(self.live.hi, row, first, last) if self.live.hi is not None else None
        if (lo is None and self.live.lo is not None) or (hi is None and self.live.hi is not None):
            return None
        length = self.axis.size
        live = (as_node(lo[0], "lo", length) if lo else none, as_node(hi[1], "hi", length) if hi else end)
        if not self.live.exact:
            return Blocks(*live, none, none)
        return Blocks(*live, as_node(lo[1], "lo", length) if lo else none, as_node(hi[0], "hi", length) if hi else end)

    def text(self, words: dict[Node, str]) -> str:
        """`s < t + 1`, with what it needs and how wide it is."""
        word = partial(_expression, words=words)
        live, name = self.live, self.axis.name
        if live.never:
            return f"no {name}"
        lo = f"{bound_text(live.lo, word)} <= " if live.lo is not None else ""
        hi = f" < {bound_text(live.hi, word)}" if live.hi is not None else ""
        more = [] if live.width is None else [f"at most {live.width}"]
        if not live.exact:
            more.append("or fewer")
        if live.finite:
            more.append(f"if {', '.join(word(n) for n in live.finite)} {'is' if len(live.finite) == 1 else 'are'} finite")
        return f"{lo}{name}{hi}" + "".join(f", {part}" for part in more)


@dataclass(frozen=True)
class Blocks:
    """Of a block of rows: a block of places is empty outside of `live`, and needs no mask inside of `full`."""

    live_lo: Node
    live_hi: Node
    full_lo: Node
    full_hi: Node


def live_along(axis: Axis, term: Node, op: str) -> Live:
    """Where along an axis a term of a reduction may differ from its neutral value."""
    return _Along(axis).live(term, NEUTRAL[op]) if op in NEUTRAL else EVERYWHERE


def narrowed(reduction: Node) -> tuple[Narrowed, ...]:
    """The axes of a reduction that have a live range, and it."""
    if not isinstance(reduction.attrs, frozenset):
        return ()
    found = []
    for axis in sorted(reduction.attrs, key=lambda axis: axis.name):
        live = live_along(axis, reduction.args[0], reduction.op)
        if live.narrow:
            found.append(Narrowed(reduction, axis, live))
    return tuple(found)


def narrowings(graph: Graph) -> Iterator[Narrowed]:
    """Those of all reductions, and of those in calls and loops, in order."""
    for current in topological(graph.roots):
        if isinstance(current.attrs, Call | Scan):
            yield from narrowings(current.attrs.body)
        yield from narrowed(current)


SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "floordiv": "//", "mod": "%", "gt": ">"}


def _expression(n: Node, words: dict[Node, str], depth: int = 4) -> str:
    if isinstance(n.attrs, Axis):
        return n.attrs.name
    if n in words or n.op in ("const", "size", "input"):
        return words.get(n, str(n.attrs))
    if not depth:
        return "..."
    if n.op in SIGNS:
        return f"({f' {SIGNS[n.op]} '.join(_expression(arg, words, depth - 1) for arg in n.args)})"
    return f"{n.op}({', '.join(_expression(arg, words, depth - 1) for arg in n.args)})"


# --------------------------------------------------------------------------------------------------------- the pass
def narrow(graph: Graph) -> Graph:
    """The graph with the live ranges of its reductions noted."""
    remarks = dict(graph.notes.remarks)
    for found in narrowings(graph):
        words = {n: text for n, text in graph.notes.names.items() if "." not in text}
        remarks[found.reduction] = "; ".join(filter(None, (remarks.get(found.reduction), found.text(words))))
    return replace(graph, notes=replace(graph.notes, remarks=remarks))


NARROW = Pass("narrow", "note where the terms of reductions are not neutral", narrow, Keeps.EXACT)

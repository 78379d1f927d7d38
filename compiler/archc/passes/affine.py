"""Affine forms of nodes, and bounds of an axis made of them.

A form is a sum of multiples of nodes and a constant, over the reals. What floats round is kept beside it: `spread` is the sum of
the sizes of all that was added up, before anything cancelled.

    x * 2.5 - (k - 3.5)   ->   2.5 * x - k + 3.5
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import Literal, Union

from archc.checker.sizes import Size
from archc.checker.types import Axis
from archc.ir.build import apply, const, iota, size
from archc.ir.graph import Node

SLACK = 2.0 ** -19
"""What a float bound is moved by, as a share of its spread: 32 times the rounding of float32, in which half types compute too."""

SUMS = frozenset({"neg", "expand", "detach", "to_float", "add", "sub", "mul", "div"})
LONGEST = 32  # terms of a form


@dataclass(frozen=True)
class Affine:
    terms: tuple[tuple[Node, Fraction], ...] = ()  # in the order in which they were met; none is 0
    constant: Fraction = Fraction(0)
    spread: tuple[tuple[Node, Fraction], ...] = ()
    spread_constant: Fraction = Fraction(0)

    def __add__(self, other: Affine) -> Affine:
        return Affine(_sum(self.terms, other.terms), self.constant + other.constant, _sum(self.spread, other.spread),
                      self.spread_constant + other.spread_constant)

    def __sub__(self, other: Affine) -> Affine:
        return self + other.times(Fraction(-1))

    def times(self, factor: Fraction) -> Affine:
        if not factor:
            return Affine()
        return Affine(tuple((n, c * factor) for n, c in self.terms), self.constant * factor,
                      tuple((n, c * abs(factor)) for n, c in self.spread), self.spread_constant * abs(factor))

    def without(self, gone: Node) -> Affine:
        return Affine(tuple((n, c) for n, c in self.terms if n is not gone), self.constant,
                      tuple((n, c) for n, c in self.spread if n is not gone), self.spread_constant)

    @property
    def is_int(self) -> bool:
        """Whether all that varies is whole: then the value is exact, whatever the coefficients."""
        return all(n.type.dtype == "int" for n, _ in self.spread)

    @property
    def is_whole(self) -> bool:
        return self.is_int and all(c.denominator == 1 for c in (self.constant, *(c for _, c in self.terms)))

    def less(self, other: Affine) -> Fraction | None:
        """How much larger the other is; None where that is not known."""
        difference = other - self
        return None if difference.terms else difference.constant


def _sum(left: Iterable[tuple[Node, Fraction]], right: Iterable[tuple[Node, Fraction]]) -> tuple[tuple[Node, Fraction], ...]:
    found = dict(left)
    for n, c in right:
        found[n] = found.get(n, Fraction(0)) + c
    return tuple((n, c) for n, c in found.items() if c)


def number(value: Fraction | int | float) -> Affine:
    return Affine((), Fraction(value), (), abs(Fraction(value)))


def affine(root: Node) -> Affine:
    """The form of a node; what is no sum stands in it as a whole."""
    found: dict[Node, Affine] = {}
    stack = [root]
    while stack:
        n = stack[-1]
        parts = n.args if n.op in SUMS else ()
        if n in found or not (missing := [arg for arg in parts if arg not in found]):
            stack.pop()
            if n not in found:
                form = _form(n, [found[arg] for arg in parts])
                found[n] = form if len(form.terms) <= LONGEST else _whole(n)
        else:
            stack.extend(missing)
    return found[root]


def _form(n: Node, parts: Sequence[Affine]) -> Affine:
    if n.op == "const" and not isinstance(n.attrs, bool) and math.isfinite(n.attrs):  # type: ignore[arg-type]
        return number(n.attrs)  # type: ignore[arg-type]
    if isinstance(n.attrs, Size):
        powers = [_whole(size(Size(((factors, 1),)))).times(Fraction(times)) for factors, times in n.attrs.terms if factors]
        return sum(powers, number(sum(times for factors, times in n.attrs.terms if not factors)))
    if n.op == "neg":
        return parts[0].times(Fraction(-1))
    if n.op in ("expand", "detach", "to_float"):
        return parts[0]
    if n.op in ("add", "sub"):
        return parts[0] + parts[1] if n.op == "add" else parts[0] - parts[1]
    if n.op == "mul":
        left, right = parts
        if not left.terms or not right.terms:
            return left.times(right.constant) if not right.terms else right.times(left.constant)
    if n.op == "div" and not parts[1].terms and parts[1].constant:
        return parts[0].times(1 / parts[1].constant)
    return _whole(n)


def _whole(n: Node) -> Affine:
    return Affine(((n, Fraction(1)),), Fraction(0), ((n, Fraction(1)),), Fraction(0))


# ------------------------------------------------------------------------------------------------------- bounds
@dataclass(frozen=True)
class Edge:
    """The first whole number at a value or after it; with `after`, strictly after it."""

    value: Affine
    after: bool = False


@dataclass(frozen=True)
class Extreme:
    """The least or the largest of several bounds."""

    op: Literal["minimum", "maximum"]
    parts: tuple[Bound, ...]


Bound = Union[Edge, Extreme]


def extreme(op: Literal["minimum", "maximum"], left: Bound, right: Bound) -> Bound:
    """The least or largest of two; one of them where it is known which."""
    if left == right:
        return left
    if isinstance(left, Edge) and isinstance(right, Edge):
        more = left.value.less(right.value)
        if more is not None:
            right_is_larger = more > 0 or (more == 0 and right.after)
            return right if right_is_larger == (op == "maximum") else left
    parts: list[Bound] = []
    for bound in (left, right):
        parts += bound.parts if isinstance(bound, Extreme) and bound.op == op else (bound,)
    return Extreme(op, tuple(dict.fromkeys(parts)))


def width(lo: Bound, hi: Bound) -> int | None:
    """At most so many whole numbers lie from `lo` to before `hi`, over the reals; None where that depends on values."""
    if isinstance(lo, Extreme) or isinstance(hi, Extreme):
        outer = lo if isinstance(lo, Extreme) else hi
        assert isinstance(outer, Extreme)
        found = [width(part, hi) if outer is lo else width(lo, part) for part in outer.parts]
        inner = (outer.op == "maximum") == (outer is lo)  # both bounds hold: the narrowest counts
        if inner:
            return min((w for w in found if w is not None), default=None)
        return None if None in found else max(w for w in found if w is not None)
    length = lo.value.less(hi.value)
    if length is None:
        return None
    if lo.value.is_whole:
        return max(0, math.floor(length) + hi.after - lo.after if length.denominator == 1 else math.ceil(length) - lo.after)
    closed = hi.after and not lo.after
    return max(0, math.floor(length) + 1 if closed else math.ceil(length))


def as_node(bound: Bound, side: Literal["lo", "hi"], length: Size) -> Node:
    """The bound as an int, between 0 and the size of its axis. What is not a number bounds nothing."""
    end = size(length)
    if isinstance(bound, Extreme):
        return reduce(lambda a, b: apply(bound.op, a, b), (as_node(part, side, length) for part in bound.parts))
    form = bound.value
    if form.is_int:
        scale = math.lcm(*(c.denominator for c in (form.constant, *(c for _, c in form.terms))))
        top = _total(form.times(Fraction(scale)), lambda c: const(int(c)))
        if scale == 1:
            found = apply("add", top, const(1)) if bound.after else top
        elif bound.after:
            found = apply("add", apply("floordiv", top, const(scale)), const(1))
        else:
            found = apply("floordiv", apply("add", top, const(scale - 1)), const(scale))
        return apply("minimum", apply("maximum", found, const(0)), end)
    value = _total(form, lambda c: const(float(c)))
    spread = reduce(lambda a, b: apply("add", a, b), (
        apply("mul", apply("abs", apply("to_float", n)), const(float(c))) for n, c in form.spread))
    slack = apply("mul", apply("add", spread, const(float(form.spread_constant + 1))), const(SLACK))
    last = apply("to_float", end)
    if side == "lo":
        low = apply("sub", value, slack)
        kept = apply("where", apply("gt", low, const(0.0)), apply("minimum", low, last), const(0.0))
        return apply("to_int", apply("ceil", kept))
    high = apply("add", apply("add", value, slack), const(1.0))
    kept = apply("where", apply("lt", high, last), apply("maximum", high, const(0.0)), last)
    return apply("to_int", apply("floor", kept))


def _total(form: Affine, constant: Callable[[Fraction], Node]) -> Node:
    parts = [n if c == 1 else apply("neg", n) if c == -1 else apply("mul", n, constant(c)) for n, c in form.terms]
    if form.constant or not parts:
        parts.append(constant(form.constant))
    return reduce(lambda a, b: apply("add", a, b), parts)


# ------------------------------------------------------------------------------------------- over a block of rows
def over_rows(bound: Bound, row: Axis, first: Node, last: Node) -> tuple[Bound, Bound] | None:
    """The least and the largest that a bound is for rows from `first` to `last`; None where it depends on the values of rows."""
    if isinstance(bound, Extreme):
        ends = [over_rows(part, row, first, last) for part in bound.parts]
        if any(end is None for end in ends):
            return None
        low, high = zip(*(end for end in ends if end is not None), strict=True)
        return tuple(reduce(lambda a, b: extreme(bound.op, a, b), side) for side in (low, high))
    low_form = high_form = Affine((), bound.value.constant, (), bound.value.spread_constant)
    for n, c in bound.value.terms:
        found = node_over_rows(n, row, first, last)
        if found is None:
            return None
        least, most = (affine(end).times(c) for end in found)
        low_form, high_form = (low_form + least, high_form + most) if c > 0 else (low_form + most, high_form + least)
    return Edge(low_form, bound.after), Edge(high_form, bound.after)


def node_over_rows(n: Node, row: Axis, first: Node, last: Node, depth: int = 20) -> tuple[Node, Node] | None:
    if row not in n.axes:
        return n, n
    if n is iota(row):
        return first, last
    if depth and n.op in ("add", "sub", "maximum", "minimum", "neg", "expand", "to_float", "floordiv", "mul"):
        ends = [node_over_rows(arg, row, first, last, depth - 1) for arg in n.args]
        if any(end is None for end in ends):
            return None
        left = ends[0]
        assert left is not None
        if n.op in ("neg", "expand", "to_float"):
            made = [end if n.op == "expand" else apply(n.op, end) for end in left]
            return (made[1], made[0]) if n.op == "neg" else (made[0], made[1])
        right = ends[1]
        assert right is not None
        if n.op in ("add", "maximum", "minimum"):
            return apply(n.op, left[0], right[0]), apply(n.op, left[1], right[1])
        if n.op == "sub":
            return apply("sub", left[0], right[1]), apply("sub", left[1], right[0])
        by = n.args[1]
        if by.op == "const" and by.attrs > 0:  # type: ignore[operator]
            return apply(n.op, left[0], by), apply(n.op, left[1], by)
    return None


# -------------------------------------------------------------------------------------------------------- as text
def form_text(form: Affine, word: Callable[[Node], str]) -> str:
    """`2.5 * x - k + 3.5`."""
    parts = [(c < 0, word(n) if abs(c) == 1 else f"{_number(abs(c))} * {word(n)}") for n, c in form.terms]
    if form.constant or not parts:
        parts.append((form.constant < 0, _number(abs(form.constant))))
    parts.sort(key=lambda part: part[0])  # what is added comes first
    head = ("-" if parts[0][0] else "") + parts[0][1]
    return head + "".join(f" {'-' if negative else '+'} {text}" for negative, text in parts[1:])


def bound_text(bound: Bound, word: Callable[[Node], str]) -> str:
    if isinstance(bound, Extreme):
        return f"{bound.op[:3]}({', '.join(bound_text(part, word) for part in bound.parts)})"
    form = bound.value
    if form.is_whole:
        return form_text(form + number(1) if bound.after else form, word)
    return f"floor({form_text(form, word)}) + 1" if bound.after else f"ceil({form_text(form, word)})"


def _number(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else repr(float(value))


"""Intervals of int terms, to prove that an index stays inside its axis."""

from __future__ import annotations

from collections.abc import Sequence

from archc.checker.sizes import Size
from archc.checker.typed import Apply, AxisIndex, Const, Expand, ReadAt, Reduction, SizeValue, Step, Term

Interval = tuple[Size, Size]  # lowest and highest value, both reached or not


def interval(term: Term) -> Interval | None:
    """Bounds of an int term as sizes; None where they depend on data. Each part is looked at once, however often it is used."""
    known: dict[int, Interval | None] = {}
    stack = [term]
    while stack:
        parts = [part for part in _parts(stack[-1]) if id(part) not in known]
        if parts:
            stack.extend(parts)
        else:
            current = stack.pop()
            known[id(current)] = _bounds(current, [known[id(part)] for part in _parts(current)])
    return known[id(term)]


def of_sizes(term: Term) -> bool:
    """Whether a size that is known at run time only has a part in the bounds of a term."""
    seen: set[int] = set()
    stack = [term]
    while stack:
        current = stack.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        bounds = _bounds(current, []) if not _parts(current) else None
        if bounds is not None and any(size.constant is None for size in bounds):
            return True
        stack.extend(_parts(current))
    return False


def _parts(term: Term) -> tuple[Term, ...]:
    """The terms that the bounds of a term follow from."""
    if isinstance(term, Apply):
        return term.args
    if isinstance(term, Expand) or (isinstance(term, ReadAt) and term.fill is None):
        return (term.arg,)
    return ()


def _bounds(term: Term, parts: Sequence[Interval | None]) -> Interval | None:
    if isinstance(term, Const) and isinstance(term.value, int):
        return Size.of(term.value), Size.of(term.value)
    if isinstance(term, SizeValue):
        return term.size, term.size
    if isinstance(term, (AxisIndex, Step)):
        return Size.of(0), term.axis.size - 1
    if isinstance(term, Reduction) and term.op in ("argmax", "argsort"):
        (axis,) = term.over
        return Size.of(0), axis.size - 1
    if isinstance(term, Apply):
        return _apply(term, parts)
    return parts[0] if parts else None


def _apply(term: Apply, bounds: Sequence[Interval | None]) -> Interval | None:
    known = [bound for bound in bounds if bound is not None]
    if len(known) < len(bounds):
        return _mod_of_data(term, bounds)
    if term.op == "neg":
        low, high = known[0]
        return -high, -low
    if len(known) != 2:
        return None
    (a, b), (c, d) = known
    if term.op == "add":
        return a + c, b + d
    if term.op == "sub":
        return a - d, b - c
    if term.op == "mul":
        for (low, high), (factor, other) in (((a, b), (c, d)), ((c, d), (a, b))):
            if factor == other:
                sign = _sign(factor)
                if sign is not None:
                    return (low * factor, high * factor) if sign >= 0 else (high * factor, low * factor)
        return None
    if term.op == "floordiv" and c == d and _sign(c) == 1:
        # The lower end of a range that may be empty is 0 or a constant here; rounding down keeps the order.
        return (a // c, b // c) if c.constant != 0 else None
    if term.op == "mod" and c == d and _sign(c) == 1:
        return Size.of(0), c - 1
    if term.op in ("maximum", "minimum"):
        difference_low, difference_high = (a - c).constant, (b - d).constant
        if difference_low is not None and difference_high is not None:
            pick = max if term.op == "maximum" else min
            low = a if pick(difference_low, 0) == difference_low else c
            high = b if pick(difference_high, 0) == difference_high else d
            return low, high
    return None


def _mod_of_data(term: Apply, bounds: Sequence[Interval | None]) -> Interval | None:
    """A remainder is bounded whatever it is the remainder of."""
    if term.op == "mod" and bounds[1] is not None and bounds[1][0] == bounds[1][1] and _sign(bounds[1][0]) == 1:
        return Size.of(0), bounds[1][0] - 1
    return None


def _sign(size: Size) -> int | None:
    """1, 0 or -1 where the sign is known for all sizes of 1 and more."""
    if size.constant is not None:
        return (size.constant > 0) - (size.constant < 0)
    coefficients = [c for _, c in size.terms]
    return 1 if all(c > 0 for c in coefficients) else -1 if all(c < 0 for c in coefficients) else None

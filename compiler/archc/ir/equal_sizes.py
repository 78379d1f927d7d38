"""What sizes that are checked to be equal say of other sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import gcd

from archc.checker.sizes import Atom, FloorDiv, Largest, Log2, Size, Symbol, product

Known = Mapping[Atom, Size]


def never_negative(size: Size, equal: Sequence[tuple[Size, Size]]) -> bool:
    """Whether a size is never below 0, by itself or because the two sizes of each pair are equal."""
    left = [a - b for a, b in equal]
    for _ in range(len(left) + 1):
        if any(all(c >= 0 for _, c in (size + side).terms) for zero in (Size.of(0), *left) for side in (zero, -zero)):
            return True
        known = next((found for zero in left if (found := _solved(zero, f"({len(left)})"))), None)
        if known is None:
            return False
        size, left = _put(size, known), [rest for zero in left if (rest := _put(zero, known)).terms]
    return False


def _solved(zero: Size, fresh: str) -> Known | None:
    """Atoms in terms of others where two products are equal: `c == 4*(c // 4)`, `t == y*z`, `2*d == 3*k`."""
    if len(zero.terms) != 2:
        return None
    (one, a), (other, b) = zero.terms
    if a * b > 0:
        return None
    a, b = abs(a), abs(b)
    if len(one) == len(other) == 1:
        shared = Size.symbol(fresh)
        return {one[0]: b // gcd(a, b) * shared, other[0]: a // gcd(a, b) * shared}
    for monomial, rest, factor in ((one, Size(((other, b),)), a), (other, Size(((one, a),)), b)):
        if len(monomial) == 1 and factor == 1:
            # A quotient of the atom itself is exact, and a size like any other.
            whole = {atom: Size.symbol(f"{fresh}{i}") for i, atom in enumerate(dict.fromkeys(rest.terms[0][0]))
                     if monomial[0] in _below(atom)}
            return {**whole, monomial[0]: _put(rest, whole)}
    return None


def _below(atom: Atom) -> set[Atom]:
    """The atoms that an atom is made of."""
    if isinstance(atom, Symbol):
        return set()
    assert not isinstance(atom, Log2)  # which is the size of no axis
    parts = (atom.left, atom.right) if isinstance(atom, Largest) else (atom.numerator, atom.denominator)
    inner = {a for part in parts for monomial, _ in part.terms for a in monomial}
    return inner.union(*map(_below, inner))


def _put(size: Size, known: Known) -> Size:
    """The size with what is known put in."""

    def value(atom: Atom) -> Size:
        if atom in known:
            return known[atom]
        if isinstance(atom, Symbol):
            return Size((((atom,), 1),))
        if isinstance(atom, Largest):
            return _put(atom.left, known).largest(_put(atom.right, known))
        assert isinstance(atom, FloorDiv)
        return _put(atom.numerator, known) // _put(atom.denominator, known)

    return sum((c * product(map(value, monomial)) for monomial, c in size.terms), Size.of(0))

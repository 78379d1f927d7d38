"""What sizes that are checked to be equal say of other sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archc.checker.sizes import Atom, FloorDiv, Largest, Size, Symbol, product


def never_negative(size: Size, equal: Sequence[tuple[Size, Size]]) -> bool:
    """Whether a size is never below 0, by itself or because the two sizes of each pair are equal."""
    said = [_in_terms(size, *pair) for left, right in equal for pair in _atoms_said(left, right)]
    apart = [size + side for left, right in equal for side in (left - right, right - left)]
    return any(all(c >= 0 for _, c in found.terms) for found in (size, *said, *apart))


def _atoms_said(left: Size, right: Size) -> list[tuple[Size, Size]]:
    """(atom, product) where two equal sides say what an atom of sizes is: `c == 4*(c // 4)`, `t == y*z`."""
    return [(a, b) for a, b in ((left, right), (right, left))
            if len(b.terms) == len(a.terms) == 1 and a != b and a.terms[0][1] == len(a.terms[0][0]) == 1]


def _in_terms(size: Size, said: Size, equal: Size) -> Size:
    """The size with a product for an atom. A quotient of the atom itself, which is then exact, becomes a symbol."""

    def rebuilt(atom: Atom) -> Size:
        if _of(atom) == said:
            return _each_atom(equal, lambda a: quotient if isinstance(a, FloorDiv) and a.numerator == said else _of(a))
        if isinstance(atom, Symbol):
            return _of(atom)
        if isinstance(atom, Largest):
            return inside(atom.left).largest(inside(atom.right))
        if atom.numerator == said and any(atom in monomial for monomial, _ in equal.terms):
            return quotient
        divided = inside(atom.numerator) // inside(atom.denominator)
        # What is left of -1 after a division, rounded down, is -1 whatever it was divided by.
        return _each_atom(divided, lambda a: Size.of(-1) if isinstance(a, FloorDiv) and a.numerator.constant == -1 else _of(a))

    def inside(size: Size) -> Size:
        return _each_atom(size, rebuilt)

    quotient = Size.symbol("(quotient)")
    return inside(size)


def _of(atom: Atom) -> Size:
    return Size((((atom,), 1),))


def _each_atom(size: Size, change: Callable[[Atom], Size]) -> Size:
    return sum((c * product(map(change, monomial)) for monomial, c in size.terms), Size.of(0))

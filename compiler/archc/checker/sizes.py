"""Symbolic sizes of axes: integer polynomials over named symbols, closed under floor division.

A size is kept in one canonical form, so that two equal polynomials are equal objects (`==` and `hash`).
Floor divisions that do not divide exactly become opaque atoms: `(|h| + 1) // 2` is an atom with a size of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from math import gcd
from typing import Union


@dataclass(frozen=True, order=True)
class Symbol:
    """A size known only at run time, or when a module is constructed: `n`, `channels`, `groups`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class FloorDiv:
    """An integer quotient, rounded down, that no rule of arithmetic makes simpler."""

    numerator: Size
    denominator: Size

    def __str__(self) -> str:
        return f"{_bracket(self.numerator)} // {_bracket(self.denominator)}"


@dataclass(frozen=True)
class Largest:
    """The larger of two sizes."""

    left: Size
    right: Size

    def __str__(self) -> str:
        return f"max({self.left}, {self.right})"


@dataclass(frozen=True)
class Log2:
    """The logarithm to base 2, rounded up; 0 of sizes below 2. It counts work, and is the size of no axis."""

    size: Size

    def __str__(self) -> str:
        return f"log2({self.size})"


Atom = Union[Symbol, FloorDiv, Largest, Log2]
Monomial = tuple[Atom, ...]  # sorted by text; the empty monomial is the constant term


@dataclass(frozen=True)
class Size:
    """An integer polynomial: `terms` maps monomials to nonzero coefficients, sorted by the monomial's text."""

    terms: tuple[tuple[Monomial, int], ...]

    # -- making sizes ------------------------------------------------------------------------------------------
    @staticmethod
    def of(value: int) -> Size:
        return _from_terms({(): value})

    @staticmethod
    def symbol(name: str) -> Size:
        return _from_terms({(Symbol(name),): 1})

    def __add__(self, other: Size | int) -> Size:
        terms = dict(self.terms)
        for monomial, coefficient in _size(other).terms:
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return _from_terms(terms)

    def __neg__(self) -> Size:
        return _from_terms({monomial: -coefficient for monomial, coefficient in self.terms})

    def __sub__(self, other: Size | int) -> Size:
        return self + (-_size(other))

    def __mul__(self, other: Size | int) -> Size:
        terms: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in _size(other).terms:
                monomial = left + right
                if len(monomial) > 1:
                    monomial = tuple(sorted(monomial, key=str))
                terms[monomial] = terms.get(monomial, 0) + a * b
        return _from_terms(terms)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: int) -> Size:
        return Size.of(other) - self

    def __floordiv__(self, other: Size | int) -> Size:
        """Floor division; the exact part comes out: `(4*k + r) // 4` is `k + r // 4`. Raises ZeroDivisionError."""
        divisor = _size(other)
        if divisor.constant == 0:
            raise ZeroDivisionError("a size is divided by zero")
        exact: dict[Monomial, int] = {}
        rest: dict[Monomial, int] = {}
        for monomial, coefficient in self.terms:
            quotient = _divide_term(monomial, coefficient, divisor)
            target, key, value = (exact, *quotient) if quotient else (rest, monomial, coefficient)
            target[key] = target.get(key, 0) + value
        whole, remainder = _from_terms(exact), _from_terms(rest)
        if not rest:
            return whole
        if (a := remainder.constant) is not None and (b := divisor.constant) is not None:
            return whole + a // b
        if remainder.constant == -1 and all(coefficient > 0 for _, coefficient in divisor.terms):
            return whole - 1  # whatever it is divided by
        return whole + _from_terms({(FloorDiv(remainder, divisor),): 1})

    def __mod__(self, other: Size | int) -> Size:
        return self - (self // other) * other

    def largest(self, other: Size | int) -> Size:
        other = _size(other)
        if (difference := (self - other).constant) is not None:
            return self if difference >= 0 else other
        left, right = sorted((self, other), key=str)
        return _from_terms({(Largest(left, right),): 1})

    def log2(self) -> Size:
        known = self.constant
        return Size.of((max(known, 1) - 1).bit_length()) if known is not None else _from_terms({(Log2(self),): 1})

    # -- asking ------------------------------------------------------------------------------------------------
    @property
    def constant(self) -> int | None:
        """The value, if it is known now."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and self.terms[0][0] == ():
            return self.terms[0][1]
        return None

    @property
    def symbols(self) -> frozenset[str]:
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                if isinstance(atom, Symbol):
                    found.add(atom.name)
                elif isinstance(atom, FloorDiv):
                    found |= atom.numerator.symbols | atom.denominator.symbols
                elif isinstance(atom, Log2):
                    found |= atom.size.symbols
                else:
                    found |= atom.left.symbols | atom.right.symbols
        return frozenset(found)

    def divisible_by(self, other: Size | int) -> bool:
        """True if the division is exact for every value of the symbols."""
        divisor = _size(other)
        return divisor.constant != 0 and all(_divide_term(m, c, divisor) for m, c in self.terms)

    def evaluate(self, values: Mapping[str, int]) -> int:
        """The number for given symbols. Raises KeyError for a symbol without a value, ZeroDivisionError."""

        def value(atom: Atom) -> int:
            if isinstance(atom, Symbol):
                return values[atom.name]
            if isinstance(atom, FloorDiv):
                return atom.numerator.evaluate(values) // atom.denominator.evaluate(values)
            if isinstance(atom, Log2):
                return (max(atom.size.evaluate(values), 1) - 1).bit_length()
            return max(atom.left.evaluate(values), atom.right.evaluate(values))

        return sum(reduce(lambda a, b: a * b, map(value, monomial), c) for monomial, c in self.terms)

    def substitute(self, replace: Mapping[str, Size]) -> Size:
        """The size with symbols replaced. Symbols that are not named stay."""
        if not self.symbols & replace.keys():
            return self

        def value(atom: Atom) -> Size:
            if isinstance(atom, Symbol):
                return replace.get(atom.name) or _from_terms({(atom,): 1})
            if isinstance(atom, FloorDiv):
                return atom.numerator.substitute(replace) // atom.denominator.substitute(replace)
            if isinstance(atom, Log2):
                return atom.size.substitute(replace).log2()
            return atom.left.substitute(replace).largest(atom.right.substitute(replace))

        total = Size.of(0)
        for monomial, coefficient in self.terms:
            total = total + reduce(lambda a, b: a * b, map(value, monomial), Size.of(coefficient))
        return total

    def spell(self, symbol: Callable[[str], str], floor_div: str = "{a} // {b}", largest: str = "max({a}, {b})") -> str:
        """The size as an expression of a host language; `symbol` says how a name is written there."""

        def atom_text(atom: Atom) -> str:
            if isinstance(atom, Symbol):
                return symbol(atom.name)
            if isinstance(atom, FloorDiv):
                a = atom.numerator.spell(symbol, floor_div, largest)
                b = atom.denominator.spell(symbol, floor_div, largest)
                a = a if _is_single(atom.numerator) else f"({a})"
                b = b if _is_single(atom.denominator) else f"({b})"
                return "(" + floor_div.format(a=a, b=b) + ")"
            if isinstance(atom, Log2):
                return f"log2({atom.size.spell(symbol, floor_div, largest)})"
            a = atom.left.spell(symbol, floor_div, largest)
            b = atom.right.spell(symbol, floor_div, largest)
            return largest.format(a=a, b=b)

        return _join(self, atom_text)

    def __str__(self) -> str:
        return _join(self, lambda atom: f"({atom})" if isinstance(atom, FloorDiv) else str(atom))


def product(sizes: Iterable[Size]) -> Size:
    """The number of elements of axes with these sizes."""
    return reduce(lambda a, b: a * b, sizes, Size.of(1))


def _size(value: Size | int) -> Size:
    return value if isinstance(value, Size) else Size.of(value)


def _from_terms(terms: Mapping[Monomial, int]) -> Size:
    kept = [(monomial, coefficient) for monomial, coefficient in terms.items() if coefficient]
    if len(kept) < 2:
        return Size(tuple(kept))
    return Size(tuple(sorted(kept, key=lambda term: (-len(term[0]), tuple(map(str, term[0]))))))


def _divide_term(monomial: Monomial, coefficient: int, divisor: Size) -> tuple[Monomial, int] | None:
    """The exact quotient of one term by a divisor of one term, or None."""
    if len(divisor.terms) != 1:
        # A sum divides a term only as a factor of it, which the canonical form does not keep.
        return None
    other, number = divisor.terms[0]
    if coefficient % number:
        return None
    left = list(monomial)
    for atom in other:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left), coefficient // number


def _join(size: Size, atom_text: Callable[[Atom], str]) -> str:
    parts: list[str] = []
    for monomial, coefficient in size.terms:
        factors = list(map(atom_text, monomial))
        magnitude = abs(coefficient)
        if magnitude != 1 or not factors:
            factors.insert(0, str(magnitude))
        sign = "-" if coefficient < 0 else "+"
        parts.append((f" {sign} " if parts else "-" * (sign == "-")) + "*".join(factors))
    return "".join(parts) or "0"


def _is_single(size: Size) -> bool:
    return len(size.terms) <= 1 and sum(len(m) + (abs(c) != 1) for m, c in size.terms) <= 1


def _bracket(size: Size) -> str:
    return str(size) if _is_single(size) else f"({size})"


def common_factor(size: Size) -> int:
    """The greatest integer that divides the size whatever its symbols are; 0 for the size 0."""
    return reduce(gcd, (abs(c) for _, c in size.terms), 0)

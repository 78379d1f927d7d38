"""What autograd keeps as polynomials: torch is asked at sizes that are large primes, whose powers show in each count, and once
more at others, which must agree with what was read off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd

from archc.analyze.saved import Kept, Unknown
from archc.checker.sizes import Size, Symbol, common_factor

PRIMES = ((1009, 1013, 1019, 1021, 1031, 1033), (1049, 1051, 1061, 1063, 1069, 1087))
UNKNOWN = "not a product of the open sizes: give all of them with --size and --arg"


@dataclass(frozen=True)
class KeptSize:
    """A storage that autograd keeps, with its bytes in the open symbols."""

    path: str
    bytes: Size
    is_input: bool


def kept(probe: Callable[[Mapping[str, int]], list[Kept]], symbols: Sequence[str],
         quotients: Mapping[str, tuple[Size, Size]]) -> list[KeptSize]:
    """`probe` says what is kept at some sizes. Raises Unknown where no polynomial of one term agrees with it."""
    scale = _scales(symbols, quotients)
    if len(symbols) > len(PRIMES[0]):
        raise Unknown(UNKNOWN)
    found: list[KeptSize] | None = None
    for row in PRIMES:
        primes = dict(zip(symbols, row, strict=False))
        values = {name: scale[name].evaluate(primes) for name in symbols}
        exact = dict(values)
        for name, (whole, part) in quotients.items():
            exact[name] = whole.evaluate(exact) // part.evaluate(exact)
        here = probe(values)
        if found is None:
            found = [KeptSize(k.path, _monomial(k.bytes, primes, exact), k.is_input) for k in here]
        elif [k.bytes.evaluate(exact) for k in found] != [k.bytes for k in here]:
            raise Unknown(UNKNOWN)
    assert found is not None
    return found


def _scales(symbols: Sequence[str], quotients: Mapping[str, tuple[Size, Size]]) -> dict[str, Size]:
    """For each open symbol the size that it is tried at, so that what divides it does: c = 8 * prime, or prime * heads."""
    found = {name: Size.symbol(name) for name in symbols}
    for whole, part in quotients.values():
        needed = part
        while len(whole.terms) == 1 and len(whole.terms[0][0]) == 1:
            (name,), factor = whole.symbols, whole.terms[0][1]
            if needed.constant is not None:
                needed = Size.of(needed.constant // gcd(needed.constant, factor))
            if name in found:
                if needed.constant is None:
                    found[name] = found[name] * needed
                else:
                    found[name] = found[name] * (needed.constant // gcd(needed.constant, common_factor(found[name])))
                break
            if name not in quotients:
                break
            whole, above = quotients[name]  # a quotient of a quotient asks more of the first whole
            needed = needed * above
    return found


def _monomial(count: int, primes: Mapping[str, int], exact: Mapping[str, int]) -> Size:
    """A count as a product of symbols, or of the quotients of them where only those are whole."""
    powers: dict[str, int] = {}
    rest = count
    for name, prime in primes.items():
        powers[name] = 0
        while rest and rest % prime == 0:
            rest //= prime
            powers[name] += 1
    size, left = Size.of(1), count
    for name, power in powers.items():
        for _ in range(power):
            of = [q for q in (name, *exact) if exact[q] % primes[name] == 0 and left % exact[q] == 0 and (
                q == name or q not in primes)]
            if not of:
                raise Unknown(UNKNOWN)
            size, left = size * Size.symbol(of[0]), left // exact[of[0]]
    return size * left


def symbol_text(size: Size) -> str:
    """`3*c^2*rows + c`: powers are written as such."""
    parts: list[str] = []
    for monomial, coefficient in size.terms:
        powers: dict[str, int] = {}
        for atom in monomial:
            text = str(atom) if isinstance(atom, Symbol) else f"({atom})" if "//" in str(atom) else str(atom)
            powers[text] = powers.get(text, 0) + 1
        factors = [text if power == 1 else f"{text}^{power}" for text, power in powers.items()]
        if abs(coefficient) != 1 or not factors:
            factors.insert(0, str(abs(coefficient)))
        sign = "-" if coefficient < 0 else "+"
        parts.append((f" {sign} " if parts else "-" * (sign == "-")) + "*".join(factors))
    return "".join(parts) or "0"

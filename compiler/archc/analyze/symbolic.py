"""What autograd keeps as polynomials: torch is asked at sizes that are large primes, whose powers show in each count, and once
more at others, which must agree with what was read off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from archc.analyze.saved import Kept, Unknown
from archc.checker.sizes import Size, Symbol

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
    bases = _bases(symbols, quotients)
    if len(bases) > len(PRIMES[0]):
        raise Unknown(UNKNOWN)
    found: list[KeptSize] | None = None
    for primes in PRIMES:
        values = dict(zip(bases, primes, strict=False))
        for name, size in _wholes(symbols, quotients).items():
            values[name] = size.evaluate(values)
        here = probe({name: values[name] for name in symbols})
        if found is None:
            found = [KeptSize(k.path, _monomial(k.bytes, {b: values[b] for b in bases}), k.is_input) for k in here]
        elif [k.bytes.evaluate(values) for k in found] != [k.bytes for k in here]:
            raise Unknown(UNKNOWN)
    assert found is not None
    return found


def _wholes(symbols: Sequence[str], quotients: Mapping[str, tuple[Size, Size]]) -> dict[str, Size]:
    """Open symbols that a quotient divides, as its multiples: c = d * heads."""
    found: dict[str, Size] = {}
    for name, (whole, part) in quotients.items():
        whole = whole.substitute(found)
        open_symbols = whole.symbols & set(symbols) - set(found)
        if len(open_symbols) != 1 or whole != Size.symbol(only := next(iter(open_symbols))):
            raise Unknown(UNKNOWN)
        found[only] = Size.symbol(name) * part
    return found


def _bases(symbols: Sequence[str], quotients: Mapping[str, tuple[Size, Size]]) -> list[str]:
    wholes = _wholes(symbols, quotients)
    return [*(s for s in symbols if s not in wholes), *quotients]


def _monomial(count: int, values: Mapping[str, int]) -> Size:
    if count == 0:
        return Size.of(0)
    size = Size.of(1)
    for name, prime in values.items():
        while count % prime == 0:
            count //= prime
            size = size * Size.symbol(name)
    return size * count


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

"""Index expressions that are affine in the surrounding axes: `2*i + p - 1` is coefficients, one for each axis, and a constant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archc.checker.sizes import FloorDiv, Largest, Size, Symbol
from archc.checker.types import Axis
from archc.ir.graph import Node


@dataclass(frozen=True)
class Affine:
    """sum of coefficient * axis, plus constant. No coefficient is zero."""

    coefficients: Mapping[Axis, Size]
    constant: Size

    def __add__(self, other: Affine) -> Affine:
        merged = dict(self.coefficients)
        for axis, coefficient in other.coefficients.items():
            merged[axis] = merged.get(axis, Size.of(0)) + coefficient
        return Affine({a: c for a, c in merged.items() if c.constant != 0}, self.constant + other.constant)

    def scaled(self, by: Size) -> Affine:
        return Affine({a: c * by for a, c in self.coefficients.items() if (c * by).constant != 0}, self.constant * by)


def affine(node: Node, depth: int = 100) -> Affine | None:
    """The index as an affine function of axes, or None if it is none (or is written too deep for anyone to read)."""
    if depth == 0:
        return None
    if node.op == "const" and isinstance(node.attrs, int):
        return Affine({}, Size.of(int(node.attrs)))
    if node.op == "size" and isinstance(node.attrs, Size):
        return Affine({}, node.attrs)
    if node.op == "iota" and isinstance(node.attrs, Axis):
        return Affine({node.attrs: Size.of(1)}, Size.of(0))
    if node.op == "expand":
        return affine(node.args[0], depth - 1)
    if node.op in ("add", "sub", "neg", "mul"):
        parts = [affine(arg, depth - 1) for arg in node.args]
        if any(part is None for part in parts):
            return None
        left = parts[0]
        assert left is not None
        if node.op == "neg":
            return left.scaled(Size.of(-1))
        right = parts[1]
        assert right is not None
        if node.op == "add":
            return left + right
        if node.op == "sub":
            return left + right.scaled(Size.of(-1))
        if not right.coefficients:
            return left.scaled(right.constant)
        if not left.coefficients:
            return right.scaled(left.constant)
    return None


def normal(size: Size) -> Size:
    """One form for quotients that differ by whole steps: `(h - 1) // 2 + 1` and `(h + 1) // 2` are equal."""
    total = Size.of(0)
    for monomial, coefficient in size.terms:
        value = Size.of(coefficient)
        for atom in monomial:
            if isinstance(atom, FloorDiv):
                value = value * _shifted(normal(atom.numerator), atom.denominator)
            elif isinstance(atom, Symbol):
                value = value * Size.symbol(atom.name)
            elif isinstance(atom, Largest):
                value = value * atom.left.largest(atom.right)
        total = total + value
    return total


def _shifted(numerator: Size, denominator: Size) -> Size:
    divisor = denominator.constant
    if divisor is None or divisor <= 0:
        return numerator // denominator
    if _has_quotient(numerator):
        return numerator // denominator
    constant = numerator.substitute({name: Size.of(0) for name in numerator.symbols})
    whole = (constant.constant or 0) // divisor
    return (numerator - whole * divisor) // denominator + whole


def _has_quotient(size: Size) -> bool:
    return any(not isinstance(atom, Symbol) for monomial, _ in size.terms for atom in monomial)


def same(left: Size, right: Size) -> bool:
    """Whether two sizes are equal for all values of their symbols, as far as is seen."""
    return left == right or normal(left) == normal(right)

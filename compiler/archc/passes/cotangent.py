"""Cotangents on their way back through a linear graph, and how they are scaled, added and summed.

A cotangent that came through a `where` carries the condition under which it counts. Outside of it `raw` may be anything, even
nan, because it is only ever selected, never multiplied by 0:  where(x > 0, log(x), 0) has the derivative where(x > 0, d / x, 0).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isfinite

from archc.checker.types import Axis
from archc.ir import build
from archc.ir.graph import Node
from archc.rules.integers import decide

ZERO = build.const(0.0)

# Operations that give finite numbers for finite operands (overflow apart), so that a hard zero may be multiplied by the result.
TAME = frozenset({
    "input", "const", "size", "iota", "neg", "add", "sub", "mul", "ipow", "maximum", "minimum", "where", "detach",
    "to_float", "to_int", "bool_to_int", "abs", "sign", "floor", "ceil", "round", "sin", "cos", "atan", "atan2", "tanh",
    "erf", "sigmoid", "relu", "silu", "gelu", "softplus", "softmax", "sum", "mean", "var", "expand", "eq", "ne", "lt", "le",
    "gt", "ge", "and", "or", "not", "isfinite", "isnan", "any", "all", "argmax", "argsort", "random", "read", "accumulate",
    "complex", "real", "imag", "conj", "angle", "fft", "ifft", "rfft", "irfft",
})


class Facts:
    """What is known of factors, remembered for one run: whether they are tame and whether they depend on any input."""

    def __init__(self) -> None:
        self._known: dict[Node, tuple[bool, bool]] = {}

    def know(self, node: Node, facts: tuple[bool, bool]) -> None:
        self._known[node] = facts

    def of(self, node: Node) -> tuple[bool, bool]:
        """(tame, fixed): made by tame operations alone; the same for all inputs."""
        stack = [node]
        while stack:
            current = stack[-1]
            if current in self._known:
                stack.pop()
            elif waiting := [arg for arg in current.args if arg not in self._known]:
                stack.extend(waiting)
            else:
                parts = [self._known[arg] for arg in current.args]
                tame = current.op in TAME and (current.op != "const" or isfinite(current.attrs))  # type: ignore[arg-type]
                divides = current.op == "div" and current.args[1].op in ("const", "size", "to_float") and parts[1][1]
                self._known[stack.pop()] = (
                    (tame or divides) and all(part[0] for part in parts),
                    current.op != "input" and all(part[1] for part in parts),
                )
        return self._known[node]


@dataclass(frozen=True)
class Cotangent:
    """`raw` where `mask` holds (None: everywhere), else 0. It may lack axes of the node that it belongs to: it is the same
    along them. `clean`: raw is 0 already where the mask does not hold."""

    raw: Node
    mask: Node | None = None
    clean: bool = False

    @property
    def axes(self) -> frozenset[Axis]:
        return self.raw.axes | (self.mask.axes if self.mask else frozenset())

    @property
    def value(self) -> Node:
        return self.raw if self.mask is None or self.clean else build.apply("where", self.mask, self.raw, ZERO)


def scale(ct: Cotangent, factor: Node, facts: Facts) -> Cotangent:
    """The cotangent times a factor, which is never multiplied where the cotangent does not count."""
    if ct.mask is None:
        return Cotangent(chosen(ct.raw, factor))
    if factor.axes <= ct.axes:
        return Cotangent(chosen(ct.raw, factor), ct.mask)
    # An outer product, most often one side of a contraction: select first, so that it stays a product of two.
    return Cotangent(chosen(ct.value, _guarded(factor, ct.mask, facts)), ct.mask, clean=True)


def _guarded(factor: Node, mask: Node, facts: Facts) -> Node:
    """The factor with a 0 wherever the mask excludes all that it will be multiplied with."""
    tame, fixed = facts.of(factor)
    missing = mask.axes - factor.axes
    if tame and (fixed or missing):
        return factor
    live = any_over(mask, missing)
    return factor if live is None else build.apply("where", live, factor, ZERO)


def select(ct: Cotangent, condition: Node, holds: bool) -> Cotangent:
    """The cotangent where the condition holds (or does not), nothing elsewhere."""
    condition = condition if holds else invert(condition)
    return Cotangent(ct.raw, condition if ct.mask is None else _both(ct.mask, condition))


def real(ct: Cotangent) -> Cotangent:
    """The cotangent of a float from one of the complex numbers that it went into."""
    return replace(ct, raw=build.apply("real", ct.raw)) if ct.raw.type.dtype == "complex" else ct


def conjugate(factor: Node) -> Node:
    """What the transpose of a product multiplies by."""
    if factor.type.dtype != "complex":
        return factor
    if factor.op == "complex":
        return build.apply("complex", factor.args[0], times(factor.args[1], build.const(-1.0)))
    return factor.args[0] if factor.op == "conj" else build.apply("conj", factor)


def total(parts: list[Cotangent]) -> Cotangent:
    """The sum of what came back along several ways."""
    result = parts[0]
    for part in parts[1:]:
        result = _plus(result, part)
    return result


def _plus(a: Cotangent, b: Cotangent) -> Cotangent:
    if a.mask is b.mask:
        return Cotangent(build.apply("add", a.raw, b.raw), a.mask, a.clean and b.clean)
    if a.mask is None or b.mask is None:
        return Cotangent(build.apply("add", a.value, b.value))
    if a.mask is invert(b.mask):
        return Cotangent(build.apply("where", a.mask, a.raw, b.raw))
    return Cotangent(build.apply("add", a.value, b.value), build.apply("or", a.mask, b.mask), clean=True)


def sum_over(ct: Cotangent, axes: Iterable[Axis]) -> Cotangent:
    """The transpose of repeating along axes, also those that the cotangent lacks. The mask that is left says where any part
    counted."""
    axes = frozenset(axes)
    if not axes:
        return ct
    mask = None if ct.mask is None else any_over(ct.mask, axes & ct.mask.axes)
    return Cotangent(build.reduce("sum", ct.value, axes), mask, clean=True)


def any_over(mask: Node, axes: frozenset[Axis]) -> Node | None:
    """Whether the mask holds anywhere along axes; None where it is known to."""
    if axes:
        mask = build.reduce("any", mask, axes)
    known = decide(mask)
    if known is None:
        return mask
    return None if known.op == "const" and known.attrs is True else known


def invert(condition: Node) -> Node:
    return condition.args[0] if condition.op == "not" else build.apply("not", condition)


def _both(a: Node, b: Node) -> Node:
    return a if a is b else build.apply("and", a, b)


def chosen(x: Node, factor: Node) -> Node:
    """x times a factor; a choice for a factor that is one of 0 and 1. Only for cotangents: a tangent that is chosen would, turned
    round, guard all that comes before it, which is promised of a `where` that somebody wrote and of nothing else."""
    if factor.op == "where" and all(arg.op == "const" and arg.attrs in (0, 1) for arg in factor.args[1:]):
        return build.apply("where", factor.args[0], *(x if arg.attrs else ZERO for arg in factor.args[1:]))
    return times(x, factor)


def times(x: Node, factor: Node) -> Node:
    """x times a factor: x itself for 1, its negation for -1, a quotient for 1 / y."""
    if factor.op == "const":
        if factor.attrs == 1:
            return x
        if factor.attrs == -1:
            return build.apply("neg", x)
    if factor.op == "neg":
        return build.apply("neg", times(x, factor.args[0]))
    if factor.op == "div" and factor.args[0].op == "const" and factor.args[0].attrs == 1:
        return build.apply("div", x, factor.args[1])
    return build.apply("mul", x, factor)


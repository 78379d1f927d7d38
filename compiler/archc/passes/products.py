"""A product taken apart into its sign, its factors and its divisors, and put together again."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from archc.ir import build
from archc.ir.graph import Node

MOST = 32  # factors; what has more is left alone


@dataclass(frozen=True)
class Product:
    """(-1 if negative) * the factors / the divisors, in the order in which they were written."""

    factors: tuple[tuple[Node, bool], ...]  # the node, and whether it divides
    negative: bool = False

    def node(self) -> Node | None:
        """The product written out, None for one without factors."""
        result: Node | None = None
        for factor, divides in sorted(self.factors, key=lambda item: item[1]):
            if result is None:
                result = build.apply("div", build.const(1.0), factor) if divides else factor
            else:
                result = build.apply("div" if divides else "mul", result, factor)
        return build.apply("neg", result) if self.negative and result is not None else result


def product(node: Node, whole: Container[Node] = ()) -> Product:
    """The node as a product; itself alone, if it is none or has too many factors. What is in `whole` is not taken apart."""
    factors: list[tuple[Node, bool]] = []
    negative = False
    stack: list[tuple[Node, bool]] = [(node, False)]
    while stack:
        current, divides = stack.pop()
        if len(factors) + len(stack) > MOST:
            return Product(((node, False),))
        if current in whole and current is not node:
            factors.append((current, divides))
        elif current.op == "mul":
            stack.extend((arg, divides) for arg in reversed(current.args))
        elif current.op == "div":
            stack.append((current.args[1], not divides))
            stack.append((current.args[0], divides))
        elif current.op == "neg":
            negative = not negative
            stack.append((current.args[0], divides))
        else:
            factors.append((current, divides))
    return Product(tuple(factors), negative)


def terms(node: Node) -> list[tuple[Node, bool]] | None:
    """The node as a sum: its terms, each with whether it is subtracted. None if it has too many."""
    found: list[tuple[Node, bool]] = []
    stack: list[tuple[Node, bool]] = [(node, False)]
    while stack:
        current, negative = stack.pop()
        if len(found) + len(stack) > MOST:
            return None
        if current.op in ("add", "sub"):
            stack.append((current.args[1], negative != (current.op == "sub")))
            stack.append((current.args[0], negative))
        elif current.op == "neg":
            stack.append((current.args[0], not negative))
        else:
            found.append((current, negative))
    return found


def total(parts: Iterable[tuple[Node, bool]]) -> Node | None:
    """The sum of terms, None without any."""
    result: Node | None = None
    for part, negative in parts:
        if result is None:
            result = build.apply("neg", part) if negative else part
        else:
            result = build.apply("sub" if negative else "add", result, part)
    return result

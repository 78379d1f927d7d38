"""Patterns over nodes: what a rewrite rule looks for, what it puts there, and when it may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Union

from archc.checker.types import Axis
from archc.ir import build
from archc.ir.graph import Fourier, Node
from archc.ops.table import OPS


@dataclass(frozen=True)
class Any:
    """A name: any node, the same one wherever the name stands."""

    name: str


@dataclass(frozen=True)
class Literal:
    """A constant of this value: 1 stands for the int and the float alike."""

    value: bool | int | float


@dataclass(frozen=True)
class Operation:
    """An operation on patterns. `over`: the names of its sets of axes, of which it goes over the union; None if it has none. Of a
    Fourier transform the name stands for the axes and the norm."""

    op: str
    args: tuple[Pattern, ...]
    over: tuple[str, ...] | None = None


Pattern = Union[Any, Literal, Operation]
Binding = dict[str, Union[Node, frozenset[Axis], Fourier]]
Condition = Callable[[Binding], bool]


def match(pattern: Pattern, node: Node, bound: Binding) -> Iterator[Binding]:
    """Every way to give the names values so that the pattern is the node. Operands that commute are tried both ways."""
    if isinstance(pattern, Any):
        found = bound.get(pattern.name)
        if found is None:
            yield {**bound, pattern.name: node}
        elif found is node:
            yield bound
    elif isinstance(pattern, Literal):
        if node.op == "const" and node.attrs == pattern.value and (node.type.dtype == "bool") == isinstance(pattern.value, bool):
            yield bound
    elif pattern.op == node.op and len(pattern.args) == len(node.args):
        if pattern.over is not None:
            (name,) = pattern.over
            if bound.get(name, node.attrs) != node.attrs:
                return
            bound = {**bound, name: node.attrs}  # type: ignore[dict-item]
        yield from _match_all(pattern.args, node.args, bound)
        if len(pattern.args) == 2 and OPS[pattern.op].commutes and node.args[0] is not node.args[1]:
            yield from _match_all(pattern.args, node.args[::-1], bound)


def heads(pattern: Operation) -> tuple[str | None, ...]:
    """The operation that each operand must be; None for any."""
    return tuple(arg.op if isinstance(arg, Operation) else "const" if isinstance(arg, Literal) else None for arg in pattern.args)


def may_match(wanted: tuple[str | None, ...], node: Node, commutes: bool) -> bool:
    """Whether the operations of a node's operands are those wanted, for most nodes the end of the matter."""
    args = node.args
    if len(wanted) != len(args):
        return False
    if all(op is None or op == arg.op for op, arg in zip(wanted, args, strict=True)):
        return True
    return commutes and all(op is None or op == arg.op for op, arg in zip(wanted, reversed(args), strict=True))


def _match_all(patterns: tuple[Pattern, ...], nodes: tuple[Node, ...], bound: Binding) -> Iterator[Binding]:
    if len(patterns) == 1:
        yield from match(patterns[0], nodes[0], bound)
        return
    for first in match(patterns[0], nodes[0], bound):
        yield from _match_all(patterns[1:], nodes[1:], first)


def instantiate(pattern: Pattern, bound: Binding) -> Node:
    """The node that a pattern stands for."""
    if isinstance(pattern, Any):
        return bound[pattern.name]  # type: ignore[return-value]
    if isinstance(pattern, Literal):
        return build.const(pattern.value)
    args = [instantiate(arg, bound) for arg in pattern.args]
    if pattern.over is None:
        return build.apply(pattern.op, *args)
    attrs = bound[pattern.over[0]]
    if isinstance(attrs, Fourier):
        return build.fourier(pattern.op, args[0], attrs.over, attrs.half, attrs.norm)
    axes: frozenset[Axis] = frozenset().union(*(bound[name] for name in pattern.over))  # type: ignore[arg-type]
    return build.expand(args[0], axes) if pattern.op == "expand" else build.reduce(pattern.op, args[0], axes)


def values(pattern: Pattern) -> set[str]:
    """The names in a pattern that stand for nodes."""
    if isinstance(pattern, Any):
        return {pattern.name}
    if isinstance(pattern, Literal):
        return set()
    return set().union(*map(values, pattern.args))


def sets_of_axes(pattern: Pattern) -> set[str]:
    """The names in a pattern that stand for sets of axes."""
    if not isinstance(pattern, Operation):
        return set()
    return set(pattern.over or ()).union(*map(sets_of_axes, pattern.args))

"""Classes of loops, by how a step changes the states, and what decided it.

(a) S <- (D + sum of a b^T) S + sum of c d^T, D diagonal: updates of rank 1, or outer products and a D that is constant along
    some axis of the state; a kernel can take several such steps at once (the delta rule, gated forms, linear attention)
(b) S <- D * S + c, element by element: a segmented scan
(c) anything else: one step after the other
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal

from archc.checker.types import Axis
from archc.ir.graph import Node, Read, Scan, topological, users
from archc.ops.table import OPS

Letter = Literal["a", "b", "c"]
ORDER: tuple[Letter, ...] = ("b", "a", "c")  # the hardest last


@dataclass(frozen=True)
class ScanClass:
    letter: Letter
    reason: str
    decided_by: Node | None = None  # of the loop's body


class _Level(IntEnum):
    """What a value of a step is of the states: nothing, element by element, a sum over their axes, that times something."""

    FREE, DIAGONAL, VECTOR, RANK, OTHER = range(5)


@dataclass(frozen=True)
class _Part:
    level: _Level = _Level.FREE
    states: frozenset[int] = frozenset()
    own: frozenset[Axis] = frozenset()  # axes of the states that stand for themselves
    names: tuple[tuple[Axis, Axis], ...] = ()  # another name of an axis of a state, and the axis
    lost: frozenset[Axis] = frozenset()  # those summed over
    scale: frozenset[Axis] = frozenset()  # of what the state is multiplied with
    outer: bool = False  # an outer product was added
    why: str = ""
    by: Node | None = None


def classify(scan: Scan) -> ScanClass:
    """The class of a loop: the hardest of its states'."""
    parts = _parts(scan)
    worst: ScanClass | None = None
    for place, (output, port) in enumerate(zip(scan.body.outputs[: scan.states], scan.body.inputs, strict=False)):
        part = parts[output.node]
        if part.level < _Level.OTHER and part.states - {place}:
            others = ", ".join(scan.body.inputs[other].name for other in sorted(part.states - {place}))
            part = replace(part, level=_Level.OTHER, why=f"{port.name} follows {others}", by=output.node)
        found = _class(part, port.type.axes)
        if worst is None or ORDER.index(found.letter) > ORDER.index(worst.letter):
            worst = found
    return worst or ScanClass("b", "it has no state")


def _class(part: _Part, axes: frozenset[Axis]) -> ScanClass:
    if part.level in (_Level.OTHER, _Level.VECTOR):
        return ScanClass("c", part.why or "the state is replaced by a sum over itself", part.by)
    if part.level is _Level.RANK:
        return ScanClass("a", "updates of rank 1" + " beside a decay of each element" * (not axes - part.scale), part.by)
    if part.outer and axes - part.scale:
        return ScanClass("a", "an outer product is added, and the decay is constant along " + ", ".join(
            sorted(axis.name for axis in axes - part.scale)), part.by)
    return ScanClass("b", "each element of the state follows itself alone", part.by)


def _parts(scan: Scan) -> dict[Node, _Part]:
    found: dict[Node, _Part] = {}
    for place, port in enumerate(scan.body.inputs[: scan.states]):
        found[port.node] = _Part(_Level.DIAGONAL, frozenset({place}), port.type.axes)
    reading = users(scan.body.roots)
    for n in topological(scan.body.roots):
        if n not in found:
            found[n] = _part(n, [found[arg] for arg in n.args], reading[n])
    return found


def _part(n: Node, args: Sequence[_Part], readers: Sequence[Node]) -> _Part:
    if isinstance(n.attrs, Scan):
        return _inner(n.attrs, args, n)
    if n.op == "item":
        inner = n.args[0].attrs
        kept = isinstance(inner, Scan) and isinstance(n.attrs, int) and n.attrs < inner.states
        if kept or args[0].level is _Level.FREE:
            return args[0]
        return _other(args, "a loop inside gives what it makes of the state", n)
    held = [arg for arg in args if arg.level is not _Level.FREE]
    if not held:
        outer = n.op == "mul" and all(arg.axes < n.axes for arg in n.args)
        return _Part(outer=outer or any(arg.outer for arg in args))
    if bad := next((arg for arg in held if arg.level is _Level.OTHER), None):
        return bad
    if n.op in ("add", "sub"):
        return _sum(args, n)
    if n.op in ("neg", "expand", "detach", "to_float"):
        return held[0]
    if n.op == "mul" and len(held) == 1:
        return _scaled(held[0], n.args[1 - args.index(held[0])], n)
    if n.op == "div" and args[1].level is _Level.FREE:
        return _scaled(held[0], n.args[1], n)
    if n.op == "where" and args[0].level is _Level.FREE:
        return _scaled(_sum(args[1:], n), n.args[0], n)
    if n.op in ("sum", "mean") and isinstance(n.attrs, frozenset):
        return _reduced(held[0], n, n.attrs)
    if isinstance(n.attrs, Read) and len(held) == 1 and args[0] is held[0]:
        return _read(held[0], n, n.attrs)
    row = OPS.get(n.op)
    return _other(args, f"{row.name if row else n.op} of the state", n)


def _other(args: Sequence[_Part], why: str, by: Node) -> _Part:
    return _Part(_Level.OTHER, frozenset().union(*(arg.states for arg in args)), why=why, by=by)


def _sum(args: Sequence[_Part], n: Node) -> _Part:
    held = [arg for arg in args if arg.level is not _Level.FREE]
    level = max(arg.level for arg in held)
    if {arg.level for arg in held} >= {_Level.DIAGONAL, _Level.VECTOR}:
        level = _Level.RANK  # a sum added everywhere
    by = next((arg.by for arg in held if arg.level is level and arg.by is not None), None)
    return _Part(
        level, frozenset().union(*(a.states for a in held)), frozenset().union(*(a.own for a in held)),
        tuple(dict.fromkeys(pair for a in held for pair in a.names)), frozenset().union(*(a.lost for a in held)),
        frozenset().union(*(a.scale for a in held if a.level is _Level.DIAGONAL)), any(a.outer for a in args), by=by or n)


def _scaled(part: _Part, factor: Node, n: Node) -> _Part:
    if part.level is _Level.VECTOR and factor.axes & part.lost:
        return replace(part, level=_Level.RANK, scale=frozenset())
    return replace(part, scale=part.scale | factor.axes) if part.level is _Level.DIAGONAL else part


def _reduced(part: _Part, n: Node, over: frozenset[Axis]) -> _Part:
    known = dict(part.names)
    lost = frozenset(known.get(axis, axis) for axis in over if axis in part.own)
    if not lost:
        return part
    if n.axes & lost:
        names = ", ".join(sorted(axis.name for axis in n.axes & lost))
        return _other([part], f"a full matrix along {names} of the state", n)
    return replace(part, level=_Level.VECTOR, own=part.own - over, lost=part.lost | lost, by=n)


def _read(part: _Part, n: Node, attrs: Read) -> _Part:
    """A state under other names of its axes; anything else mixes its elements."""
    names = dict(part.names)
    own = set(part.own)
    for at, index in zip(attrs.at, n.args[1:], strict=False):
        if at.axis not in part.own:
            continue
        if not isinstance(index.attrs, Axis) or index.op != "iota":
            return _other([part], "the state is read at other places", n)
        own = (own - {at.axis}) | {index.attrs}
        names[index.attrs] = names.get(at.axis, at.axis)
    return replace(part, own=frozenset(own), names=tuple(names.items()))


def _inner(scan: Scan, args: Sequence[_Part], n: Node) -> _Part:
    """A loop inside, which carries the states: its own class, on what it starts with."""
    if all(arg.level is _Level.FREE for arg in args):
        return _Part()
    if any(arg.level is not _Level.FREE for arg in args[scan.states:]):
        return _other(args, "a loop inside is given the state as it was", n)
    found = classify(scan)
    start = _sum(args[: scan.states], n)
    if found.letter == "c":
        return _other(args, found.reason, found.decided_by or n)
    if found.letter == "a":
        return replace(start, level=max(start.level, _Level.RANK), by=found.decided_by)
    return start

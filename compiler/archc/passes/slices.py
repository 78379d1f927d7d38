"""Values at fixed places of some axes, and sums that put such values together:

    silu(x[half = 0]) * x[half = 1]          a kernel reads both where they lie, and writes their gradients there
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from archc.checker.types import Axis
from archc.ir.build import apply
from archc.ir.graph import Accumulate, Graph, Node, Read, topological

Places = Mapping[Axis, int]


def places(n: Node) -> Places | None:
    """Where a read reads, or an accumulate writes, if that is the same for all elements and inside."""
    if not isinstance(n.attrs, Read | Accumulate):
        return None
    found: dict[Axis, int] = {}
    for at, index in zip(n.attrs.at, n.args[1:], strict=False):
        if at.border != "trust" or index.op != "const" or not isinstance(index.attrs, int):
            return None
        found[at.axis] = index.attrs
    return found


def slices(graph: Graph, fixed: Container[Node]) -> frozenset[Node]:
    """Floats at fixed places of what a kernel can be given."""
    found: set[Node] = set()
    for n in topological(graph.roots):
        if n.op == "read" and n.type.dtype == "float" and n.args[0] not in found and n.args[0] not in fixed and places(n):
            found.add(n)
    return frozenset(found)


@dataclass(frozen=True)
class Whole:
    """What a sum puts together: a value for every place of some axes. `inside`: the nodes of the sum."""

    pieces: tuple[tuple[Places, Node], ...]
    inside: frozenset[Node]


def whole(root: Node) -> Whole | None:
    """What a node puts together from values at fixed places."""
    inside: set[Node] = set()
    pieces: dict[tuple[tuple[Axis, int], ...], Node] = {}
    stack = [root]
    while stack:
        n = stack.pop()
        inside.add(n)
        if n.op == "add" and all(arg.axes == root.axes for arg in n.args):
            stack.extend(reversed(n.args))
            continue
        at = places(n)
        if n.op != "accumulate" or not at or n.attrs.keep != n.args[0].axes or n.type.dtype != "float":  # type: ignore[union-attr]
            return None
        key, value = tuple(sorted(at.items(), key=lambda item: item[0].name)), n.args[0]
        pieces[key] = apply("add", pieces[key], value) if key in pieces else value
    axes = [axis for axis, _ in next(iter(pieces))]
    sizes = [axis.size.constant for axis in axes]
    alike = all([axis for axis, _ in key] == axes for key in pieces)
    if not alike or None in sizes or prod(size for size in sizes if size is not None) != len(pieces):
        return None
    return Whole(tuple((dict(key), value) for key, value in pieces.items()), frozenset(inside))


def wholes(graph: Graph, reading: Mapping[Node, Sequence[Node]]) -> Iterator[tuple[Node, Whole]]:
    """The largest sums that put values together, all of whose parts are for them alone."""
    roots, taken = set(graph.roots), set[Node]()
    for n in reversed(list(topological(graph.roots))):
        if n in taken or n.op not in ("add", "accumulate") or (found := whole(n)) is None:
            continue
        if all(part is n or (part not in roots and all(reader in found.inside for reader in reading[part]))
               for part in found.inside):
            taken |= found.inside
            yield n, found

"""What the forms share while a derivative is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from archc.check.types import LEADING, Axis
from archc.ir import build
from archc.ir.graph import Graph, Node, topological
from archc.passes.cotangent import Cotangent, Facts

ZERO = build.const(0.0)
Parts = Iterator[tuple[Node, Cotangent]]


class Run:
    """One derivative being taken of one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.facts = Facts()
        self._taken = {axis.name for node in topological(graph.roots) for axis in node.axes}
        self._taken |= {axis.name for port in graph.inputs for axis in port.type.axes}
        self._twins: dict[Axis, Axis] = {}

    def twin(self, axis: Axis) -> Axis:
        """A second index along an axis: same size, a name that the graph does not have."""
        if axis not in self._twins:
            stem = "lead" if axis.name == LEADING else axis.name.rstrip("0123456789").rstrip("_")
            name = next(name for i in range(2, len(self._taken) + 3) if (name := f"{stem}_{i}") not in self._taken)
            self._taken.add(name)
            self._twins[axis] = Axis(name, axis.size)
        return self._twins[axis]


class Form(Protocol):
    def tangent(self, node: Node, tangents: Sequence[Node | None], run: Run) -> Node | None: ...
    def transpose(self, node: Node, linear: Callable[[Node], bool], ct: Cotangent, run: Run) -> Parts: ...


class NotLinear(Exception):
    """A node that is not linear in what it was taken to be linear in."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.op)
        self.node = node


def plus(parts: Iterable[Node | None]) -> Node | None:
    """The sum of tangents, None being zero."""
    result: Node | None = None
    for part in parts:
        if part is None:
            continue
        if result is None:
            result = part
        elif part.op == "neg":
            result = build.apply("sub", result, part.args[0])
        else:
            result = build.apply("add", result, part)
    return result

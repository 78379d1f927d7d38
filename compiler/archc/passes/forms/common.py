"""What the forms share while a derivative is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from archc.checker.types import LEADING, Axis
from archc.ir import build
from archc.ir.graph import Graph, Node, Notes, inside, topological
from archc.ir.text import axes_of
from archc.passes.cotangent import Cotangent, Facts

ZERO = build.const(0.0)
Parts = Iterator[tuple[Node, Cotangent]]


class Run:
    """One derivative being taken of one graph; of the body of a loop, `around` is the run of the graph around it."""

    def __init__(self, graph: Graph, around: Run | None = None) -> None:
        self.graph = graph
        self.facts = Facts()
        self.spans = dict(graph.notes.spans)
        self.names = dict(graph.notes.names)
        self.results: dict[Node, tuple[Node | None, ...]] = {}  # of a loop: the tangent of each of its results
        self._moved: dict[Node, Node] = {}
        # Bodies speak of the same axes as the graph around them.
        self._taken: set[str] = around._taken if around else _axis_names(graph)
        self._twins: dict[Axis, Axis] = around._twins if around else {}

    def moves(self, node: Node, tangent: Node) -> None:
        """Notes that a tangent is that of a node, whose name and place its cotangent takes."""
        self._moved.setdefault(tangent, node)
        if node in self.spans:
            parts = [tangent]
            while parts:
                part = parts.pop()
                if part not in self.spans:
                    self.spans[part] = self.spans[node]
                    parts.extend(part.args if part.op in ("add", "sub", "neg") else ())

    def called(self, tangent: Node) -> str | None:
        """The name of what a tangent belongs to."""
        node = self._moved.get(tangent)
        return None if node is None else self.names.get(node)

    def pulls(self, tangent: Node, ct: Node) -> None:
        """Notes that a value is the whole cotangent of what the tangent belongs to: `d_score` of `score`."""
        if (name := self.called(tangent)) and ct not in self.names:
            self.names[ct] = f"d_{name}"

    @property
    def notes(self) -> Notes:
        """The graph's notes and those of the derivative."""
        return replace(self.graph.notes, spans=self.spans, names=self.names)

    def twin(self, axis: Axis) -> Axis:
        """A second index along an axis: same size, a name that the graph does not have."""
        if axis not in self._twins:
            stem = "lead" if axis.name == LEADING else axis.name.rstrip("0123456789").rstrip("_")
            name = next(name for i in range(2, len(self._taken) + 3) if (name := f"{stem}_{i}") not in self._taken)
            self._taken.add(name)
            self._twins[axis] = Axis(name, axis.size)
        return self._twins[axis]


def fresh_name(stem: str, taken: set[str]) -> str:
    """A port name that is not taken yet, and now is."""
    name = next(name for i in range(1, len(taken) + 2) if (name := stem if i == 1 else f"{stem}_{i}") not in taken)
    taken.add(name)
    return name


def _axis_names(graph: Graph) -> set[str]:
    """The names of all axes, of the graphs inside too."""
    found = {axis.name for axis in axes_of(graph)}
    for inner in dict.fromkeys(inner for node in topological(graph.roots) for inner in inside(node)):
        found |= _axis_names(inner)
    return found


class Form(Protocol):
    def tangent(self, node: Node, tangents: Sequence[Node | None], run: Run) -> Node | None: ...
    def transpose(self, node: Node, linear: Callable[[Node], bool], ct: Cotangent, run: Run) -> Parts: ...


class Several(Protocol):
    def pulled(self, current: Node, linear: Callable[[Node], bool], cts: Mapping[int, Cotangent], run: Run) -> Parts: ...


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

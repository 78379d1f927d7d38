"""A layer's graph as boxes and lines: what is drawn, before anything has a place.

A box holds a value that the source names, a reduction, a sub-layer, or an expression that several places read; what only one
place reads is written in that place, as long as it stays short. Params and numbers stand at the side of the boxes that read them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from archc.analyze.draw.formula import Formulas, wrapped
from archc.checker.types import LEADING, Axis, Layout, Type, flat
from archc.ir.graph import Call, Graph, Member, Node, Random, Read, Scan, topological
from archc.ir.module import Module, Package
from archc.ir.source_body import dropout_of
from archc.ops.table import OPS

SHORT = 46  # characters of a formula that may still take in the operation before it
LINE = 58  # characters of a line in a box
_RULER = re.compile(r"^-{4,}[^\n]*\n?")  # a heading of the file that stands directly above a layer
BESIDE = 10  # characters of a size that stands beside its axis


@dataclass(frozen=True)
class Side:
    """A param, buffer or number at the side of a box that reads it."""

    name: str
    role: str
    axes: str


@dataclass
class Box:
    """`gives` are the axes of what leaves it. `inner` is the picture of a sub-layer that is opened."""

    kind: str  # input, operation, reduction, random, layer, result, update
    name: str
    lines: list[str]
    gives: str = ""
    sides: list[Side] = field(default_factory=list)
    inner: Picture | None = None


@dataclass
class Picture:
    """Boxes by number, and the pairs of them that a line joins, from the first to the second."""

    title: str
    doc: str
    boxes: list[Box] = field(default_factory=list)
    lines: list[tuple[int, int]] = field(default_factory=list)
    entry: dict[tuple[int, int], int] = field(default_factory=dict)  # which input of an opened sub-layer a line goes to
    where: dict[str, str] = field(default_factory=dict)  # sizes of axes that are too long to stand beside their names


def picture(package: Package, key: str, *, method: str = "forward", mode: str = "train", depth: int = 0) -> Picture:
    """The picture of a method of a layer; sub-layers are opened down to `depth`."""
    return _Drawing(package, package.modules[key], method, mode, depth).picture


class _Drawing:
    def __init__(self, package: Package, module: Module, method: str, mode: str, depth: int) -> None:
        self.package, self.module, self.mode, self.depth = package, module, mode, depth
        found = next(m for m in module.methods if m.name == method)
        graph = found.train if mode == "train" else found.eval
        doc = _RULER.sub("", (graph.notes.doc or module.doc).strip()).strip().split("\n\n")[0].replace("\n", " ")
        self.picture = Picture(module.name if method == "forward" else f"{module.name}.{method}", doc)
        self.graph(graph)

    # -- one graph -----------------------------------------------------------------------------------------------
    def graph(self, graph: Graph) -> None:
        nodes = list(topological(graph.roots))
        self.ports = {port.node: port for port in graph.inputs}
        self.axis_order = _axis_order(graph, nodes)
        readers: dict[Node, list[Node]] = {node: [] for node in nodes}
        for node in nodes:
            for arg in dict.fromkeys(node.args):
                readers[arg].append(node)
        roots = set(graph.roots)
        self.dropped = {node.args[0] for node in nodes if dropout_of(node) is not None}
        self.names: dict[Node, str] = {}
        self.place: dict[Node, int] = {}
        formulas = Formulas(self.names, self.order, frozenset(a.name for n in nodes for a in n.axes))
        free = _free(nodes, {node for node, port in self.ports.items() if port.role == "number"})
        for port in graph.inputs:
            if port.role == "input":
                axes = f"{'' if port.type.dtype == 'float' else port.type.dtype + ' '}{self.memory(port.layout)}"
                self.names[port.node] = port.name
                self.place[port.node] = self.add(Box("input", port.name, [], axes))
        for node in nodes:
            if node in self.ports or node in free or node.op == "item":
                continue
            if not self.has_box(node, readers[node], roots, formulas, graph):
                continue
            self.box(node, readers[node], formulas, graph)
        for output in graph.outputs:
            name = output.name if len(graph.outputs) > 1 or output.name != "result" else "result"
            self.leaves(Box("result", name, [], self.memory(output.layout)), output.node, formulas)
        for update in graph.updates:
            self.leaves(Box("update", f"update {update.buffer}", [], ""), update.node, formulas)
        for penalty in graph.penalties:
            self.leaves(Box("update", f"penalty {penalty.name}", [], ""), penalty.node, formulas)

    def has_box(self, node: Node, readers: list[Node], roots: set[Node], formulas: Formulas, graph: Graph) -> bool:
        if isinstance(node.attrs, (Member, Scan, Call)):
            return True
        if dropout_of(node) is not None:
            return True
        if _is_renaming(node) or any(reader in self.dropped for reader in (node, *readers)):
            return False
        row = OPS.get(node.op)
        reduces = row is not None and row.form != "elementwise"
        if node in graph.notes.names or reduces or node.op in ("random", "accumulate"):
            return True
        if node in roots or len(readers) != 1:
            return True
        reader = readers[0]
        inside = sum(arg is node for arg in reader.args)
        return inside > 1 or len(formulas.of(reader)) > SHORT or isinstance(reader.attrs, (Member, Scan, Call))

    def box(self, node: Node, readers: list[Node], formulas: Formulas, graph: Graph) -> None:
        attrs = node.attrs
        if isinstance(attrs, Member):
            box = self.member(attrs)
            if len(node.args) > 1:  # which argument is which
                given = ", ".join(formulas.text(arg)[0] for arg in node.args)
                box.lines = wrapped(f"{box.lines[0]}({given})", LINE)
            place = self.add(box)
            for position, arg in enumerate(node.args):
                before = len(self.picture.lines)
                self.connect(place, (arg,))
                self.picture.entry.update(dict.fromkeys(self.picture.lines[before:], position))
            items = [reader for reader in readers if reader.op == "item"]
            own = attrs.path.split(".")[-1]
            base = attrs.path if own.isdigit() else own
            box.gives = "; ".join(self.axes(item.type) for item in sorted(items, key=lambda item: str(item.attrs)))
            for item in items:
                self.results(item, graph, base if len(attrs.types) == 1 else f"{base} {item.attrs}")
            if (known := ", ".join(self.names[item] for item in items)) != base:
                box.gives = f"{known} {box.gives}"
            return
        if isinstance(attrs, (Scan, Call)):
            title = f"scan {attrs.axis.name}{' reverse' * attrs.reverse}" if isinstance(attrs, Scan) else attrs.body.name
            word = "from step to step" if isinstance(attrs, Scan) else "a function with a derivative of its own"
            box = Box("layer", title, [word])
            self.connect(self.add(box), node.args)
            items = [reader for reader in readers if reader.op == "item"]
            box.gives = "; ".join(self.axes(item.type) for item in sorted(items, key=lambda item: str(item.attrs)))
            for item in items:
                self.results(item, graph, self.fresh(title))
            return
        formula = formulas.of(node)
        name = graph.notes.names.get(node)
        row = OPS.get(node.op)
        reduces = row is not None and row.form != "elementwise"
        draws = isinstance(attrs, Random) or dropout_of(node) is not None
        kind = "reduction" if reduces else "random" if draws else "operation"
        shown = self.fresh(name or _word(node)) if name or readers else ""
        box = Box(kind, shown, wrapped(formula, LINE), self.axes(node.type))
        place = self.add(box)
        self.connect(place, node.args)
        self.names[node] = shown
        self.place[node] = place

    def results(self, item: Node, graph: Graph, name: str) -> None:
        """What a sub-layer gives is known by the name that the source gives it, else by the sub-layer's."""
        self.names[item] = self.fresh(graph.notes.names.get(item, name))
        self.place[item] = len(self.picture.boxes) - 1

    def member(self, attrs: Member) -> Box:
        inner = self.package.modules[self.inner_key(attrs.path)]
        box = Box("layer", attrs.path, [inner.name if attrs.method == "forward" else f"{inner.name}.{attrs.method}"])
        if self.depth > 0:
            box.inner = _Drawing(self.package, inner, attrs.method, self.mode, self.depth - 1).picture
        return box

    def inner_key(self, path: str) -> str:
        for child in self.module.children:
            for place, key in enumerate(child.modules):
                if path == (f"{child.name}.{place}" if child.is_list else child.name):
                    return key
        raise AssertionError(path)

    def leaves(self, box: Box, node: Node, formulas: Formulas) -> None:
        """A result: a line from the box that holds it, or its formula where it has none."""
        place = self.add(box)
        if node not in self.place:
            box.lines = wrapped(formulas.text(node)[0], LINE)
        self.connect(place, (node,))

    # -- boxes and lines -----------------------------------------------------------------------------------------
    def add(self, box: Box) -> int:
        self.picture.boxes.append(box)
        return len(self.picture.boxes) - 1

    def connect(self, place: int, args: Iterable[Node]) -> None:
        """Lines from every box that the nodes read, directly or through what has no box, and params at the side."""
        stack, seen = list(reversed(list(args))), set()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in self.place:
                pair = (self.place[node], place)
                if pair not in self.picture.lines:
                    self.picture.lines.append(pair)
            elif node in self.ports:
                port = self.ports[node]
                axes = self.memory(port.layout) if port.layout else ""
                self.picture.boxes[place].sides.append(Side(port.name, port.role, axes))
            else:
                stack.extend(reversed(node.args))

    def fresh(self, name: str) -> str:
        taken = set(self.names.values())
        found, number = name, 1
        while found in taken:
            number += 1
            found = f"{name}{number}" if not name[-1:].isdigit() else f"{name}.{number}"
        return found

    # -- axes ----------------------------------------------------------------------------------------------------
    def order(self, axes: Iterable[Axis]) -> list[str]:
        places = self.axis_order
        ordered = sorted(axes, key=lambda axis: (axis.name != LEADING, places.get(axis, len(places)), axis.name))
        return [axis.name for axis in ordered]

    def axes(self, type_: Type) -> str:
        """`[n, c=64, 3*d]`: names, with their sizes where these say more than the name."""
        by_name = {axis.name: axis for axis in type_.axes}
        return f"[{', '.join(self.axis(by_name[name]) for name in self.order(type_.axes))}]"

    def axis(self, axis: Axis) -> str:
        text = str(axis.size).replace(" ", "")
        if text == axis.name:
            return axis.name
        if len(text) <= BESIDE:
            return f"{axis.name}={text}"
        self.picture.where[axis.name] = str(axis.size)
        return axis.name

    def memory(self, layout: Layout) -> str:
        """Axes as they lie in memory; a dimension that is split stands in brackets."""
        dims = [" ".join(self.axis(axis) for axis in dim) for dim in layout]
        return f"[{', '.join(f'({text})' if len(dim) > 1 else text for text, dim in zip(dims, layout, strict=True))}]"


def _axis_order(graph: Graph, nodes: list[Node]) -> dict[Axis, int]:
    """Axes in the order in which they lie in the inputs, then the results, then the params."""
    layouts = [p.layout for p in graph.inputs if p.role == "input"]
    layouts += [o.layout for o in graph.outputs] + [p.layout for p in graph.inputs if p.role != "input"]
    found = dict.fromkeys(axis for layout in layouts for axis in flat(layout))
    for node in nodes:
        found.update(dict.fromkeys(sorted(node.axes, key=lambda axis: axis.name)))
    return {axis: place for place, axis in enumerate(found)}


def _is_renaming(node: Node) -> bool:
    """A read that only gives axes other names."""
    return isinstance(node.attrs, Read) and all(index.op == "iota" for index in node.args[1:]) and all(
        at.border == "trust" for at in node.attrs.at)


def _free(nodes: list[Node], numbers: set[Node]) -> set[Node]:
    """What depends on sizes and numbers alone: written where it is read."""
    found: set[Node] = set(numbers)
    for node in nodes:
        if node.op in ("const", "size", "iota") or (node.args and node.op != "random" and all(arg in found for arg in node.args)):
            found.add(node)
    return found


def _word(node: Node) -> str:
    """What a value without a name is called."""
    words = {"add": "sum", "sub": "difference", "mul": "product", "div": "quotient", "ipow": "power", "read": "part",
             "sum": "total", "where": "choice", "maximum": "larger", "minimum": "smaller"}
    return words.get(node.op, node.op)

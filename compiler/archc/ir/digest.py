"""A graph's canonical digest: equal for graphs that differ in names or order alone, different otherwise.

What has only a name (axes, size symbols, the serial numbers of random draws) is called an atom here. Atoms get colours from
where they occur: places in the inputs' layouts first, then the nodes around them, over and over until no more of them can be
told apart (colour refinement). Atoms that are still alike are chosen one by one, the choice that gives the least colouring
first; where they are interchangeable every choice gives the same. Commutative operands are sorted by colour. Names of ports
do not count; their positions do, among those of one role. Messages, names and places do not count.

Two ways of saying one thing have one digest: what the builder has one form of; an operation that the language has no name for,
and its meaning; an output that is repeated along an axis of its layout, or that the layout says is; a symbol that is defined as
an exact quotient, or the quotient with a check that it is exact; a loop whose steps hold values along its axis, or along another.
"""

from __future__ import annotations

import math
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from archc.checker.sizes import FloorDiv, Largest, Size, Symbol
from archc.checker.types import Axis, Layout, Type, layout_of
from archc.ir.apart import apart
from archc.ir.build import normal
from archc.ir.entry import graph_symbols
from archc.ir.equal_sizes import never_negative
from archc.ir.graph import (
    Accumulate,
    Call,
    Check,
    Fourier,
    Graph,
    Library,
    Matrix,
    Member,
    Node,
    Output,
    Random,
    Read,
    Scan,
    Table,
    change_inside,
    inside,
    topological,
)
from archc.ir.graph import node as make
from archc.ir.meaning import meaning
from archc.ir.text import axes_of
from archc.ops.table import OPS

VERSION = "archc-digest-2"


@dataclass(frozen=True)
class Serial:
    """The number that tells a random draw, or a stateful call, from others."""

    number: int


Atom = Axis | Serial | str  # a str is a size symbol
Colours = Mapping[Atom, str]
_Occurrences = dict[Atom, list[str]]


def digest(graph: Graph) -> str:
    """32 hexadecimal digits that identify the graph up to names and order."""
    graph = _merged(_plain(_normal(apart(graph))))
    colours = _refined(graph, _start(graph))
    while (tied := _tied(colours)):
        colours = min((_refined(graph, {**colours, atom: _mix("chosen", colours[atom])}) for atom in tied),
                      key=lambda c: sorted(c.values()))
    return blake2b(_summary(graph, colours).encode(), digest_size=16).hexdigest()


def _plain(graph: Graph) -> Graph:
    """The graph without what its layouts say already, ports in order of their roles, definitions turned into checks."""
    def bare(root: Node) -> Node:
        return root.args[0] if root.op == "expand" else root

    order = ("input", "number", "param", "buffer")
    exact = (Check(d.whole, Size.symbol(d.symbol) * d.part, "equal", "") for d in graph.definitions)
    return replace(
        graph.with_roots(map(bare, graph.roots)),
        inputs=tuple(sorted(graph.inputs, key=lambda port: order.index(port.role))),
        checks=(*graph.checks, *exact),
    )


def _normal(graph: Graph) -> Graph:
    """The graph as the builder has it, without operations that have no words."""
    new: dict[Node, Node] = {}
    for current in topological(graph.roots):
        made = normal(current.op, tuple(new[arg] for arg in current.args), change_inside(current, _normal), current.type)
        row = OPS.get(made.op)
        new[current] = (row is not None and row.value is not None and row.language == "" and meaning(made)) or made
    return graph.with_roots(new[root] for root in graph.roots)


def _merged(graph: Graph) -> Graph:
    """The graph with `x + y` and `y + x` one node: how often a value is there must not depend on how it was written."""
    named = _Colouring(graph, {atom: repr(atom) for atom in _atoms(graph)}).down
    first: dict[str, Node] = {}
    new: dict[Node, Node] = {}
    for current in topological(graph.roots):
        rebuilt = make(current.op, map(new.__getitem__, current.args), change_inside(current, _merged), current.type)
        new[current] = first.setdefault(named[current], rebuilt)
    return graph.with_roots(new[root] for root in graph.roots)


def _mix(*parts: object) -> str:
    return blake2b(repr(parts).encode(), digest_size=10).hexdigest()


def _tied(colours: Colours) -> list[Atom]:
    """Atoms of the first colour that several have, in an order that does not matter."""
    count = Counter(colours.values())
    colour = min((c for c, n in count.items() if n > 1), default=None)
    return [atom for atom, c in colours.items() if c == colour]


def _start(graph: Graph) -> dict[Atom, str]:
    """Colours by place in the ports' layouts and among the numbers, before any node is looked at."""
    atoms: dict[Atom, list[str]] = {atom: [] for atom in _atoms(graph)}
    for i, port in enumerate(graph.inputs):
        for axis, place in _places(port.layout):
            atoms[axis].append(_mix("port", i, place))
    for i, number in enumerate(graph.numbers):
        if number in atoms:
            atoms[number].append(_mix("number", i))
    return {atom: _mix(type(atom).__name__, sorted(found)) for atom, found in atoms.items()}


def _atoms(graph: Graph) -> dict[Atom, None]:
    found: dict[Atom, None] = dict.fromkeys(axes_of(graph))
    used = (d.whole.symbols | d.part.symbols for d in graph.definitions)
    defined = {d.symbol for d in graph.definitions}
    found.update(dict.fromkeys(sorted(graph_symbols(graph).union(graph.numbers, *used) - defined)))
    for node in topological(graph.roots):
        if isinstance(node.attrs, Random | Member):
            found.setdefault(Serial(node.attrs.serial))
        for inner in _inside(node):
            found.update(_atoms(inner))
    return found


def _body(library: Library) -> Graph:
    return Graph(library.kind, (), (Output("result", library.body, ()),))


def _inside(node: Node) -> tuple[Graph, ...]:
    """The graphs that a node carries."""
    return (_body(node.attrs),) if isinstance(node.attrs, Library) else inside(node)


def _places(layout: Layout) -> Iterable[tuple[Axis, tuple[int, int]]]:
    for i, dim in enumerate(layout):
        for j, axis in enumerate(dim):
            yield axis, (i, j)


def _refined(graph: Graph, colours: dict[Atom, str]) -> dict[Atom, str]:
    """Colours that no further look at the graph tells apart."""
    while len(classes := set(colours.values())) < len(colours):
        occurrences: _Occurrences = defaultdict(list)
        _Colouring(graph, colours).occurrences(occurrences, "root")
        new = {atom: _mix(colour, sorted(occurrences[atom])) for atom, colour in colours.items()}
        if len(set(new.values())) == len(classes):
            return new
        colours = new
    return colours


def _summary(graph: Graph, colours: Colours) -> str:
    return _mix(VERSION, _Colouring(graph, colours).colour)


class _Colouring:
    """The colours of a graph's nodes, for given colours of its atoms."""

    def __init__(self, graph: Graph, colours: Colours, around: _Colouring | None = None, ports: Sequence[object] = ()) -> None:
        self.graph, self.atoms, self.around = graph, colours, around
        self.ports = {port.name: ports[i] if ports else i for i, port in enumerate(graph.inputs)}
        self.defined: dict[str, Size] = dict(around.defined) if around else {}
        for d in graph.definitions:
            self.defined[d.symbol] = d.whole // d.part
        for _ in graph.definitions:  # one may be made of others
            self.defined = {symbol: size.substitute(self.defined) for symbol, size in self.defined.items()}
        self.equal = [(c.left.substitute(self.defined), c.right.substitute(self.defined)) for c in graph.checks
                      if c.relation == "equal"]
        self.sizes: dict[Size, str] = {}
        self.inner: dict[tuple[Graph, tuple[object, ...]], _Colouring] = {}
        self.down: dict[Node, str] = {}
        for node in topological(graph.roots):
            self.down[node] = _mix(node.op, self.attrs(node), self.operands(node), self.type(node.type))
        self.colour = _mix(
            self.inputs(),
            [(self.layout(o.layout), self.down[o.node]) for o in graph.outputs],
            sorted((self.ports.get(u.buffer, u.buffer), self.down[u.node]) for u in graph.updates),
            [(self.layout(p.layout), self.down[p.node]) for p in graph.penalties],
            [self.atoms[number] for number in graph.numbers if number in self.atoms],
            sorted({self.check(c.left, c.right, c.relation) for c in graph.checks} - {""}),
            sorted((self.atoms[axis], self.size(axis.size)) for axis in axes_of(graph)))

    def inputs(self) -> list[object]:
        """The colours of the inputs: in order, or as a set where they have colours of their own."""
        found = [(self.ports[port.name], port.role, port.type.dtype, self.layout(port.layout)) for port in self.graph.inputs]
        return sorted(found, key=repr)

    # -- parts -----------------------------------------------------------------------------------------------
    def check(self, left: Size, right: Size, relation: str, mark: str | None = None) -> str:
        """By the difference of the two sizes; "" for a check that always holds."""
        difference = (left - right).substitute(self.defined)
        if difference.constant == 0 or (relation == "at least" and never_negative(difference, self.equal)):
            return ""
        signs = [difference, -difference] if relation == "equal" else [difference]
        return _mix(relation, sorted(self.size(size, mark) for size in signs))

    def said(self, check: Check) -> tuple[str, frozenset[Size]]:
        """What a check says, the same however it is written."""
        difference = (check.left - check.right).substitute(self.defined)
        return check.relation, frozenset({difference, -difference} if check.relation == "equal" else {difference})

    def axes(self, axes: Iterable[Axis]) -> list[str]:
        return sorted(self.atoms[axis] for axis in axes)

    def layout(self, layout: Layout) -> list[list[str]]:
        """The colours of a layout. Inside a call nothing lies in memory, so there it is a set."""
        found = [[self.atoms[axis] for axis in dim] for dim in layout]
        return sorted([axis] for dim in found for axis in dim) if self.around else found

    def drawn(self, random: Random) -> list[str]:
        """The axes of a draw: as a set where every element is drawn alike, else in order."""
        return [self.atoms[axis] for axis in random.axes] if random.kind in ("orthogonal", "sparse") else self.axes(random.axes)

    def type(self, type: Type) -> tuple[str, list[str]]:
        return type.dtype, self.axes(type.axes)

    def size(self, size: Size, mark: str | None = None) -> str:
        """The colour of a size; with one symbol marked, it tells the places of that symbol in it."""
        if mark is None and size in self.sizes:
            return self.sizes[size]
        plain = size.substitute(self.defined)
        terms: list[tuple[list[str], int]] = []
        for monomial, coefficient in plain.terms:
            factors = []
            for atom in monomial:
                if isinstance(atom, Symbol):
                    factors.append("marked" if atom.name == mark else self.atoms[atom.name])
                elif isinstance(atom, FloorDiv):
                    factors.append(_mix("//", self.size(atom.numerator, mark), self.size(atom.denominator, mark)))
                elif isinstance(atom, Largest):
                    factors.append(_mix("max", sorted((self.size(atom.left, mark), self.size(atom.right, mark)))))
            terms.append((sorted(factors), coefficient))
        found = _mix(sorted(terms))
        if mark is None:
            self.sizes[size] = found
        return found

    def symbols(self, size: Size) -> frozenset[str]:
        return size.substitute(self.defined).symbols

    def nested(self, graph: Graph, ports: tuple[object, ...] = ()) -> _Colouring:
        """The colouring of a graph inside, whose inputs have these colours; by default, their positions."""
        if (graph, ports) not in self.inner:
            self.inner[graph, ports] = _Colouring(graph, self.atoms, self, ports)
        return self.inner[graph, ports]

    def step(self, node: Node, scan: Scan) -> _Colouring:
        """The body of a scan. What it reads from outside has no order, so there an input has the colour of its operand."""
        ports = [(role, self.down[arg]) if isinstance(role, str) else role
                 for arg, role in zip(node.args, self.roles(node), strict=True)]
        return self.nested(scan.body, (*ports, *["step"] * scan.step))

    def attrs(self, node: Node) -> object:
        """The colour of what a node says beside its operands."""
        attrs = node.attrs
        if node.op == "input":
            return self.ports.get(str(attrs), attrs)
        if isinstance(attrs, Axis):
            return self.atoms[attrs]
        if isinstance(attrs, frozenset):
            return self.axes(attrs)
        if isinstance(attrs, Size):
            return self.size(attrs)
        if isinstance(attrs, Table):
            return [self.atoms[axis] for axis in attrs.axes], attrs.shape, attrs.data.hex()
        if isinstance(attrs, Matrix):
            return self.atoms[attrs.rows], self.atoms[attrs.columns]
        if isinstance(attrs, Read):
            return "read"  # its axes stand with the operands
        if isinstance(attrs, Accumulate):
            return self.axes(attrs.keep)
        if isinstance(attrs, Fourier):
            return attrs.norm, self.axes(attrs.over), [self.atoms[axis] for axis in attrs.half or ()]
        if isinstance(attrs, Random):
            return attrs.kind, self.drawn(attrs), self.atoms[Serial(attrs.serial)]
        if isinstance(attrs, Call):
            names = [port.name for port in attrs.body.inputs]
            places = [names.index(name) for name in attrs.wrt], sorted(names.index(name) for name in attrs.stopped)
            return self.nested(attrs.body).colour, self.nested(attrs.vjp).colour, places, attrs.surrogate
        if isinstance(attrs, Scan):
            return self.atoms[attrs.axis], attrs.reverse, attrs.states, attrs.step, self.step(node, attrs).colour
        if isinstance(attrs, Member):
            return (attrs.path, attrs.method, attrs.state, [self.layout(layout) for layout in (*attrs.layouts, *attrs.results)],
                    [self.type(t) for t in attrs.types], self.atoms[Serial(attrs.serial)])
        if isinstance(attrs, Library):
            return attrs.kind, self.nested(_body(attrs)).colour
        if isinstance(attrs, float):
            return struct.pack("<d", attrs if attrs == attrs else math.nan).hex()
        return attrs.__class__.__name__, attrs

    def operands(self, node: Node) -> list[tuple[str, object]]:
        """The colour of each operand with its role; sorted where the order does not count."""
        found = [(self.down[arg], role) for arg, role in zip(node.args, self.roles(node), strict=True)]
        return sorted(found, key=repr)

    def roles(self, node: Node) -> list[object]:
        """What each operand is to the node: its place; for an index, the axis and border, since indices are a set."""
        if isinstance(node.attrs, Read | Accumulate):
            indices: list[object] = [(self.atoms[at.axis], at.border) for at in node.attrs.at]
            return ["operand", *indices, *["fill"] * (len(node.args) - 1 - len(indices))]
        if isinstance(node.attrs, Scan):
            sequences, constants = node.attrs.sequences, len(node.args) - node.attrs.states - node.attrs.sequences
            return [*range(node.attrs.states), *["sequence"] * sequences, *["constant"] * constants]
        if node.op in OPS and OPS[node.op].commutes:
            return ["any"] * len(node.args)
        return list(range(len(node.args)))

    # -- occurrences -----------------------------------------------------------------------------------------
    def occurrences(self, found: _Occurrences, context: str) -> None:
        """For every atom, the colours of the places where it occurs, seen from below and from above."""
        graph = self.graph
        up: dict[Node, list[str]] = {node: [] for node in self.down}
        for port in graph.inputs:
            for axis, place in _places(port.layout):
                found[axis].append(_mix(context, "port", self.ports[port.name], None if self.around else place))
        for kind, outputs in (("output", graph.outputs), ("penalty", graph.penalties)):
            for i, output in enumerate(outputs):
                up[output.node].append(_mix(kind, i))
                for axis, place in _places(output.layout):
                    found[axis].append(_mix(context, kind, i, None if self.around else place))
        for update in graph.updates:
            up[update.node].append(_mix("update", self.ports.get(update.buffer)))
        # Checks that say one thing count once, and those that say nothing not at all. Not by colour: sizes may be alike still.
        said = {self.said(c): c for c in graph.checks if self.check(c.left, c.right, c.relation)}
        for check in said.values():
            for symbol in self.symbols(check.left - check.right):
                found[symbol].append(self.check(check.left, check.right, check.relation, symbol))
        for axis in axes_of(graph):
            found[axis].append(_mix("size", self.size(axis.size)))
            for symbol in self.symbols(axis.size):
                found[symbol].append(_mix("axis", self.atoms[axis], self.size(axis.size, symbol)))
        for node in reversed(list(self.down)):
            here = _mix(context, self.down[node], sorted(up[node]))
            for arg, role in zip(node.args, self.roles(node), strict=True):
                up[arg].append(_mix(here, role))
            self.node_occurrences(node, here, found)
            if isinstance(node.attrs, Scan):
                self.step(node, node.attrs).occurrences(found, here)
                continue
            for rank, inner in enumerate(_inside(node)):
                self.nested(inner).occurrences(found, _mix(here, rank))

    def node_occurrences(self, node: Node, here: str, found: _Occurrences) -> None:
        attrs = node.attrs
        for axis in node.axes:
            found[axis].append(_mix(here, "type"))
        if isinstance(attrs, Axis):
            found[attrs].append(_mix(here, "iota"))
        elif isinstance(attrs, Scan):
            found[attrs.axis].append(_mix(here, "along"))
        elif isinstance(attrs, frozenset):
            for axis in attrs:
                found[axis].append(_mix(here, "over"))
        elif isinstance(attrs, Table):
            for rank, axis in enumerate(attrs.axes):
                found[axis].append(_mix(here, rank))
        elif isinstance(attrs, Matrix):
            found[attrs.rows].append(_mix(here, "rows"))
            found[attrs.columns].append(_mix(here, "columns"))
        elif isinstance(attrs, Fourier):
            for axis in attrs.over:
                found[axis].append(_mix(here, "over"))
            for end, axis in zip(("time", "frequency"), attrs.half or (), strict=False):
                found[axis].append(_mix(here, end))
        elif isinstance(attrs, Read | Accumulate):
            for at, index in zip(attrs.at, node.args[1:], strict=False):
                found[at.axis].append(_mix(here, at.border, self.down[index]))
        elif isinstance(attrs, Size):
            for symbol in self.symbols(attrs):
                found[symbol].append(_mix(here, self.size(attrs, symbol)))
        elif isinstance(attrs, Random | Member):
            found[Serial(attrs.serial)].append(here)
            layouts = (layout_of(attrs.axes),) if isinstance(attrs, Random) else (*attrs.layouts, *attrs.results)
            alike = isinstance(attrs, Random) and attrs.kind not in ("orthogonal", "sparse")
            for i, layout in enumerate(layouts):
                for axis, place in _places(layout):
                    found[axis].append(_mix(here, i, None if alike else place))

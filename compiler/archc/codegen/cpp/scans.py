"""From a group with loops to its C++ kernel: all steps at one place of the parallel axes, the states in memory of the thread.

A step is done in sweeps, as other groups are: a sweep computes what depends on the reductions before it, adds up its own, and
stores states and results. A state is overwritten as soon as its new value is known; where somebody still needs the old one, the
new value lies beside it until the step ends. A loop in a step is a loop in C++.

    for t:   for k, v: w[v] += key[k] * S[k, v]
             for v:    w[v] -= val[v]
             for k, v: S[k, v] -= beta * key[k] * w[v];  y[v] += q[k] * S[k, v]

A loop and the one that goes back through it, as derivatives have them, are one kernel. It keeps the states of every 32nd step,
and does a chunk's steps again before it goes back through them.

An axis along which all steps are independent holds the lanes, in blocks of constant width, so that sums along other axes stay in
registers. Results that are sums over it are added up block after block; see `scan_axes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from archc.checker.sizes import Size, product
from archc.checker.types import Axis, flat
from archc.codegen.cpp.form import Array, Expr, Fill, Kernel, Lanes, Local, Statement, Store, parts, verify
from archc.codegen.cpp.lower import ALONE, CHUNKS, USED, arrays_of, degree, symbols_of
from archc.codegen.cpp.scan_axes import Kind, is_zero, kinds
from archc.codegen.cpp.scan_steps import CHUNK, Body
from archc.codegen.cpp.scan_sweeps import NARROW, WIDTH, Key, Known, Lies, Overwritten
from archc.codegen.groups import Order, one_order, orders_of
from archc.codegen.torch.names import Names
from archc.diagnostics.model import CompilerBug
from archc.ir import build
from archc.ir.graph import Accumulate, Borders, Graph, Node, Read, Scan, inside, node, rewrite, topological
from archc.ops.table import DType
from archc.passes.base import also_inside

ROWS = 4
"""Places that are done together where no axis serves for lanes: what is read for one is read for all."""


@dataclass(frozen=True)
class Chunks:
    """The axis of a loop, cut: which chunk, which step of it."""

    chunk: Axis
    step: Axis


def lower(group: Graph, name: str, doc: str) -> Kernel:
    """The kernel of a group with loops, in operations that C++ has."""
    group, apart = _placed(group), set[Key]()
    while True:
        try:
            return Lowering(group, name, doc, apart).kernel()
        except Overwritten as found:
            if found.key is None or found.key in apart:
                raise CompilerBug(f"kernel {name} needs {found.array} after it was overwritten") from None
            apart.add(found.key)


@also_inside
def _placed(graph: Graph) -> Graph:
    """The graph with reads that stay inside, and with a choice in place of each `accumulate`."""
    def rule(current: Node) -> Node | None:
        attrs = current.attrs
        if isinstance(attrs, Accumulate):
            value = build.expand(current.args[0], attrs.keep)
            for at, place in zip(attrs.at, current.args[1:], strict=True):
                zero = build.const(0.0 if value.type.dtype == "float" else 0)
                value = build.apply("where", build.apply("eq", build.iota(at.axis), place), value, zero)
            return build.expand(value, current.axes)
        if not isinstance(attrs, Read) or all(at.border == "trust" for at in attrs.at):
            return None
        places: dict[Axis, tuple[Node, Borders]] = {}
        met: Node | None = None
        for at, place in zip(attrs.at, current.args[1:], strict=False):
            size, first = build.size(at.axis.size), build.const(0)
            if at.border == "fill":
                here = build.apply("and", build.apply("ge", place, first), build.apply("lt", place, size))
                met = here if met is None else build.apply("and", met, here)
            if at.border == "wrap":
                place = build.apply("mod", place, size)
            elif at.border != "trust":
                place = build.apply("minimum", place, build.apply("sub", size, build.const(1)))
                place = build.apply("maximum", place, first)
            places[at.axis] = place, "trust"
        value = build.read(current.args[0], places)
        return build.expand(value if met is None else build.apply("where", met, value, current.args[-1]), current.axes)

    return rewrite(graph, rule)


class Lowering:
    """What all steps share: axes, names and memory."""

    def __init__(self, graph: Graph, name: str, doc: str, apart: set[Key]) -> None:
        self.graph, self.name, self.doc, self.apart = graph, name, doc, apart
        axes = dict.fromkeys(sorted(_axes(graph), key=lambda axis: axis.name))
        laid = one_order(orders_of(graph))
        self.own = _of_states(graph)
        cut = {axis: found for axis in axes if (found := kinds(graph, axis)) is not None}
        yields = [place for place, root in enumerate(graph.roots) if not _is_last(root)]
        self.lane = max((axis for axis in laid if axis in cut), default=None,
                        key=lambda axis: self._worth(axis, cut[axis], yields))
        bound = [axis for axis in laid if axis not in cut and axis not in _loops(graph)]
        self.rows = bool(self.lane and bound and not self._worth(self.lane, cut[self.lane], yields)[0])
        self.width = ROWS if self.rows else WIDTH
        self.parallel = frozenset(axis for axis, found in cut.items()
                                  if axis != self.lane and all(found[place] != "part" for place in yields))
        self.parts = {root for place, root in enumerate(graph.roots)
                      for axis in (*self.parallel, *((self.lane,) if self.lane else ())) if cut[axis][place] == "part"}
        inner = [axis for axis in (*(axis for axis in axes if axis not in laid), *laid) if axis != self.lane]
        lane = (self.lane,) if self.lane else ()
        self.order = (*lane, *inner) if self.rows else (*inner, *lane)
        self.tiled: Axis | None = None
        self.turned: dict[tuple[str, Axis], Lies] = {}
        self.first: list[Statement] = []
        self.names = Names([name, *(p.name for p in graph.inputs), *(o.name for o in graph.outputs), *USED])
        self.variables = {axis: self.names.fresh(axis.name) for axis in self.order}
        self.lanes: int | str = self.width if self.rows or not self.lane else f"{self.variables[self.lane]}_lanes"
        self.together = self.lane is None or all(cut[self.lane][place] != "part" for place in yields)
        self.running: set[Axis] = set()
        self.scratch: list[Array] = []
        self.holds: dict[str, Lies] = {}
        self.keys: dict[str, Key] = {}
        self.dtypes: dict[str, DType] = {}
        self.chunks: dict[Axis, Chunks] = {}
        self.cut: set[Axis] = set()

    def _worth(self, axis: Axis, found: Sequence[Kind], yields: Sequence[int]) -> tuple[bool, bool, float]:
        """How well an axis serves for lanes: neighbours in memory are lanes; an axis of a state is there for every step, where
        places of others may be few; and what is not a sum over lanes is done at once."""
        innermost = sum(order[-1:] == (axis,) for order in orders_of(self.graph))
        parts = sum(found[place] == "part" for place in yields)
        return innermost > 0, axis in self.own and (axis.size.constant or WIDTH) > 4, innermost - 1.5 * parts

    # -- the whole -----------------------------------------------------------------------------------------------
    def kernel(self) -> Kernel:
        graph = self.graph
        lies: dict[Node, Known] = {
            p.node: Expr("name", (), p.name, (), p.type.dtype) if p.role == "number"
            else Lies(p.name, flat(p.layout), False) for p in graph.inputs}
        before: list[Fill] = []
        summed: list[tuple[str, Array]] = []
        targets: dict[Node, list[Lies]] = {}
        rest: dict[Node, list[Lies]] = {}
        starts: dict[Node, Node] = {}
        known = dict(lies)
        for output in graph.outputs:
            root, axes = output.node, flat(output.layout)
            if root in self.parts and _is_last(root):
                whole = Array(self.names.fresh(f"{output.name}_sum"), root.type.dtype, root.type.count)
                summed.append(("sum", whole))
                starts[root] = root.args[0].args[root.attrs]  # type: ignore[index]
                targets.setdefault(root, []).append(Lies(whole.name, axes, False, "sum"))
                total = node("input", (), whole.name, root.type)
                known[total] = Lies(whole.name, axes, False)
                final = total if is_zero(starts[root]) else build.apply("add", total, starts[root])
                rest.setdefault(final, []).append(Lies(output.name, axes, False))
                continue
            if root in self.parts:
                before.append(Fill(output.name, "sum", product(axis.size for axis in axes), root.type.dtype))
            targets.setdefault(root, []).append(Lies(output.name, axes, False, "sum" if root in self.parts else None))
        roots = {root: build.expand(build.const(0.0), root.axes) for root in starts}
        body = Body(self, lies, graph.notes, roots).statements(targets)
        inside = {part.array for block in parts(tuple(body)) if isinstance(block, Lanes)
                  for part in parts(block.body) if isinstance(part, (Fill, Store))}  # a block holds what is local by value
        local = [a for a in self.scratch if (a.count.constant or 1 << 30) <= 8 * WIDTH and a.name not in inside]
        heap = tuple(array for array in self.scratch if array not in local)
        body = [*(Local(array) for array in local), *body]
        loops = [(self.variables[axis], axis.size) for axis in self.order if axis in self.parallel]
        if self.lane:
            lane = self.variables[self.lane]
            narrow = 0 if self.rows else NARROW
            body = [*self.first, Lanes(lane, self.lane.size, self.width, tuple(body), loop=not self.together, narrow=narrow)]
            if self.together:
                loops.append((f"{lane}_block", (self.lane.size + (self.width - 1)) // self.width))
        else:
            body = [*self.first, *body]
        self.parallel, self.lane, self.scratch, self.holds = frozenset(), None, [], {}
        after = Body(self, known, graph.notes, {}).statements(rest) if rest else []
        made = Kernel(
            self.name, self.doc, *arrays_of(graph), symbols_of(graph, self.names),
            tuple(p.name for p in graph.inputs if p.role == "number"), tuple(loops), None, tuple(body),
            max((p.type.count for p in graph.inputs), key=degree, default=Size.of(1)), ALONE, CHUNKS if summed else None, heap,
            tuple(summed), tuple(after), tuple(self.scratch), tuple(before))
        verify(made)
        return made

    def chunked(self, axis: Axis) -> Chunks:
        """The axis of a loop in chunks of steps."""
        if axis not in self.chunks:
            names = [self.names.fresh(f"{self.variables[axis]}_{wish}") for wish in ("chunk", "step")]
            count = (axis.size + (CHUNK - 1)) // CHUNK
            found = self.chunks[axis] = Chunks(Axis(names[0], count), Axis(names[1], Size.of(CHUNK)))
            self.cut |= {found.chunk, found.step}
            self.variables |= {found.chunk: names[0], found.step: names[1]}
            self.order = (found.chunk, found.step, *self.order)
        return self.chunks[axis]

    def is_apart(self, lies: Lies) -> bool:
        """Whether nothing else may lie there: an attempt to put it there has failed."""
        return self.keys.get(lies.array) in self.apart

    # -- memory --------------------------------------------------------------------------------------------------
    def inner(self, axes: Iterable[Axis]) -> frozenset[Axis]:
        """Those axes that a sweep goes over here."""
        return frozenset(axes) - self.parallel - self.running - self.cut

    def ordered(self, axes: Iterable[Axis]) -> Order:
        found = frozenset(axes)
        return tuple(axis for axis in self.order if axis in found)

    def extent(self, axis: Axis) -> Size:
        """How many elements of an axis memory of a block holds."""
        if axis != self.lane:
            return axis.size
        return Size.of(self.lanes) if isinstance(self.lanes, int) else Size.symbol(self.lanes)

    def memory(self, wish: str, axes: Iterable[Axis], dtype: DType, key: Key | None = None) -> Lies:
        """Memory of a thread for a value with these axes."""
        order = self.ordered(frozenset(axes) - self.parallel)
        found = Lies(self.names.fresh(wish), order, True)
        if key is not None:
            self.keys[found.array] = key
        self.dtypes[found.array] = dtype
        most = product(Size.of(self.width) if axis == self.lane else axis.size for axis in order)
        self.scratch.append(Array(found.array, dtype, most))
        return found

    def index(self, lies: Lies, elsewhere: Mapping[Axis, str] | None = None) -> tuple[tuple[str, Size], ...]:
        """The place of an element; along some axes elsewhere than where the loops are."""
        found: list[tuple[str, Size]] = []
        stride = Size.of(1)
        for axis in reversed(lies.axes):
            if (axis == self.lane and not lies.inside) or axis == self.tiled:
                found.append((f"{self.variables[axis]}_first", stride))
            found.append(((elsewhere or {}).get(axis, self.variables[axis]), stride))
            stride = stride * (self.extent(axis) if lies.inside else axis.size)
        return tuple(reversed(found))


def _is_last(root: Node) -> bool:
    """Whether a result is the last value of a state."""
    scan = root.args[0].attrs if root.op == "item" else None
    return isinstance(scan, Scan) and isinstance(root.attrs, int) and root.attrs < scan.states


def _axes(graph: Graph) -> Iterator[Axis]:
    for current in topological(graph.roots):
        yield from current.axes
        if isinstance(current.attrs, Axis):
            yield current.attrs
        if isinstance(current.attrs, Scan):
            yield current.attrs.axis
        for body in inside(current):
            yield from _axes(body)


def _of_states(graph: Graph) -> set[Axis]:
    """The axes that states have, and not all that comes in at a step: those of a batch are in all of it."""
    found: set[Axis] = set()
    for current in topological(graph.roots):
        scan = current.attrs
        if isinstance(scan, Scan):
            ports = scan.body.inputs
            coming = [port.type.axes for port in ports[scan.states: scan.states + scan.sequences]]
            states = {axis for port in ports[: scan.states] for axis in port.type.axes}
            found |= {axis for axis in states if not all(axis in axes for axes in coming)}
            found |= _of_states(scan.body)
    return found


def _loops(graph: Graph) -> set[Axis]:
    """The axes along which loops go."""
    found: set[Axis] = set()
    for current in topological(graph.roots):
        if isinstance(current.attrs, Scan):
            found |= {current.attrs.axis, *_loops(current.attrs.body)}
    return found

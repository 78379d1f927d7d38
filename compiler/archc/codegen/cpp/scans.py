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

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Union

from archc.checker.sizes import Size, product
from archc.checker.types import Axis, flat
from archc.codegen.cpp.form import Array, Expr, Fill, For, Kernel, Lanes, Let, Local, Start, Statement, Store, verify, walk
from archc.codegen.cpp.lower import ALONE, CHUNKS, USED, _default, _degree, _tidy
from archc.codegen.cpp.scan_axes import Kind, is_zero, kinds
from archc.codegen.cpp.spelling import REDUCTIONS
from archc.codegen.groups import Order, one_order, orders_of
from archc.codegen.torch.names import Names
from archc.diagnostics.model import CompilerBug
from archc.ir import build
from archc.ir.graph import Accumulate, Borders, Graph, Node, Notes, Port, Read, Scan, inside, node, rewrite, topological, users
from archc.ops.table import OPS, DType
from archc.passes.base import also_inside
from archc.passes.group_loops import paired

CHUNK = 32
"""Steps between two states that are kept, where a loop is gone back: two of a kind lie in the cache by then."""

ROWS = 4
"""Places that are done together where no axis serves for lanes: what is read for one is read for all."""

WIDTH = 32
"""Lanes of a block: two registers of AVX-512, four of AVX2. With sums along other axes that is enough to hide their latency."""


@dataclass(frozen=True)
class _Chunks:
    """The axis of a loop, cut: which chunk, which step of it."""

    chunk: Axis
    step: Axis


@dataclass(eq=False)
class Lies:
    """Where a value lies: an array, its axes outermost first, whether a place has it for itself; `op`: parts are added there."""

    array: str
    axes: Order
    inside: bool
    op: str | None = None


Known = Union[Lies, Expr]
Key = tuple[int, ...]
"""Which loop's memory, and which of its states or yields: the same in every attempt."""


class _Overwritten(Exception):
    """What an array held is needed after another value took its place."""

    def __init__(self, array: str, key: Key | None) -> None:
        super().__init__(array)
        self.array, self.key = array, key


def lower(group: Graph, name: str, doc: str) -> Kernel:
    """The kernel of a group with loops, in operations that C++ has."""
    group, apart = _placed(group), set[Key]()
    while True:
        try:
            return _Lowering(group, name, doc, apart).kernel()
        except _Overwritten as found:
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


@dataclass
class _Nest:
    """Loops over some axes, with the statements of each depth; `last` come at the end of the innermost."""

    axes: Order
    blocks: list[list[Statement]]
    done: dict[Node, Expr] = field(default_factory=dict)
    sums: list[list[tuple[str, str]]] = field(default_factory=list)
    last: list[Statement] = field(default_factory=list)
    elsewhere: set[str] = field(default_factory=set)  # arrays that are read at other places


class _Lowering:
    """What all steps share: axes, names and memory."""

    def __init__(self, graph: Graph, name: str, doc: str, apart: set[Key]) -> None:
        self.graph, self.name, self.doc, self.apart = graph, name, doc, apart
        axes = dict.fromkeys(sorted(_axes(graph), key=lambda axis: axis.name))
        laid = one_order(orders_of(graph))
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
        self.together = self.lane is None or all(cut[self.lane][place] != "part" for place in yields)
        self.running: set[Axis] = set()
        self.scratch: list[Array] = []
        self.holds: dict[str, Lies] = {}
        self.keys: dict[str, Key] = {}
        self.dtypes: dict[str, DType] = {}
        self.chunks: dict[Axis, _Chunks] = {}
        self.cut: set[Axis] = set()

    def _worth(self, axis: Axis, found: Sequence[Kind], yields: Sequence[int]) -> tuple[bool, float]:
        """How well an axis serves for lanes: neighbours in memory are lanes, and what is not a sum over lanes is done at once."""
        innermost = sum(order[-1:] == (axis,) for order in orders_of(self.graph))
        return innermost > 0, innermost - 1.5 * sum(found[place] == "part" for place in yields)

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
        body = _Body(self, lies, graph.notes, roots).statements(targets)
        local = [array for array in self.scratch if (array.count.constant or 1 << 30) <= 8 * WIDTH]
        heap = tuple(array for array in self.scratch if array not in local)
        body = [*(Local(array) for array in local), *body]
        loops = [(self.variables[axis], axis.size) for axis in self.order if axis in self.parallel]
        if self.lane:
            lane = self.variables[self.lane]
            body = [*self.first, Lanes(lane, self.lane.size, self.width, tuple(body), loop=not self.together)]
            if self.together:
                loops.append((f"{lane}_block", (self.lane.size + (self.width - 1)) // self.width))
        else:
            body = [*self.first, *body]
        self.parallel, self.lane, self.scratch, self.holds = frozenset(), None, [], {}
        after = _Body(self, known, graph.notes, {}).statements(rest) if rest else []
        symbols = sorted({s for axis in self.order for s in axis.size.symbols} | set(_symbols(graph)))
        made = Kernel(
            self.name, self.doc, tuple(_array(p.name, p.type.dtype, flat(p.layout)) for p in graph.inputs if p.role != "number"),
            tuple(_array(o.name, o.node.type.dtype, flat(o.layout)) for o in graph.outputs),
            tuple((symbol, self.size_name(symbol)) for symbol in symbols),
            tuple(p.name for p in graph.inputs if p.role == "number"), tuple(loops), None, tuple(body),
            max((p.type.count for p in graph.inputs), key=_degree, default=Size.of(1)), ALONE, CHUNKS if summed else None, heap,
            tuple(summed), tuple(after), tuple(self.scratch), tuple(before))
        verify(made)
        return made

    def size_name(self, symbol: str) -> str:
        wish = "rows" if symbol == "..." else symbol
        return self.names.fresh(f"{wish}_size" if wish in self.names.visible else wish)

    def chunked(self, axis: Axis) -> _Chunks:
        """The axis of a loop in chunks of steps."""
        if axis not in self.chunks:
            names = [self.names.fresh(f"{self.variables[axis]}_{wish}") for wish in ("chunk", "step")]
            count = (axis.size + (CHUNK - 1)) // CHUNK
            found = self.chunks[axis] = _Chunks(Axis(names[0], count), Axis(names[1], Size.of(CHUNK)))
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
        return Size.of(self.width) if axis == self.lane else axis.size

    def memory(self, wish: str, axes: Iterable[Axis], dtype: DType, key: Key | None = None) -> Lies:
        """Memory of a thread for a value with these axes."""
        order = self.ordered(frozenset(axes) - self.parallel)
        found = Lies(self.names.fresh(wish), order, True)
        if key is not None:
            self.keys[found.array] = key
        self.dtypes[found.array] = dtype
        self.scratch.append(Array(found.array, dtype, product(self.extent(axis) for axis in order)))
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


@dataclass
class _Loop:
    """Where a loop keeps its states, and its yields that somebody reads."""

    states: list[Lies]
    yields: dict[int, Lies]
    path: Key


class _Body:
    """The statements of one step, or of a whole place: what a graph computes with values that lie somewhere."""

    def __init__(self, low: _Lowering, lies: dict[Node, Known], notes: Notes, zeros: Mapping[Node, Node],
                 path: Key = ()) -> None:
        self.low, self.lies, self.notes, self.zeros, self.path = low, lies, notes, zeros, path
        self.top = _Nest((), [[]])
        self.out: list[Statement] = []
        self.loops: dict[Node, _Loop] = {}

    def statements(self, targets: dict[Node, list[Lies]]) -> list[Statement]:
        """Computes values and stores them at their targets."""
        self.targets = targets
        self.reading = users(targets)
        self.pairs = {} if self.path else {back: there for there, back in paired(targets, self.reading)}
        for number, current in enumerate(reversed(list(topological(targets)))):
            if isinstance(current.attrs, Scan):
                self.loops[current] = self.plan(current, current.attrs, number)
        self.nodes = [n for n in topological(targets) if n not in self.lies]
        self.reading = users(targets)
        self.kept = self.worth_keeping()
        self.levels()
        self.later()
        for level in range(-1, max((*self.use.values(), *self.at.values()), default=0) + 1):
            for current in self.nodes:
                if current in self.loops and self.at[current] == level and current not in self.pairs.values():
                    self.loop(current)
            self.sweep(level)
        self.out += self.top.blocks[0]
        return self.out

    # -- what lies where -----------------------------------------------------------------------------------------
    def settled(self, current: Node) -> bool:
        """Whether a value lies somewhere, or is written where it is read."""
        return current in self.lies or not current.args or current.op == "item" or self.reduces(current)

    def reduces(self, current: Node) -> bool:
        """Whether something is added up here: a place has only itself along its own axes."""
        return current.op in REDUCTIONS and bool(self.low.inner(current.attrs))  # type: ignore[arg-type]

    def swept(self, reader: Node) -> frozenset[Axis]:
        return reader.args[0].axes if self.reduces(reader) else reader.axes

    def start(self, scan: Node, place: int) -> Node:
        """Where a state starts: sums of parts start from nothing."""
        for root, zero in self.zeros.items():
            if root.args[0] is scan and root.attrs == place:
                return zero
        return scan.args[place]

    def plan(self, current: Node, scan: Scan, number: int) -> _Loop:
        """Memory of a loop: that of what its results become, where there is such."""
        items = {n.attrs: n for n in self.reading[current] if isinstance(n.attrs, int)}
        notes, outputs = scan.body.notes.names, scan.body.outputs
        states = []
        for place, port in enumerate(scan.body.inputs[: scan.states]):
            free = [t for t in self.targets.get(items.get(place, current), ())
                    if t.inside and t.op is None and not self.low.is_apart(t)]
            key = (*self.path, number, place)
            wish = notes.get(outputs[place].node) or notes.get(port.node) or "state"
            lies = Lies(free[0].array, free[0].axes, True) if free else self.low.memory(
                wish.rsplit(".", 1)[-1], port.type.axes, port.type.dtype, key)
            states.append(lies)
            if free:
                self.targets[items[place]].remove(free[0])
            start = self.start(current, place)
            there = self.lies.get(start)
            if not (isinstance(there, Lies) and there.array == lies.array):
                self.targets.setdefault(start, []).append(lies)
        yields: dict[int, Lies] = {}
        chunks = self.low.chunked(scan.axis) if current in self.pairs.values() else None
        for place, item in items.items():
            if chunks:
                wish = self.notes.names.get(item, "steps").rsplit(".", 1)[-1]
                axes = self.low.inner(item.axes) - {scan.axis} | {chunks.step}
                yields[place] = self.low.memory(wish, axes, item.type.dtype, (*self.path, number, place))
            elif place >= scan.states:
                wanted = self.targets.get(item, [])
                free = [there for there in wanted if not self.low.is_apart(there)]
                if free:
                    yields[place] = free[0]
                    wanted.remove(free[0])
                else:
                    wish = notes.get(outputs[place].node) or self.notes.names.get(item, "steps")
                    yields[place] = self.low.memory(wish.rsplit(".", 1)[-1], self.low.inner(item.axes), item.type.dtype,
                                                       (*self.path, number, place))
        return _Loop(states, yields, (*self.path, number))

    def worth_keeping(self) -> set[Node]:
        """Values that are computed once and kept: what is read at other places or by a loop, and what a sweep over more axes
        would compute again and again."""
        found: set[Node] = set()
        costly: dict[Node, bool] = {}
        for current in self.nodes:
            row = OPS.get(current.op)
            costly[current] = not self.settled(current) and (
                bool(row and row.cost.special) or any(costly.get(arg, False) for arg in current.args))
            if current.op == "read" and not self.settled(current.args[0]):
                found.add(current.args[0])
            if isinstance(current.attrs, Scan):
                scan = current.attrs
                for place, arg in enumerate(current.args[scan.states:], scan.states):
                    sequence = place < scan.states + scan.sequences
                    stays = arg in self.lies or arg.op == "item" or self.reduces(arg)
                    if not stays and (sequence or self.low.inner(arg.axes)):
                        found.add(arg)
                continue
            whole = self.low.ordered(self.low.inner(current.axes.union(*(arg.axes for arg in current.args))))
            for arg in current.args:
                axes = self.low.inner(arg.axes)
                if axes and not self.settled(arg) and len(axes) < len(whole) and arg.op != "expand" and (
                        costly[arg] or whole[-1] in axes):
                    found.add(arg)
        return found

    def levels(self) -> None:
        """When each value is computed, and from when on it can be used."""
        self.at: dict[Node, int] = {}
        self.use: dict[Node, int] = {}
        for current in self.nodes:
            if current in self.loops:
                scan: Scan = current.attrs  # type: ignore[assignment]
                starts = []
                for place, lies in enumerate(self.loops[current].states):
                    start = self.start(current, place)
                    stored = any(there is lies for there in self.targets.get(start, ()))
                    starts.append(self.when(start) + stored)
                level = max((*starts, *(self.when(arg) for arg in current.args[scan.states:])), default=0)
            else:
                level = max((self.when(arg) for arg in current.args), default=0)
            self.at[current] = level
            self.use[current] = level + (current in self.kept or self.reduces(current))
        first = -1 if self.loops else 0  # a loop may overwrite what lies here now
        self.stores = {root: first if root in self.lies else self.use[root] if self.reduces(root) else self.at[root]
                       for root, there in self.targets.items() if there}

    def when(self, current: Node) -> int:
        return self.use.get(current, 0)

    def later(self) -> None:
        """Reductions wait for the last sweep over their axes that is early enough, and what overwrites a state for the last."""
        need = dict(self.stores)
        sweeps: dict[frozenset[Axis], set[int]] = {}
        for root, level in self.stores.items():
            for lies in self.targets[root]:
                sweeps.setdefault(self.low.inner(lies.axes), set()).add(level)
        for current in reversed(self.nodes):
            for reader in self.reading[current]:
                fixed = reader in self.kept or reader in self.loops or self.reduces(reader)
                level = self.at[reader] if fixed else need.get(reader, self.at[reader])
                need[current] = min(need.get(current, level), level)
            axes = self.low.inner(self.swept(current))
            if self.reduces(current):
                found = sweeps.setdefault(axes, set())
                self.at[current] = max((level for level in found if self.at[current] < level < need.get(current, 0)),
                                       default=self.at[current])
                found.add(self.at[current])
            elif current in self.kept:
                sweeps.setdefault(axes, set()).add(self.at[current])
        for root, there in self.targets.items():
            if any(lies.array in self.low.holds for lies in there) and self.stores[root] >= 0:
                levels = sweeps[self.low.inner(there[0].axes)]
                self.stores[root] = max(level for level in levels if level >= self.stores[root])

    # -- pairs of loops ------------------------------------------------------------------------------------------
    def there_and_back(self, current: Node, back: Node) -> None:
        """A loop whose steps another one needs in the other direction. The first time, only the states that each chunk of steps
        starts with are kept. Then, from the last chunk to the first, its steps are done again, and gone back.

        Memory grows with the number of chunks, and holds the values of one.
        """
        low, scan = self.low, current.attrs
        assert isinstance(scan, Scan)
        chunks, plan = low.chunked(scan.axis), self.loops[current]
        chunk, step, whole = low.variables[chunks.chunk], low.variables[chunks.step], scan.axis.size
        first, count, kept = (low.names.fresh(f"{low.variables[scan.axis]}_{wish}") for wish in ("first", "count", "kept"))
        saved = [low.memory(f"{lies.array}_start", (*lies.axes, chunks.chunk), port.type.dtype)
                 for lies, port in zip(plan.states, scan.body.inputs, strict=False)]

        def copied(sources: Sequence[Lies], goals: Sequence[Lies], ports: Sequence[Port]) -> Iterator[Statement]:
            for source, goal, lies, port in zip(sources, goals, plan.states, ports, strict=False):
                load = Expr("load", (), source.array, low.index(source), port.type.dtype)
                yield from self.nested(lies.axes, [Store(goal.array, low.index(goal), load)])

        def turns(number: Node, extent: str) -> For:
            at: Scan = number.attrs  # type: ignore[assignment]
            body = self.turn(number, number is back or extent == count)
            place = Let(low.variables[at.axis], _place((first, Size.of(1)), (step, Size.of(1))))
            return For(step, extent, (place, *body), reverse=at.reverse)

        rest = _whole("sub", _whole("size", value=whole), _name(first))
        head = [Let(first, _place((chunk, Size.of(CHUNK)))), Let(count, _whole("minimum", _whole("const", value=CHUNK), rest))]
        # The last chunk starts where all the others end.
        last = _whole("const", value=0) if scan.reverse else _whole("size", value=chunks.chunk.size - 1)
        is_last = Expr("eq", (_name(chunk), last), dtype="bool")
        skipped = Let(kept, _whole("where", is_last, _whole("const", value=0), _name(count)))
        ports = scan.body.inputs
        forth = (*head, skipped, *copied(plan.states, saved, ports), turns(current, kept))
        again = (*head, *copied(saved, plan.states, ports), turns(current, count))
        self.put(current)
        returned = turns(back, count)
        self.flush()
        self.out.append(For(chunk, chunks.chunk.size, forth, reverse=scan.reverse))
        self.out.append(For(chunk, chunks.chunk.size, (*again, returned), reverse=not scan.reverse))
        self.put(back)

    # -- loops ---------------------------------------------------------------------------------------------------
    def loop(self, current: Node) -> None:
        if current in self.pairs:
            self.there_and_back(self.pairs[current], current)
            return
        scan, low = current.attrs, self.low
        assert isinstance(scan, Scan)
        body = self.turn(current)
        self.flush()
        self.out.append(For(low.variables[scan.axis], scan.axis.size, tuple(body), reverse=scan.reverse))
        self.put(current)

    def turn(self, current: Node, yields: bool = True) -> list[Statement]:
        """One step of a loop; with what it yields, or the states alone."""
        scan, low, plan = current.attrs, self.low, self.loops[current]
        assert isinstance(scan, Scan)
        ports, outputs = scan.body.inputs, scan.body.outputs
        known: dict[Node, Known] = {}
        for place, port in enumerate(ports):
            if place < scan.states:
                known[port.node] = self.hold(replace(plan.states[place]))
            elif place < len(current.args):
                known[port.node] = self.operand(current.args[place])
            else:
                known[port.node] = Expr("place", (), None, ((low.variables[scan.axis], Size.of(1)),), "int")
        targets: dict[Node, list[Lies]] = {}
        beside: list[tuple[Lies, Lies]] = []
        for place, lies in enumerate(plan.states):
            after = outputs[place].node
            if after is ports[place].node:
                continue
            if low.is_apart(lies):
                new = low.memory(f"{lies.array}_next", lies.axes, after.type.dtype, (*low.keys[lies.array], -1))
                beside.append((lies, new))
                lies = new
            targets.setdefault(after, []).append(replace(lies))
        for place, lies in plan.yields.items() if yields else ():
            targets.setdefault(outputs[place].node, []).append(lies)
        low.running.add(scan.axis)
        body = _Body(low, known, scan.body.notes, {}, plan.path).statements(targets)
        for old, new in beside:
            load = Expr("load", (), new.array, low.index(new), low.dtypes[new.array])
            body += self.nested(old.axes, [Store(old.array, low.index(old), load)])
        low.running.remove(scan.axis)
        return body

    def put(self, current: Node) -> None:
        """The results of a loop lie where it has left them."""
        scan, plan = current.attrs, self.loops[current]
        assert isinstance(scan, Scan)
        for item in self.reading[current]:
            number = item.attrs
            assert isinstance(number, int)
            self.lies[item] = self.hold(replace(plan.states[number])) if number < scan.states else plan.yields[number]

    def operand(self, arg: Node) -> Known:
        """An operand of a loop, as its steps find it."""
        if arg in self.lies:
            found = self.lies[arg]
            if isinstance(found, Lies):
                self.check(found)
            return found
        return self.value(arg, self.top)

    def hold(self, lies: Lies) -> Lies:
        self.low.holds[lies.array] = lies
        return lies

    def check(self, lies: Lies) -> None:
        if self.low.holds.get(lies.array, lies) is not lies:
            raise _Overwritten(lies.array, self.low.keys.get(lies.array))

    def flush(self) -> None:
        self.out += self.top.blocks[0]
        self.top.blocks[0].clear()

    def nested(self, axes: Sequence[Axis], inner: list[Statement]) -> list[Statement]:
        for place, axis in enumerate(reversed(axes)):
            inner = [For(self.low.variables[axis], self.count(axis), tuple(inner), place == 0)]
        return inner

    def count(self, axis: Axis) -> Size | str:
        return f"{self.low.variables[axis]}_count" if axis in (self.low.lane, self.low.tiled) else axis.size

    # -- sweeps --------------------------------------------------------------------------------------------------
    def sweep(self, level: int) -> None:
        """All that is computed at a level: a nest of loops for each set of axes, those that overwrite last."""
        nests: dict[frozenset[Axis], list[Callable[[_Nest], None]]] = {}
        sums: dict[frozenset[Axis], list[Node]] = {}
        writes: set[frozenset[Axis]] = set()

        def add(axes: Iterable[Axis], act: Callable[[_Nest], None], write: bool = False) -> None:
            found = self.low.inner(axes)
            nests.setdefault(found, []).append(act)
            if write:
                writes.add(found)

        for current in self.nodes:
            if self.reduces(current) and self.at[current] == level:
                add(current.args[0].axes, partial(self.reduction, current))
                sums.setdefault(self.low.inner(current.args[0].axes), []).append(current)
            elif current in self.kept and self.at[current] == level:
                wish = self.notes.names.get(current, _default(current)).rsplit(".", 1)[-1]
                there = self.low.memory(wish, self.low.inner(current.axes), current.type.dtype)
                add(current.axes, partial(self.stored, current, there))
        for root, there_too in self.targets.items():
            if self.stores.get(root) == level:
                for there in there_too:
                    add(there.axes, partial(self.stored, root, there), there.array in self.low.holds)
        for axes in sorted(nests, key=lambda axes: (len(axes), axes in writes)):
            tile = self.tile(axes, sums.get(axes, ())) if len(sums.get(axes, ())) == len(nests[axes]) else None
            if tile:
                self.contraction(axes, sums[axes], tile)
            else:
                self.nest(axes, nests[axes])

    def tile(self, axes: frozenset[Axis], roots: Sequence[Node]) -> Axis | None:
        """The axis along which sums are kept in registers, where a nest does nothing but contract."""
        if (self.low.lane and not self.low.rows) or {root.op for root in roots} != {"sum"}:
            return None
        over = {self.low.inner(root.attrs) for root in roots}  # type: ignore[arg-type]
        kept = self.low.ordered(axes - next(iter(over)) - {self.low.lane}) if len(over) == 1 else ()
        return kept[-1] if kept else None

    def contraction(self, axes: frozenset[Axis], roots: Sequence[Node], tile: Axis) -> None:
        """Sums of one block of an axis for a few rows, in registers until all is added up."""
        low = self.low
        over = low.ordered(low.inner(roots[0].attrs))  # type: ignore[arg-type]
        kept = tuple(axis for axis in low.ordered(axes) if axis not in over)
        inner = tuple(axis for axis in kept if axis in (low.lane, tile))
        outer = tuple(axis for axis in kept if axis not in inner)
        order = (*outer, *over, *inner)
        nest = _Nest(order, [[] for _ in range(len(order) + 1)])
        low.tiled = tile
        body: list[Statement] = []
        ends: list[Statement] = []
        for root in roots:
            wish = self.notes.names.get(root, "total").rsplit(".", 1)[-1]
            there = low.memory(wish, kept, root.type.dtype)
            here = Array(low.names.fresh(f"{wish}_here"), root.type.dtype, Size.of(WIDTH * (low.width if len(inner) > 1 else 1)))
            strides = (Size.of(WIDTH), Size.of(1))[-len(inner):]
            at = tuple((low.variables[axis], stride) for axis, stride in zip(inner, strides, strict=True))
            body += [Local(here), Fill(here.name, "sum", here.count, here.dtype)]
            nest.blocks[len(order)].append(Store(here.name, at, self.value(root.args[0], nest), "sum"))
            ends.append(Store(there.array, low.index(there), Expr("load", (), here.name, at, here.dtype)))
            self.hold(there)
            self.lies[root] = there
        self.flush()
        loops = nest.blocks[len(order)]
        for depth in range(len(order), len(outer), -1):
            loop = For(low.variables[order[depth - 1]], self.count(order[depth - 1]), tuple(loops), depth == len(order))
            loops = [*nest.blocks[depth - 1], loop]
        body += [*loops, *self.nested(inner, ends)]
        low.tiled = None
        whole: list[Statement] = [Lanes(low.variables[tile], tile.size, WIDTH, tuple(body), loop=True)]
        for depth in range(len(outer), 0, -1):
            loop = For(low.variables[order[depth - 1]], self.count(order[depth - 1]), tuple(whole))
            whole = [*nest.blocks[depth - 1], loop]
        self.out += whole

    def turned(self, lies: Lies, dtype: DType) -> Lies:
        """A weight whose elements along the axis of a block lie next to each other: copied before the first step, if need be."""
        low, tile = self.low, self.low.tiled
        own = low.inner(lies.axes) - {low.lane}
        if tile is None or tile not in lies.axes[:-1] or lies.inside or own != frozenset(lies.axes):
            return lies
        if (lies.array, tile) not in low.turned:
            axes = (*(axis for axis in lies.axes if axis != tile), tile)
            there = Lies(low.names.fresh(f"{lies.array}_turned"), axes, True)
            low.scratch.append(Array(there.array, dtype, product(axis.size for axis in axes)))
            low.tiled, low.turned[lies.array, tile] = None, there
            load = Expr("load", (), lies.array, low.index(lies), dtype)
            low.first += self.nested(axes, [Store(there.array, low.index(there), load)])
            low.tiled = tile
        return low.turned[lies.array, tile]

    def nest(self, axes: frozenset[Axis], acts: Sequence[Callable[[_Nest], None]]) -> None:
        order = self.low.ordered(axes)
        nest = _Nest(order, [[] for _ in range(len(order) + 1)], sums=[[] for _ in range(len(order) + 1)])
        self.before: list[Statement] = []
        self.closing: list[list[Statement]] = [[] for _ in range(len(order) + 1)]
        self.became: list[tuple[Node, Lies]] = []
        for act in acts:
            act(nest)
        self.flush()
        inner: list[Statement] = [*nest.blocks[len(order)], *nest.last]
        for depth in range(len(order), 0, -1):
            axis = order[depth - 1]
            loop = For(self.low.variables[axis], self.count(axis), tuple(inner), depth == len(order), tuple(nest.sums[depth]))
            inner = [*nest.blocks[depth - 1], loop, *self.closing[depth - 1]]
        self.out += [*self.before, *_tidy(inner)]
        for root, there in self.became:
            self.hold(there)
            if root not in self.lies and not self.low.is_apart(there):
                self.lies[root] = there

    def stored(self, root: Node, there: Lies, nest: _Nest) -> None:
        """Stores a value; what it replaces is read before, in every turn of the innermost loop."""
        value = self.value(root, nest)
        if there.array in nest.elsewhere:
            raise _Overwritten(there.array, self.low.keys.get(there.array))
        nest.last.append(Store(there.array, self.low.index(there), value, there.op))
        if there.inside and there.op is None:
            self.became.append((root, there))

    def reduction(self, root: Node, nest: _Nest) -> None:
        over: frozenset[Axis] = root.attrs  # type: ignore[assignment]
        order, op, dtype = nest.axes, root.op, root.type.dtype
        kept = tuple(axis for axis in order if axis not in over)
        value = self.value(root.args[0], nest)
        wish = self.notes.names.get(root, {"sum": "total", "max": "largest", "min": "smallest"}.get(op, "found"))
        wish = wish.rsplit(".", 1)[-1]
        there = self.low.memory(wish, kept, dtype) if kept else None
        depth = len(kept) if order[: len(kept)] == kept else None
        if there and (depth is None or depth == len(order)):
            self.before.append(Fill(there.array, op, product(self.low.extent(axis) for axis in kept), dtype))
            if order[-1] not in over:
                nest.blocks[len(order)].append(Store(there.array, self.low.index(there), value, op))
            else:
                row = self.row(f"{wish}_row", op, value, nest, len(order) - 1)
                self.closing[len(order) - 1].append(Store(there.array, self.low.index(there), row, op))
            self.became.append((root, there))
            return
        assert depth is not None
        if there:
            row = self.row(f"{wish}_here", op, value, nest, depth)
            self.closing[depth].append(Store(there.array, self.low.index(there), row))
            self.became.append((root, there))
            return
        row = self.row(wish, op, value, nest, 0)
        if row.op != "name":
            self.closing[0].append(Let(name := self.low.names.fresh(wish), row))
            row = Expr("name", (), name, (), dtype)
        self.top.done[root] = row

    def row(self, wish: str, op: str, value: Expr, nest: _Nest, depth: int) -> Expr:
        """What is added up from some depth on. Lanes and the innermost loop do so for themselves: shorter sums are more exact."""
        order = nest.axes
        start = self.before if depth == 0 else nest.blocks[depth]
        if order and order[-1] == self.low.lane and not self.low.rows:
            name = self.low.names.fresh(f"{wish}_lanes")
            start.append(Start(name, op, value.dtype, WIDTH))
            nest.blocks[len(order)].append(Store(name, ((self.low.variables[order[-1]], Size.of(1)),), value, op))
            return Expr(f"{op}_of", (), name, (), value.dtype)
        name = inner = self.low.names.fresh(wish)
        start.append(Start(name, op, value.dtype))
        found = Expr("name", (), name, (), value.dtype)
        if len(order) - depth > 1:
            inner = self.low.names.fresh(f"{wish}_row")
            nest.blocks[len(order) - 1].append(Start(inner, op, value.dtype))
            self.closing[len(order) - 1].append(Store(name, None, Expr("name", (), inner, (), value.dtype), op))
        if order:
            nest.sums[len(order)].append((op, inner))
        nest.blocks[len(order)].append(Store(inner, None, value, op))
        return found

    # -- values --------------------------------------------------------------------------------------------------
    def value(self, root: Node, nest: _Nest) -> Expr:
        """The expression of a node in a nest. Each part is computed at the depth of its innermost axis."""
        top, stack = self.top, [root]
        while stack:
            current = stack[-1]
            if current in nest.done or current in top.done:
                stack.pop()
                continue
            needs = [] if current in self.lies else current.args[1:] if current.op == "read" else current.args
            if missing := [arg for arg in needs if arg not in nest.done and arg not in top.done]:
                stack.extend(missing)
                continue
            stack.pop()
            home = nest if self.low.inner(current.axes) & frozenset(nest.axes) else top
            depth = self.depth(current.axes, nest)
            made = self.expr(current, nest, home, depth)
            readers = self.reading.get(current, ())
            several = len(readers) + len(self.targets.get(current, ())) > 1 or any(
                self.depth(self.swept(reader), nest) > depth for reader in readers)
            if made.op not in ("name", "const", "size") and (several or made.op == "load" or sum(1 for _ in walk(made)) > 6):
                wish = self.notes.names.get(current) or (f"{made.value}_here" if made.op == "load" else _default(current))
                made = self.let(wish.rsplit(".", 1)[-1], made, home, depth)
            home.done[current] = made
        return nest.done.get(root) or top.done[root]

    def let(self, wish: str, value: Expr, home: _Nest, depth: int) -> Expr:
        name = self.low.names.fresh(wish)
        home.blocks[depth if home is not self.top else 0].append(Let(name, value))
        return Expr("name", (), name, (), value.dtype)

    def depth(self, axes: Iterable[Axis], nest: _Nest) -> int:
        found = frozenset(axes)
        return max((i + 1 for i, axis in enumerate(nest.axes) if axis in found), default=0)

    def expr(self, current: Node, nest: _Nest, home: _Nest, depth: int) -> Expr:
        dtype = current.type.dtype
        if current in self.lies:
            found = self.lies[current]
            return found if isinstance(found, Expr) else self.load(self.turned(found, dtype), dtype)
        if current.op in ("const", "size"):
            return Expr(current.op, (), current.attrs, (), dtype)  # type: ignore[arg-type]
        if current.op == "iota":
            assert isinstance(current.attrs, Axis)
            return Expr("place", (), None, self.low.index(Lies("", (current.attrs,), False)), dtype)
        args = [nest.done.get(arg) or self.top.done.get(arg) for arg in current.args]
        if current.op == "read":
            source = self.lies[current.args[0]]
            assert isinstance(source, Lies)
            at: dict[Axis, str] = {}
            for index, place in zip(current.attrs.at, args[1:], strict=True):  # type: ignore[union-attr]
                assert place is not None
                if place.op == "place" and len(place.at) == 1:
                    at[index.axis] = place.at[0][0]
                else:
                    named = place if place.op == "name" else self.let(f"{index.axis.name}_at", place, home, depth)
                    at[index.axis] = str(named.value)
            nest.elsewhere.add(source.array)
            return self.load(source, dtype, at)
        known = tuple(arg for arg in args if arg is not None)
        return known[0] if current.op in ("expand", "detach", *REDUCTIONS) else Expr(current.op, known, None, (), dtype)

    def load(self, lies: Lies, dtype: DType, at: Mapping[Axis, str] | None = None) -> Expr:
        self.check(lies)
        return Expr("load", (), lies.array, self.low.index(lies, at), dtype)


def _whole(op: str, *args: Expr, value: int | Size | None = None) -> Expr:
    return Expr(op, args, value, (), "int")


def _name(name: str) -> Expr:
    return Expr("name", (), name, (), "int")


def _place(*at: tuple[str, Size]) -> Expr:
    return Expr("place", (), None, at, "int")


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


def _loops(graph: Graph) -> set[Axis]:
    """The axes along which loops go."""
    found: set[Axis] = set()
    for current in topological(graph.roots):
        if isinstance(current.attrs, Scan):
            found |= {current.attrs.axis, *_loops(current.attrs.body)}
    return found


def _symbols(graph: Graph) -> Iterator[str]:
    for current in topological(graph.roots):
        if isinstance(current.attrs, Size):
            yield from current.attrs.symbols
        for body in inside(current):
            yield from _symbols(body)


def _array(name: str, dtype: DType, axes: Order) -> Array:
    return Array(name, dtype, product(axis.size for axis in axes), tuple(axis.name for axis in axes))

"""One sweep of a scan's step: nests of loops that compute values, add up reductions and store what is known by then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Union

from archc.checker.sizes import Size, product
from archc.checker.types import Axis
from archc.codegen.cpp.form import Array, Expr, Fill, For, Lanes, Let, Local, Start, Statement, Store, walk
from archc.codegen.cpp.lower import default_name, tidy
from archc.codegen.cpp.spelling import REDUCTIONS
from archc.codegen.groups import Order
from archc.ir.graph import Node, Notes
from archc.ops.table import DType

if TYPE_CHECKING:
    from archc.codegen.cpp.scans import Lowering

WIDTH, NARROW, TILE = 64, 32, 32
"""Lanes of a block: four registers of AVX-512, whose sums along other axes hide their latency; of the blocks of what is left; and
of the sums that a contraction keeps in registers."""


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


class Overwritten(Exception):
    """What an array held is needed after another value took its place."""

    def __init__(self, array: str, key: Key | None) -> None:
        super().__init__(array)
        self.array, self.key = array, key


@dataclass
class Nest:
    """Loops over some axes, with the statements of each depth; `last` come at the end of the innermost."""

    axes: Order
    blocks: list[list[Statement]]
    done: dict[Node, Expr] = field(default_factory=dict)
    sums: list[list[tuple[str, str]]] = field(default_factory=list)
    last: list[Statement] = field(default_factory=list)
    elsewhere: set[str] = field(default_factory=set)  # arrays that are read at other places


class Sweeps:
    """What one step, or a whole place, computes: where values lie, and the sweeps of each level."""

    low: Lowering
    lies: dict[Node, Known]
    notes: Notes
    top: Nest
    out: list[Statement]
    nodes: list[Node]
    reading: Mapping[Node, Sequence[Node]]
    targets: dict[Node, list[Lies]]
    kept: set[Node]
    at: dict[Node, int]
    stores: dict[Lies, int]

    def reduces(self, current: Node) -> bool:
        """Whether something is added up here: a place has only itself along its own axes."""
        return current.op in REDUCTIONS and bool(self.low.inner(current.attrs))  # type: ignore[arg-type]

    def swept(self, reader: Node) -> frozenset[Axis]:
        return reader.args[0].axes if self.reduces(reader) else reader.axes

    def hold(self, lies: Lies) -> Lies:
        self.low.holds[lies.array] = lies
        return lies

    def check(self, lies: Lies) -> None:
        if self.low.holds.get(lies.array, lies) is not lies:
            raise Overwritten(lies.array, self.low.keys.get(lies.array))

    def flush(self) -> None:
        self.out += self.top.blocks[0]
        self.top.blocks[0].clear()

    def nested(self, axes: Sequence[Axis], inner: list[Statement]) -> list[Statement]:
        for place, axis in enumerate(reversed(axes)):
            count = self.low.extent(axis) if axis == self.low.lane and self.all_lanes(inner) else self.count(axis)
            inner = [For(self.low.variables[axis], count, tuple(inner), place == 0)]
        return inner

    def count(self, axis: Axis) -> Size | str:
        return f"{self.low.variables[axis]}_count" if axis in (self.low.lane, self.low.tiled) else axis.size

    # -- sweeps --------------------------------------------------------------------------------------------------
    def sweep(self, level: int) -> None:
        """All that is computed at a level: a nest of loops for each set of axes, those that overwrite last."""
        nests: dict[frozenset[Axis], list[Callable[[Nest], None]]] = {}
        sums: dict[frozenset[Axis], list[Node]] = {}
        writes: set[frozenset[Axis]] = set()

        def add(axes: Iterable[Axis], act: Callable[[Nest], None], write: bool = False) -> None:
            found = self.low.inner(axes)
            nests.setdefault(found, []).append(act)
            if write:
                writes.add(found)

        for current in self.nodes:
            if self.reduces(current) and self.at[current] == level:
                add(current.args[0].axes, partial(self.reduction, current))
                sums.setdefault(self.low.inner(current.args[0].axes), []).append(current)
            elif current in self.kept and self.at[current] == level:
                wish = self.notes.names.get(current, default_name(current)).rsplit(".", 1)[-1]
                there = self.low.memory(wish, self.low.inner(current.axes), current.type.dtype)
                add(current.axes, partial(self.stored, current, there))
        for root, there_too in self.targets.items():
            for there in there_too:
                if self.stores[there] == level:
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
        nest = Nest(order, [[] for _ in range(len(order) + 1)])
        low.tiled = tile
        body: list[Statement] = []
        ends: list[Statement] = []
        for root in roots:
            wish = self.notes.names.get(root, "total").rsplit(".", 1)[-1]
            there = low.memory(wish, kept, root.type.dtype)
            here = Array(low.names.fresh(f"{wish}_here"), root.type.dtype, Size.of(TILE * (low.width if len(inner) > 1 else 1)))
            strides = (Size.of(TILE), Size.of(1))[-len(inner):]
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
        whole: list[Statement] = [Lanes(low.variables[tile], tile.size, TILE, tuple(body), loop=True)]
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

    def nest(self, axes: frozenset[Axis], acts: Sequence[Callable[[Nest], None]]) -> None:
        order = self.low.ordered(axes)
        nest = Nest(order, [[] for _ in range(len(order) + 1)], sums=[[] for _ in range(len(order) + 1)])
        self.before: list[Statement] = []
        self.closing: list[list[Statement]] = [[] for _ in range(len(order) + 1)]
        self.became: list[tuple[Node, Lies]] = []
        for act in acts:
            act(nest)
        self.flush()
        inner: list[Statement] = [*nest.blocks[len(order)], *nest.last]
        for depth in range(len(order), 0, -1):
            axis = order[depth - 1]
            count = self.low.extent(axis) if axis == self.low.lane and self.all_lanes(inner, nest.elsewhere) else self.count(axis)
            loop = For(self.low.variables[axis], count, tuple(inner), depth == len(order), tuple(nest.sums[depth]))
            inner = [*nest.blocks[depth - 1], loop, *self.closing[depth - 1]]
        self.out += [*self.before, *tidy(inner)]
        for root, there in self.became:
            self.hold(there)
            if root not in self.lies and not self.low.is_apart(there):
                self.lies[root] = there

    def all_lanes(self, body: Sequence[Statement], elsewhere: Iterable[str] = ()) -> bool:
        """Whether a loop over lanes may go on where the block ends: it is in the block's own memory, and divides no integers."""
        low = self.low
        assert low.lane is not None
        first = f"{low.variables[low.lane]}_first"
        values = [part for statement in body if isinstance(statement, (Let, Store)) for part in walk(statement.value)]
        places = [*(part.at for part in values), *(statement.at for statement in body if isinstance(statement, Store))]
        outside = any(variable == first for at in places for variable, _ in at or ())
        return not (low.rows or outside or any(elsewhere) or any(part.dtype == "int" for part in values))

    def stored(self, root: Node, there: Lies, nest: Nest) -> None:
        """Stores a value; what it replaces is read before, in every turn of the innermost loop."""
        value = self.value(root, nest)
        if there.array in nest.elsewhere:
            raise Overwritten(there.array, self.low.keys.get(there.array))
        nest.last.append(Store(there.array, self.low.index(there), value, there.op))
        if there.inside and there.op is None:
            self.became.append((root, there))

    def reduction(self, root: Node, nest: Nest) -> None:
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

    def row(self, wish: str, op: str, value: Expr, nest: Nest, depth: int) -> Expr:
        """What is added up from some depth on. Lanes and the innermost loop do so for themselves: shorter sums are more exact."""
        order = nest.axes
        start = self.before if depth == 0 else nest.blocks[depth]
        if order and order[-1] == self.low.lane and not self.low.rows:
            name = self.low.names.fresh(f"{wish}_lanes")
            start.append(Start(name, op, value.dtype, self.low.lanes))
            nest.blocks[len(order)].append(Store(name, ((self.low.variables[order[-1]], Size.of(1)),), value, op))
            count = Expr("name", (), f"{self.low.variables[order[-1]]}_count", (), "int")
            return Expr(f"{op}_of", (count,), name, (), value.dtype)
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
    def value(self, root: Node, nest: Nest) -> Expr:
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
                wish = self.notes.names.get(current) or (f"{made.value}_here" if made.op == "load" else default_name(current))
                made = self.let(wish.rsplit(".", 1)[-1], made, home, depth)
            home.done[current] = made
        return nest.done.get(root) or top.done[root]

    def let(self, wish: str, value: Expr, home: Nest, depth: int) -> Expr:
        name = self.low.names.fresh(wish)
        home.blocks[depth if home is not self.top else 0].append(Let(name, value))
        return Expr("name", (), name, (), value.dtype)

    def depth(self, axes: Iterable[Axis], nest: Nest) -> int:
        found = frozenset(axes)
        return max((i + 1 for i, axis in enumerate(nest.axes) if axis in found), default=0)

    def expr(self, current: Node, nest: Nest, home: Nest, depth: int) -> Expr:
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

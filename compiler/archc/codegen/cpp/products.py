"""From a group with contractions to the loops of its C++ kernel.

The work is done on tiles: arrays of a thread that hold one block of the row axis and of the walked axis, and all of the others.
What a contraction needs is made as a tile by a sweep of loops, multiplied there by the other factor, and what comes of it is a
tile again, which later sweeps read. So a basis or a score lies in the cache only.

    rows      a parallel axis, cut into blocks: one block is one place of the kernel
    walked    an axis that is gone along block by block inside; what is summed over it stays in its tile meanwhile. Rather one
              of what a basis is computed from than that of its functions: these are few, and a product over them alone short
    lanes     the axis whose elements are neighbours in every tile that has it: the axis of the rows, if there is one

Between two walks along the walked axis stands what needs all of the first one (a mean before the deviations from it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archc.checker.sizes import Size, product
from archc.checker.types import Axis, flat
from archc.codegen.cpp.form import (
    Array,
    Blocks,
    Expr,
    Extent,
    Fill,
    Kernel,
    Lanes,
    Let,
    Product,
    Statement,
    Store,
    verify,
)
from archc.codegen.cpp.live import ends_of
from archc.codegen.cpp.lower import ALONE, CHUNKS, USED, arrays_of, degree, symbols_of
from archc.codegen.cpp.product_sweeps import Memory, Nest, Sweeps
from archc.codegen.cpp.spelling import REDUCTIONS
from archc.codegen.groups import Order, one_order, orders_of
from archc.codegen.torch.names import Names
from archc.ir.build import apply, const, reduce, size
from archc.ir.graph import Graph, Node, rewrite, topological, users
from archc.passes.contractions import over, parallel, sides
from archc.passes.hoist import HOIST

LONG, SHORT = 64, 32
"""Elements of a block: of rows whose other factors stream by, and of all else."""

DEEP = 128  # elements that a product should at least sum over in one go
Segment = tuple[int, bool]
"""A part of a kernel, by the number of a walk along the walked axis: inside it, or before it (False)."""


def lower_products(group: Graph, name: str, doc: str = "") -> Kernel:
    """The kernel of a group with contractions whose inputs and outputs are laid out and named, in operations that C++ has."""
    return _Tiled(rewrite(HOIST.run(group), _paired), name, doc).kernel()


def _paired(current: Node) -> Node | None:
    """A contraction as the sum of a product of two."""
    both = sides(current)
    return reduce("sum", apply("mul", *both), over(current)) if both else None


class _Tiled(Sweeps):
    def __init__(self, graph: Graph, name: str, doc: str) -> None:
        self.graph, self.name, self.doc = graph, name, doc
        self.nodes = list(topological(graph.roots))
        self.reading = users(graph.roots)
        self.events = [n for n in self.nodes if n.op in REDUCTIONS]
        self.sides = {n: n.args[0].args for n in self.events if sides(n)}
        self.parallel = parallel({n for n in self.nodes if n.args}, self.events, graph.roots)
        assert self.parallel
        laid = one_order(orders_of(graph))
        every = {axis for n in self.nodes for axis in n.axes}
        self.order = (*sorted(every - set(laid), key=lambda axis: axis.name), *laid)
        self.names = Names([name] + [p.name for p in graph.inputs] + [o.name for o in graph.outputs] + list(USED))
        self.variables = {axis: self.variable(axis) for axis in self.order}
        self.tensors = {p.node: Memory(p.name, flat(p.layout), False) for p in graph.inputs if p.role != "number"}
        # which events a value is computed from, and an event
        self.needs: dict[Node, frozenset[Node]] = {}
        self.behind: dict[Node, frozenset[Node]] = {}
        for current in self.nodes:
            below = frozenset[Node]().union(*(self.needs[arg] for arg in self.values(current)))
            if current in self.reading and current.op in REDUCTIONS:
                self.behind[current], below = below, frozenset((current,))
            self.needs[current] = below
        made = [frozenset(side.axes) for both in self.sides.values() for side in both if side.args]
        self.made = frozenset[Axis]().union(*made)
        common = frozenset.intersection(*made) - self.parallel if made else frozenset[Axis]()
        self.rows = next((axis for axis in reversed(self.order) if axis in self.parallel and any(
            (axis in left.axes) != (axis in right.axes) for left, right in self.sides.values())), None)
        self.whole = self.parallel - {self.rows}
        computed = [side for both in self.sides.values() for side in both if side.args]
        given = frozenset[Axis]().union(*(n.axes for n in topological(computed) if n in self.tensors))
        tried = sorted(common, key=lambda axis: (
            axis not in given, -sum(axis in n.axes for n in self.nodes), self.order.index(axis)))
        self.walked = next((axis for axis in tried if self.walks(axis)), None)
        self.walks(self.walked)
        self.lanes = self.rows or next((a for a in reversed(self.order) if a in common and a != self.walked), None)
        self.widths = self.blocks()
        self.live: dict[Node, list[Memory]] = {}
        self.scratch: list[Array] = []
        self.uneven = False
        self.trimmed: frozenset[Axis] = frozenset()

    def variable(self, axis: Axis) -> str:
        found = self.names.fresh(axis.name)
        self.names.visible |= {f"{found}{end}" for end in ("_first", "_count", "_block", "_end")}
        return found

    def values(self, current: Node) -> Sequence[Node]:
        """What an operation is computed from: a contraction from its factors."""
        return self.sides.get(current, current.args)

    # -- the plan ------------------------------------------------------------------------------------------------
    def walks(self, walked: Axis | None) -> bool:
        """Sets for each value the walk before which it is known, and for each event the part of the kernel that it belongs to.
        False where a part would need what an earlier one has made of a block."""
        self.phase: dict[Node, int] = {}
        self.part: dict[Node, Segment] = {}
        for current in self.nodes:
            phase = max((self.phase[arg] for arg in self.values(current)), default=0)
            if current in self.behind:
                inside = any(walked in value.axes for value in self.values(current))
                self.part[current] = phase, inside
                phase += inside and walked in over(current)
            self.phase[current] = phase
        local = [event for event in self.events if walked in event.axes]
        apart = any(self.part[later] != self.part[event] for event in local for later in self.events
                    if event in self.behind[later])
        return not apart and all(self.phase[root] == self.phase[event] for event in local for root in self.graph.roots
                                 if event in self.needs[root])

    def blocks(self) -> dict[Axis, int]:
        """How many elements a block of the rows and of the walked axis has."""
        streams = self.walked is not None and all(self.walked in over(total) for total in self.sides)
        found = {self.rows: LONG if streams else SHORT} if self.rows else {}
        if self.walked:
            beside = max((product(axis.size for axis in over(total) if axis != self.walked).constant or DEEP
                          for total in self.sides), default=1)
            found[self.walked] = min(64, max(16, DEEP // beside)) if streams else LONG if self.rows else SHORT
        return found

    def steps(self, segment: Segment) -> list[list[Node]]:
        """The events of a part in order, each as late as those that need it allow: what is made together is used together."""
        events = [event for event in self.events if self.part[event] == segment]
        early: dict[Node, int] = {}
        for event in events:
            early[event] = max((early[other] + 1 for other in events if other in self.behind[event]), default=0)
        last = max(early.values(), default=-1)
        late: dict[Node, int] = {}
        for event in reversed(events):
            late[event] = min((late[other] - 1 for other in late if event in self.behind[other]), default=last)
        return [[event for event in events if late[event] == step] for step in range(last + 1)]

    # -- the whole -----------------------------------------------------------------------------------------------
    def kernel(self) -> Kernel:
        graph = self.graph
        body: list[Statement] = []
        for number in range(max(self.phase.values(), default=0) + 1):
            body += self.segment((number, False))
            inner = self.segment((number, True), body)
            if self.walked and inner:
                body.append(Blocks(self.variables[self.walked], *self.ends(number), self.widths[self.walked], tuple(inner)))
                self.live = {n: found for n, found in self.live.items() if self.walked not in n.axes}
        loops = [(self.variables[axis], axis.size) for axis in self.order if axis in self.whole]
        if self.rows:
            v, width = self.variables[self.rows], self.widths[self.rows]
            loops.append((f"{v}_block", (self.rows.size + (width - 1)) // width))
            body = [Lanes(v, self.rows.size, width, tuple(body), loop=False)]
        made = Kernel(
            self.name, self.doc, *arrays_of(graph), symbols_of(graph, self.names),
            tuple(p.name for p in graph.inputs if p.role == "number"), tuple(loops), None, tuple(body),
            max((n.type.count for n in self.nodes), key=degree), ALONE, CHUNKS if self.uneven else None,
            tuple(self.scratch), uneven=self.uneven)
        verify(made)
        return made

    def ends(self, number: int) -> tuple[Size | Expr, Size | Expr]:
        """Where a walk begins and ends for a block of rows: beyond, all that it reduces is neutral."""
        assert self.walked is not None
        start, end = Size.of(0), self.walked.size
        if any(self.walked in o.node.axes and self.phase[o.node] == number for o in self.graph.outputs):
            return start, end  # what it gives has a value everywhere
        events = [event for event in self.events if self.part[event] == (number, True) and self.walked in over(event)]
        found = self.live_ends(events, self.walked, self.rows)
        return tuple(self.number(n) if n is not None else whole for n, whole in zip(found, (start, end), strict=True))  # type: ignore[return-value]

    def live_ends(self, events: Sequence[Node], axis: Axis, rows: Axis | None) -> tuple[Node | None, Node | None]:
        found = ends_of(events, axis, (rows, self.variables[rows]) if rows else None, self.whole,
                        {p.name for p in self.graph.inputs if p.role == "number"})
        self.uneven |= found != (None, None)
        return found

    def trim(self, segment: Segment) -> list[Statement]:
        """Where loops inside a part begin and end: beyond, all that its reductions add to or over an axis is neutral."""
        number, inside = segment
        self.trimmed = frozenset()
        if self.walked and not inside:
            return []
        events = [event for event in self.events if self.part[event] == segment]
        given = {axis for o in self.graph.outputs if self.phase[o.node] == number and (self.walked in o.node.axes) == inside
                 for axis in o.node.axes}
        for axis in self.order:
            if axis in self.whole or axis in (self.rows, self.walked) or axis in given:
                continue
            over_it = [event for event in events if axis in event.args[0].axes and over(event) & {axis, self.walked}]
            lo, hi = self.live_ends(over_it, axis, self.walked if inside else self.rows)
            if lo is not None or hi is not None:
                self.trimmed = frozenset((axis,))
                v = self.variables[axis]
                first, end = (Expr("name", (), f"{v}_{text}", (), "int") for text in ("first", "end"))
                none, rest = Expr("const", (), 0, (), "int"), Expr("sub", (end, first), None, (), "int")
                count = Expr("maximum", (rest, none), None, (), "int")
                return [Let(f"{v}_first", self.number(const(0) if lo is None else lo)),
                        Let(f"{v}_end", self.number(size(axis.size) if hi is None else hi)), Let(f"{v}_count", count)]
        return []

    def number(self, n: Node) -> Expr:
        """An int that depends on the place of the kernel."""
        nest = Nest((), [[]])
        for current in topological([n]):
            nest.done[current] = self.expr(current, nest)
        return nest.done[n]

    def segment(self, segment: Segment, before: list[Statement] | None = None) -> list[Statement]:
        """The statements of a part; what starts before its walk is added to `before`."""
        number, inside = segment
        body: list[Statement] = [*self.trim(segment)]
        starts = body if before is None else before
        for events in self.steps(segment):
            sums = [event for event in events if event not in self.sides]
            products = [self.chosen(event) for event in events if event in self.sides]
            made: dict[Node, list[Memory]] = {}
            ahead: dict[Node, list[Memory]] = {}
            for choice in products:
                for side, dense in choice.factors:
                    known = [*self.live.get(side, ()), *made.get(side, ()), *ahead.get(side, ())]
                    if side in self.tensors:
                        known.append(self.tensors[side])
                    if not any(dense is None or memory.axes[-1:] == (dense,) for memory in known):
                        to = ahead if inside and self.walked not in side.axes else made
                        to.setdefault(side, []).append(self.tile(side, dense))
            trimmed, self.trimmed = self.trimmed, frozenset() if inside else self.trimmed
            self.sweep([], ahead, starts)
            self.trimmed = trimmed
            self.sweep(sums, made, body, starts if inside else body)
            for choice in products:
                self.multiply(choice, body, starts)
        roots = [o for o in self.graph.outputs
                 if self.phase[o.node] == number and (self.walked in o.node.axes if self.walked else False) == inside]
        for output in roots:
            nest = self.nest(tuple(axis for axis in flat(output.layout) if axis not in self.whole))
            value = self.value(output.node, nest)
            nest.blocks[-1].append(Store(output.name, self.index(Memory(output.name, flat(output.layout), False)), value))
            body += self.closed(nest)
        return body

    # -- products ------------------------------------------------------------------------------------------------
    def chosen(self, total: Node) -> _Choice:
        """Which factor of a contraction is on the right: the one with the axis along which the product is dense."""
        left, right = self.sides[total]
        free = [axis for axis in self.order if axis not in self.whole and (axis in left.axes) != (axis in right.axes)]
        dense = self.lanes if self.lanes in free else next(
            (memory.axes[-1] for side in (left, right) for memory in (*self.live.get(side, ()), self.tensors.get(side))
             if memory and memory.axes[-1:] and memory.axes[-1] in free), free[-1])
        if dense in left.axes:
            left, right = right, left
        return _Choice(total, left, right, dense)

    def multiply(self, choice: _Choice, body: list[Statement], starts: list[Statement]) -> None:
        """A product of two tiles or tensors, inside loops over the axes that do not lie in memory as one."""
        total, dense = choice.total, choice.dense
        target = self.tile(total, dense)
        whole = Fill(target.name, "sum", self.scratch[-1].count, "float")
        if self.walked in over(total):
            starts.append(whole)
        elif target.axes[0] in self.trimmed:
            rest = tuple(map(self.width, target.axes[1:]))
            at = self.index(target, target.axes)
            body.append(Fill(target.name, "sum", (self.extent(target.axes[0]), *rest), "float", at))
        else:
            body.append(whole)
        self.live[total] = [target]
        left, right = (next(m for m in (*self.live.get(side, ()), self.tensors.get(side)) if m and (
            at is None or m.axes[-1:] == (at,))) for side, at in choice.factors)
        inside = [axis for axis in self.order if axis not in self.whole]
        columns = self.joined([dense, *(a for a in reversed(inside) if a in right.axes and a not in left.axes and a != dense)],
                              (target, right))
        rows = self.joined([a for a in reversed(target.axes) if a in left.axes and a not in right.axes], (target, left))
        deep = self.joined(sorted((a for a in inside if a in over(total)), key=lambda a: -left.axes.index(a)), (left, right))
        together = {*columns, *rows, *deep}
        strides = (self.stride(target, rows[0]), self.stride(left, rows[0]), self.stride(left, deep[0]),
                   self.stride(right, deep[0]))
        made: Statement = Product(
            target.name, self.index(target, together), left.name, self.index(left, together), right.name,
            self.index(right, together), (self.count(rows), self.count(columns), self.count(deep)), strides)
        for axis in reversed([a for a in inside if a in total.args[0].axes and a not in together]):
            made = self.loop(axis, (made,))
        body.append(made)

    def joined(self, axes: Sequence[Axis], memories: Sequence[Memory]) -> Order:
        """The longest run of axes, innermost first, that lie in each of these memories as one axis would."""
        found = [axes[0]]
        for axis in axes[1:]:
            inner = found[-1]
            if inner in self.widths and not all(memory.tile for memory in memories):
                break
            if inner in self.trimmed or (inner in self.widths and inner != self.lanes):
                break
            if any(self.stride(memory, axis) != self.stride(memory, inner) * self.width(inner) for memory in memories):
                break
            found.append(axis)
        return tuple(found)

    def count(self, axes: Order) -> Extent:
        """The extent of joined axes: in all but the outermost, blocks count as full."""
        return (self.extent(axes[-1]), *(self.width(axis) for axis in axes[:-1]))


@dataclass(frozen=True)
class _Choice:
    total: Node
    left: Node
    right: Node
    dense: Axis

    @property
    def factors(self) -> tuple[tuple[Node, Axis | None], tuple[Node, Axis | None]]:
        """Each factor, with the axis that must be dense in it."""
        return (self.left, None), (self.right, self.dense)

"""From a group to the loops of its C++ kernel.

The work at one place of the parallel axes is done in sweeps. A sweep goes over the group's other axes once; it computes what
depends on the reductions of earlier sweeps, adds up those of its own, and stores results as soon as they are known. What a later
sweep needs again is computed again from the inputs, which lie in the cache by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from archc.checker.sizes import Size, product
from archc.checker.types import LEADING, Axis, Type, flat, layout_of
from archc.codegen.cpp.form import LANE, Array, Block, Expr, Fill, For, Index, Kernel, Let, Start, Statement, Store, verify, walk
from archc.codegen.cpp.prelude import RESERVED
from archc.codegen.cpp.spelling import REDUCTIONS, SPELLING
from archc.codegen.cpp.values import regrouped, repeated
from archc.codegen.groups import Order, collapsed, in_operations, in_slices, one_order, orders_of, with_names
from archc.codegen.torch.names import Names
from archc.ir.cost import effort
from archc.ir.graph import Graph, Node, Scan, inside, topological, users
from archc.passes.contractions import sides
from archc.passes.group import split
from archc.passes.slices import Places
from archc.passes.windows import window_sum

_Roots = tuple[frozenset[Axis], list[tuple[Node, bool]]]  # what the loops over some axes compute: to add up, or to store

USED = (*RESERVED, "T", "Stored", "ENTRY", "threads", "team", "chunk", "chunks", "places", "at",
        *(f"place_{n}" for n in range(16)), "place", "lanes", LANE)
"""Names of the code around a kernel's body."""

BLOCK, RUN = 64, 4096
"""Elements of a block along a parallel axis: where sums are kept for each of them, and where there is nothing to keep."""

LANES, HEAVY_LANES, LIGHT = 64, 16, 12
"""Sums that a loop keeps, as each addition waits for the one before: for steps of few operations, and for others."""

ALONE = 1 << 15  # elements: for fewer, waking a thread takes longer than the work
CHUNKS = 64


def lower(group: Graph, name: str, orders: Mapping[str, Order], doc: str = "") -> Kernel:
    """The kernel of a group. `orders` says how the axes of each input and output lie in memory, outermost first."""
    ports = tuple(replace(port, layout=layout_of(orders[port.name])) for port in group.inputs)
    outputs = tuple(replace(output, layout=layout_of(orders[output.name])) for output in group.outputs)
    known = SPELLING.keys() | REDUCTIONS.keys()
    spelled = in_operations(with_names(replace(group, inputs=ports, outputs=outputs), USED), known)
    if any(isinstance(n.attrs, Scan) for n in topological(spelled.roots)):
        from archc.codegen.cpp import scans  # which takes names from here

        return scans.lower(spelled, name, doc)
    if len(spelled.outputs) == 1 and (found := window_sum(spelled.outputs[0].node)):
        from archc.codegen.cpp import windows  # which takes names from here

        return windows.lower(spelled, found, name, doc)
    if any(sides(n) for n in topological(spelled.roots)):
        from archc.codegen.cpp.products import lower_products  # which takes names from here

        return lower_products(spelled, name, doc)
    joined = collapsed(spelled)
    return _Lowering(regrouped(joined, _nested(joined)), name, doc).kernel()


# ------------------------------------------------------------------------------------------------------ lowering
@dataclass
class _Nest:
    """Loops over some axes, with the statements of each depth."""

    axes: Order
    blocks: list[list[Statement]]
    done: dict[Node, Expr] = field(default_factory=dict)
    sums: list[Start] = field(default_factory=list)  # what the innermost loop adds up
    kept: dict[Node, tuple[str, Order]] = field(default_factory=dict)  # what later nests read


class _Lowering:
    def __init__(self, whole: Graph, name: str, doc: str) -> None:
        self.whole, self.name, self.doc = whole, name, doc
        graph, self.lies = in_slices(whole)
        self.graph = graph
        self.nodes = list(topological(graph.roots))
        self.reading = users(graph.roots)
        members = [n for n in self.nodes if n.args]
        cut = split(members, graph.roots, self.reading)
        assert cut is not None
        self.parallel, self.late = cut.parallel, cut.late
        walked = {axis for n in self.nodes for axis in n.axes}.union(*(flat(output.layout) for output in graph.outputs))
        self.order = tuple(axis for axis in _nested(graph) if axis in walked)
        self.names = Names([name, *(p.name for p in whole.inputs), *(o.name for o in whole.outputs), *USED])
        self.variables = {axis: self.names.fresh(axis.name) for axis in self.order}
        self.block: Block | None = None
        inner = self.order[-1]
        if inner in self.parallel:
            sums = any(n.op in REDUCTIONS and not n.attrs & {inner} for n in self.nodes)  # type: ignore[operator]
            self.block = Block(self.variables[inner], inner.size, BLOCK if sums else RUN)
            self.parallel = self.parallel - {inner}
        self.lane = inner if self.block else None
        self.roots = {output.node for output in graph.outputs}
        self.arrays = {p.node: self.lies[p.name] for p in graph.inputs if p.role != "number"}
        self.results: dict[Node, tuple[str, Order]] = {}  # reductions that lie in an array, by the axes that they keep
        self.scratch: list[Array] = []
        self.partial: list[tuple[str, Array]] = []
        self.kept: frozenset[Node] = frozenset()
        self.level: dict[Node, int] = {}
        for current in self.nodes:
            below = max((self.level[arg] for arg in current.args), default=0)
            self.level[current] = below + (current.op in REDUCTIONS)

    # -- the whole -----------------------------------------------------------------------------------------------
    def kernel(self) -> Kernel:
        graph = self.graph
        top = _Nest((), [[]])
        body: list[Statement] = []
        early = [n for n in self.nodes if n not in self.late]
        sweeps: list[_Roots] = []
        edge = [n for n in self.nodes if n.op in REDUCTIONS and n in self.late and n.args[0] not in self.late]
        for level in range(max(self.level.values(), default=0) + 1):
            sums = [n for n in (*early, *edge) if n.op in REDUCTIONS and self.level[n] == level + 1]
            stored = [n for n in early if n in self.roots and self.level[n] == level]
            sweeps += self.sweep(sums, stored)
        inside = frozenset(self.order[-1:]) - self.parallel
        computed = [[root.args[0] if adds else root for root, adds in roots] for _, roots in sweeps]
        self.kept = repeated(computed, self.nodes, inside, REDUCTIONS)
        for axes, roots in sweeps:
            self.nest(axes, roots, top, body)
        for current in self.kept:  # lies in memory of the threads, which are done
            self.results.pop(current, None)
        self.kept = frozenset()
        after: list[Statement] = []
        before = self.parallel, self.block, self.lane, self.scratch
        self.parallel, self.block, self.lane, self.scratch = frozenset(), None, None, []
        late_top = _Nest((), [[]])
        for level in range(max(self.level.values(), default=0) + 1):
            sums = [n for n in self.nodes if n in self.late and n.op in REDUCTIONS and n not in edge
                    and self.level[n] == level + 1]
            stored = [n for n in self.nodes if n in self.late and n in self.roots and self.level[n] == level]
            for axes, roots in self.sweep(sums, stored):
                self.nest(axes, roots, late_top, after)
        after_scratch, (self.parallel, self.block, self.lane, self.scratch) = self.scratch, before
        loops = [(self.variables[axis], axis.size) for axis in self.order if axis in self.parallel]
        if self.block:
            width = self.block.width
            loops.append((f"{self.block.variable}_block", (self.block.size + (width - 1)) // width))
        made = Kernel(
            self.name, self.doc, *arrays_of(self.whole), symbols_of(self.whole, self.names),
            tuple(p.name for p in graph.inputs if p.role == "number"), tuple(loops), self.block,
            tuple(body), max((n.type.count for n in self.nodes), key=degree), ALONE, CHUNKS if self.partial else None,
            tuple(self.scratch), tuple(self.partial), tuple(after), tuple(after_scratch))
        verify(made)
        return made

    def sweep(self, sums: Sequence[Node], stored: Sequence[Node]) -> list[_Roots]:
        """One pass over the axes inside: a nest of loops for each set of axes."""
        nests: dict[frozenset[Axis], list[tuple[Node, bool]]] = {}
        for root in sums:
            nests.setdefault(root.args[0].axes - self.parallel, []).append((root, True))
        for root in stored:
            axes = frozenset(dim[0] for o in self.graph.outputs if o.node is root for dim in o.layout)
            nests.setdefault(axes - self.parallel, []).append((root, False))
        return list(nests.items())

    def nest(self, axes: frozenset[Axis], roots: list[tuple[Node, bool]], top: _Nest, body: list[Statement]) -> None:
        order = tuple(axis for axis in self.order if axis in axes)
        nest = _Nest(order, [[] for _ in range(len(order) + 1)])
        before: list[Statement] = []
        closing: list[list[Statement]] = [[] for _ in range(len(order) + 1)]  # after the loop that opens the depth below
        for root, adds in roots:
            if adds:
                self.reduction(root, nest, top, before, closing)
                continue
            value = self.value(root, nest, top)
            for output in self.graph.outputs:
                if output.node is root:
                    lies = self.lies[output.name]
                    nest.blocks[len(order)].append(Store(lies.array, self.index(lies.axes, lies.at), value))
        body.extend(top.blocks[0])
        top.blocks[0].clear()
        body.extend(before)
        inner: list[Statement] = [*nest.blocks[len(order)]]
        lanes = (LANES if _effort(inner) <= LIGHT else HEAVY_LANES) if nest.sums else 0
        for depth in range(len(order), 0, -1):
            axis = order[depth - 1]
            extent: Size | str = axis.size
            if axis == self.lane and self.block:
                extent = f"{self.block.variable}_count"
            innermost = depth == len(order)
            loop = For(self.variables[axis], extent, tuple(inner), innermost, lanes=lanes if innermost else 0)
            starts = [replace(start, lanes=lanes) for start in nest.sums] if innermost else []
            inner = [*nest.blocks[depth - 1], *starts, loop, *closing[depth - 1]]
        body.extend(tidy(inner))
        self.results |= nest.kept

    # -- reductions ----------------------------------------------------------------------------------------------
    def reduction(self, root: Node, nest: _Nest, top: _Nest, before: list[Statement], closing: list[list[Statement]]) -> None:
        over: frozenset[Axis] = root.attrs  # type: ignore[assignment]
        order, op, dtype = nest.axes, root.op, root.type.dtype
        kept = tuple(axis for axis in order if axis not in over)
        value = self.value(root.args[0], nest, top)
        wish = self.graph.notes.names.get(root, {"sum": "total", "max": "largest", "min": "smallest"}.get(op, "found"))
        partial = root in self.late and bool(over & (self.parallel | ({self.lane} if self.lane else set())))
        across = tuple(axis for axis in self.order if axis in root.axes) if partial else kept
        name = self.names.fresh(wish)
        target: str | None = None
        if across or partial:
            count = product(axis.size if partial else self.extent(axis) for axis in across)
            target = name
            array = Array(name, dtype, count)
            if partial:
                self.partial.append((op, array))
            else:
                self.scratch.append(array)
            self.results[root] = (name, across)
            at = self.index(across, {}, inside=not partial)
        depth = len(kept) if order[: len(kept)] == kept else None
        if depth == len(order):  # nothing is left to add up here
            assert target is not None
            if not partial:
                before.append(Fill(target, op, array.count, dtype))
            nest.blocks[len(order)].append(Store(target, at, value, op))
            return
        if depth is None:
            assert target is not None
            if not partial:
                before.append(Fill(target, op, array.count, dtype))
            nest.blocks[len(order)].append(Store(target, at, value, op))
            return
        running = name if target is None else self.names.fresh(f"{wish}_here")
        lanes = self.names.fresh(f"{wish}_lanes")
        nest.sums.append(Start(lanes, op, dtype))
        nest.blocks[len(order)].append(Store(lanes, ((LANE, Size.of(1)),), value, op))
        found = Expr(f"{op}_of", (), lanes, (), dtype)
        if len(order) - depth > 1:  # the innermost loop adds up for itself: shorter sums are more exact
            holder = before if depth == 0 else nest.blocks[depth]
            holder.append(Start(running, op, dtype))
            closing[len(order) - 1].append(Store(running, None, found, op))
        else:
            closing[depth].append(Let(running, found))
        if target is None:
            top.done[root] = Expr("name", (), name, (), dtype)
        else:
            closing[depth].append(Store(target, at, Expr("name", (), running, (), dtype), op if partial else None))

    def extent(self, axis: Axis) -> Size:
        return Size.of(self.block.width) if self.block and axis == self.lane else axis.size

    # -- values --------------------------------------------------------------------------------------------------
    def index(self, axes: Order, at: Places, inside: bool = False) -> Index:
        """The place of an element, fixed along some axes; `inside`: of memory that holds one block of the parallel axis only."""
        found: list[tuple[str, Size]] = []
        stride = Size.of(1)
        for axis in reversed(axes):
            if axis in at:
                found += [("1", stride * at[axis])] if at[axis] else []
                stride = stride * axis.size
                continue
            if axis == self.lane and not inside and self.block:
                found.append((f"{self.block.variable}_first", stride))
            found.append((self.variables[axis], stride))
            stride = stride * (self.extent(axis) if inside else axis.size)
        return tuple(reversed(found))

    def value(self, root: Node, nest: _Nest, top: _Nest) -> Expr:
        """The expression of a node in a nest. Each part is computed at the depth of its innermost axis."""
        stack = [root]
        while stack:
            current = stack[-1]
            if current in nest.done or current in top.done:
                stack.pop()
                continue
            settled = current in self.results or current in self.arrays or not current.args
            if not settled and (missing := [a for a in current.args if a not in nest.done and a not in top.done]):
                stack.extend(missing)
                continue
            stack.pop()
            inside = current.axes - self.parallel
            home = nest if inside & frozenset(nest.axes) else top
            depth = max((i + 1 for i, axis in enumerate(nest.axes) if axis in inside), default=0)
            made = self.expr(current, nest, top)
            keep = current in self.kept and current not in self.results
            several = keep or len(self.reading.get(current, ())) > 1 or any(
                self.depth(reader, nest) > depth for reader in self.reading.get(current, ()))
            if made.op not in ("name", "const", "size") and (several or made.op == "load" or weight_of(made) > 6):
                name = self.names.fresh(self.graph.notes.names.get(current, default_name(current)))
                home.blocks[depth if home is nest else 0].append(Let(name, made))
                made = Expr("name", (), name, (), made.dtype)
            if keep:
                axes = tuple(axis for axis in self.order if axis in inside)
                array = Array(self.names.fresh("kept"), made.dtype, product(self.extent(axis) for axis in axes))
                self.scratch.append(array)
                home.blocks[depth].append(Store(array.name, self.index(axes, {}, inside=True), made))
                nest.kept[current] = array.name, axes
            home.done[current] = made
        return nest.done.get(root) or top.done[root]

    def depth(self, reader: Node, nest: _Nest) -> int:
        inside = reader.axes if reader.op not in REDUCTIONS else reader.args[0].axes
        return max((i + 1 for i, axis in enumerate(nest.axes) if axis in inside), default=0)

    def expr(self, current: Node, nest: _Nest, top: _Nest) -> Expr:
        dtype = current.type.dtype
        if current in self.results:
            name, axes = self.results[current]
            is_partial = any(array.name == name for _, array in self.partial)
            return Expr("load", (), name, self.index(axes, {}, inside=not is_partial), dtype)
        if current in self.arrays:
            lies = self.arrays[current]
            return Expr("load", (), lies.array, self.index(lies.axes, lies.at), dtype)
        if current.op == "input":
            return Expr("name", (), str(current.attrs), (), dtype)
        if current.op in ("const", "size"):
            return Expr(current.op, (), current.attrs, (), dtype)  # type: ignore[arg-type]
        if current.op == "iota":
            assert isinstance(current.attrs, Axis)
            return Expr("place", (), None, self.index((current.attrs,), {}), dtype)
        args = tuple(nest.done.get(arg) or top.done[arg] for arg in current.args)
        return args[0] if current.op in ("expand", "detach") else Expr(current.op, args, None, (), dtype)


def arrays_of(graph: Graph) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """The tensors that a kernel is given, and those that it gives."""
    def array(name: str, type_: Type, layout: Sequence[Sequence[Axis]]) -> Array:
        return Array(name, type_.dtype, type_.count, tuple(dim[0].name for dim in layout))

    return (tuple(array(p.name, p.type, p.layout) for p in graph.inputs if p.role != "number"),
            tuple(array(o.name, o.node.type, o.layout) for o in graph.outputs))


def symbols_of(graph: Graph, names: Names) -> tuple[tuple[str, str], ...]:
    """The symbols of sizes in a kernel, those in its loops too, and what they are called in it."""
    def sizes(graph: Graph) -> Iterator[Size]:
        for current in topological(graph.roots):
            yield from (axis.size for axis in current.axes)
            if isinstance(current.attrs, Size):
                yield current.attrs
            if isinstance(current.attrs, Scan):
                yield current.attrs.axis.size
            for body in inside(current):
                yield from sizes(body)

    wishes = {s: "rows" if s == LEADING else s for s in sorted({s for size in sizes(graph) for s in size.symbols})}
    return tuple((symbol, names.fresh(f"{wish}_size" if wish in names.visible else wish)) for symbol, wish in wishes.items())


def _nested(graph: Graph) -> Order:
    """All axes, in the order of the loops."""
    laid = one_order(orders_of(graph))
    every = {axis for n in topological(graph.roots) for axis in n.axes}
    return (*sorted(every - set(laid), key=lambda axis: axis.name), *laid)


def degree(size: Size) -> int:
    """How many sizes are multiplied in it."""
    return max((len(factors) for factors, _ in size.terms), default=0)


def weight_of(expr: Expr) -> int:
    """The operations and operands of an expression."""
    return sum(1 for _ in walk(expr))


def _effort(body: Iterable[Statement]) -> int:
    """Additions that some statements cost."""
    values = [statement.value for statement in body if isinstance(statement, (Let, Store))]
    return sum(effort(part.op) for value in values for part in walk(value)) + len(values)


def default_name(current: Node) -> str:
    """What a value is called that has no name in the source."""
    if current.op == "input":
        return f"{current.attrs}_here"
    return {"mul": "product", "add": "total", "sub": "difference", "div": "quotient", "where": "chosen"}.get(current.op, "value")


def tidy(body: Sequence[Statement]) -> list[Statement]:
    """Without loops in which nothing happens."""
    found: list[Statement] = []
    for statement in body:
        if isinstance(statement, For):
            inner = tidy(statement.body)
            if not inner:
                continue
            statement = replace(statement, body=tuple(inner))
        found.append(statement)
    return found

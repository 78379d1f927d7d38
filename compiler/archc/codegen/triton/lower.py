"""From a group to the tiles of its Triton kernel.

The parallel axes are one row of places, a program takes a tile of them; each inner axis is one more dimension of the tile. Where
the inner axes fit into a tile, everything is computed once, from registers (`resident`). Where they do not, sweeps go over them
tile by tile (`looped`): a sweep computes what depends on the reductions of earlier sweeps, adds up those of its own, and stores
results; reductions that keep an inner axis lie in memory until the next sweep.

Reductions over parallel axes are added up by each program for itself; what becomes of these parts is computed afterwards
(`Finish`), so that no result depends on the order in which programs run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis, Type, flat, layout_of
from archc.codegen.groups import (
    PARTS,
    Finish,
    Order,
    collapsed_with_parts,
    in_operations,
    in_slices,
    one_order,
    orders_of,
    with_names,
)
from archc.codegen.torch.names import Names
from archc.codegen.triton.form import (
    Add,
    Array,
    Barrier,
    Body,
    Expr,
    Index,
    Inner,
    Kernel,
    Let,
    Loop,
    Memory,
    Partial,
    Reduce,
    Start,
    Statement,
    Store,
    verify,
    walk,
)
from archc.codegen.triton.prelude import RESERVED
from archc.codegen.triton.spelling import REDUCTIONS, SPELLING
from archc.ir.graph import Graph, Node, Port, node, topological, users
from archc.passes.contractions import sides
from archc.passes.group import split
from archc.passes.slices import Places

USED = (*RESERVED, "tl", "triton", "torch", "REAL", "INDEX", "UNIT", "PLACES", "place", "places", "program", "here", "chunk",
        "chunks", "length", "first", "in_places", "plan", "Plan")
"""Names of the code around a kernel's body."""

NEIGHBOURS = 32
"""Places of a tile where neighbours in memory are places: a warp reads whole lines."""

OPERATORS = frozenset({"add", "sub", "mul", "div", "neg", "eq", "ne", "lt", "le", "gt", "ge"})
"""Operations in which a constant takes the type of the other operand."""


def takes(group: Graph) -> bool:
    """Whether Triton kernels can compute a group: elementwise operations and reductions, but for loops and contractions."""
    graph = in_operations(group, SPELLING.keys() | REDUCTIONS.keys())
    whole, graph = graph, in_slices(graph)[0]
    nodes = list(topological(graph.roots))
    known = SPELLING.keys() | REDUCTIONS.keys() | {"expand", "input", "const", "size", "iota"}
    if not all(n.op in known and n.type.dtype != "complex" and not sides(n) for n in nodes):
        return False
    cut = split([n for n in nodes if n.args], graph.roots, users(graph.roots))
    return cut is not None and (len(graph.outputs) == len(whole.outputs) or not cut.late)


def lower(group: Graph, name: str, orders: Mapping[str, Order], doc: str = "") -> Kernel:
    """The kernel of a group. `orders` says how the axes of each input and output lie in memory, outermost first."""
    ports = tuple(replace(port, layout=layout_of(orders[port.name])) for port in group.inputs)
    outputs = tuple(replace(output, layout=layout_of(orders[output.name])) for output in group.outputs)
    known = SPELLING.keys() | REDUCTIONS.keys()
    spelled = in_operations(with_names(replace(group, inputs=ports, outputs=outputs), USED), known)
    return _Lowering(spelled, name, doc).kernel()


@dataclass
class _Nest:
    """Loops over some inner axes, with the statements of each depth."""

    axes: Order
    blocks: list[list[Statement]]
    closing: list[list[Statement]]
    done: dict[Node, Expr] = field(default_factory=dict)


@dataclass(frozen=True)
class _Cut:
    """How a graph is split, and its reductions over parallel axes."""

    parallel: frozenset[Axis]
    late: frozenset[Node]
    edges: tuple[Node, ...]


def _cut(graph: Graph) -> _Cut:
    nodes = list(topological(graph.roots))
    found = split([n for n in nodes if n.args], graph.roots, users(graph.roots))
    assert found is not None
    edges = tuple(n for n in nodes if n.op in REDUCTIONS and n in found.late and n.args[0] not in found.late)
    return _Cut(found.parallel, found.late, edges)


class _Lowering:
    def __init__(self, graph: Graph, name: str, doc: str) -> None:
        self.whole = graph
        self.together, self.parts = collapsed_with_parts(graph)
        self.graph, self.lies = in_slices(self.together)
        self.name, self.doc = name, doc
        self.nodes = list(topological(self.graph.roots))
        self.reading = users(self.graph.roots)
        self.cut = _cut(self.graph)
        parallel = self.cut.parallel
        laid = one_order(orders_of(self.graph))
        every = {axis for n in self.nodes for axis in n.axes}
        stored = every.union(*(flat(output.layout) for output in self.graph.outputs))
        self.order = (*sorted(every - set(laid), key=lambda axis: axis.name), *(axis for axis in laid if axis in stored))
        kept = {axis for edge in self.cut.edges for axis in edge.axes & parallel}
        self.across = tuple(axis for axis in self.order if axis in kept)
        self.along = tuple(axis for axis in self.order if axis in parallel - kept)
        self.inner = tuple(axis for axis in self.order if axis not in parallel)
        names = [p.name for p in self.whole.inputs] + [o.name for o in self.whole.outputs]
        self.names = Names([name, *names, *(f"{p.name}_rest" for p in self.whole.inputs if p.role == "number"), *USED])
        self.variables = {axis: self.names.fresh(axis.name) for axis in self.order}
        told = dict.fromkeys((*self.order, *(axis for lies in self.lies.values() for axis in lies.axes)))
        symbols = sorted({s for axis in told for s in axis.size.symbols}
                         | {s for n in self.nodes if n.op == "size" for s in n.attrs.symbols})  # type: ignore[union-attr]
        self.symbols = tuple((symbol, self.size_name(symbol)) for symbol in symbols)
        self.sizes: list[tuple[str, Size, bool]] = []
        self.extent = {axis: self.extent_of(axis) for axis in told}
        self.masks = {axis: self.names.fresh(f"in_{self.variables[axis]}") for axis in self.inner}
        self.tiles = {axis: self.names.fresh(self.variables[axis].upper()) for axis in self.inner}
        self.roots = [output.node for output in self.graph.outputs if output.node not in self.cut.late]
        self.early = list(topological([*self.roots, *(edge.args[0] for edge in self.cut.edges)]))
        self.arrays = {p.node: self.lies[p.name] for p in self.graph.inputs if p.role != "number"}
        self.partials: dict[Node, Partial] = {}
        for edge in self.cut.edges:
            after = tuple(axis.size for axis in self.order if axis in edge.axes and axis in self.inner)
            title = self.names.fresh(f"{self.graph.notes.names.get(edge, 'total')}_parts")
            self.partials[edge] = Partial(title, edge.type.dtype, tuple(axis.size for axis in self.across), after)
        self.scratch: dict[Node, tuple[str, Order]] = {}
        self.level: dict[Node, int] = {}
        for current in self.nodes:
            below = max((self.level[arg] for arg in current.args), default=0)
            self.level[current] = below + (current.op in REDUCTIONS)

    # -- the whole -----------------------------------------------------------------------------------------------
    def kernel(self) -> Kernel:
        graph = self.together
        early = {self.lies[o.name].array for o in self.graph.outputs if o.node not in self.cut.late}
        resident = self.resident()
        looped = self.looped() if self.inner else None
        neighbours = bool(self.order) and self.order[-1] in self.along
        made = Kernel(
            self.name, self.doc,
            tuple(Array(p.name, p.type.dtype, _axes(p.layout)) for p in graph.inputs if p.role != "number"),
            tuple(Array(o.name, o.node.type.dtype, _axes(o.layout)) for o in graph.outputs if o.name in early),
            self.symbols, tuple(p.name for p in graph.inputs if p.role == "number"), tuple(self.sizes),
            tuple((self.variables[axis], self.extent[axis]) for axis in self.along),
            tuple((self.variables[axis], self.extent[axis]) for axis in self.across),
            tuple(Inner(self.variables[a], self.extent[a], self.masks[a], self.tiles[a]) for a in self.inner),
            resident, looped, NEIGHBOURS if neighbours else 1, self.held(),
            (tuple(a.size for a in self.along), tuple(a.size for a in self.across), tuple(a.size for a in self.inner)),
            tuple(self.partials.values()),
            tuple(Memory(title, n.type.dtype, tuple(a.size for a in axes)) for n, (title, axes) in self.scratch.items()),
            self.finish(), tuple(o.name for o in graph.outputs))
        verify(made)
        return made

    def size_name(self, symbol: str) -> str:
        wish = "rows" if symbol == LEADING else symbol
        return self.names.fresh(f"{wish}_size" if wish in self.names.visible else wish)

    def extent_of(self, axis: Axis) -> str:
        """How the size of an axis is written; that of the innermost one is told to be a multiple of `UNIT`."""
        size, lane = axis.size, axis == self.order[-1]
        if size.constant is not None:
            return str(size.constant)
        written = next((text for symbol, text in self.symbols if size == Size.symbol(symbol)), None)
        if written is None:
            written = self.names.fresh(f"{self.variables[axis]}_size")
            self.sizes.append((written, size, lane))
        elif lane:
            self.sizes.append((written, size, True))
        return written

    def held(self) -> int:
        """Blocks of the largest tile that live at the same time, about: what the widest inputs and reductions keep."""
        widest = max((len(n.axes) for n in self.early), default=0)
        wide = [n for n in self.early if len(n.axes) == widest]
        again = sum(len({self.level[reader] for reader in self.reading[n]}) > 1 for n in wide)
        return max(2, sum(n.op == "input" for n in wide) + again + sum(e.args[0] in wide for e in self.cut.edges))

    # -- where things lie ----------------------------------------------------------------------------------------
    def index(self, axes: Order, at: Places = MappingProxyType({})) -> Index:
        """The place of an element, fixed along some axes."""
        found: list[tuple[str, tuple[str, ...]]] = []
        stride: tuple[str, ...] = ()
        for axis in reversed(axes):
            if at.get(axis) != 0:
                found.append((str(at[axis]) if axis in at else self.variables[axis], stride))
            stride = (self.extent[axis], *stride)
        return tuple(reversed(found))

    def mask(self, axes: frozenset[Axis] | Order) -> tuple[str, ...]:
        places = ("in_places",) if any(axis in self.along for axis in axes) else ()
        return (*places, *(self.masks[axis] for axis in self.inner if axis in axes))

    def tile(self, axes: frozenset[Axis]) -> tuple[str, ...]:
        """The extents of a block with these axes."""
        places = "PLACES" if axes & set(self.along) else "1"
        return (places, *(self.tiles[axis] if axis in axes else "1" for axis in self.inner))

    def dims(self, axes: frozenset[Axis], places: bool) -> tuple[int, ...]:
        return ((0,) if places else ()) + tuple(1 + at for at, axis in enumerate(self.inner) if axis in axes)

    def stored(self, output_node: Node, value: Expr) -> list[Statement]:
        stores = [(self.lies[o.name], self.mask(flat(o.layout))) for o in self.graph.outputs if o.node is output_node]
        return [Store(lies.array, self.index(lies.axes, lies.at), value, mask) for lies, mask in stores]

    def spread(self, root: Node) -> frozenset[Axis]:
        """The inner axes of a result as it lies in memory."""
        return frozenset(dim[0] for o in self.graph.outputs if o.node is root for dim in o.layout) & set(self.inner)

    def kept_inside(self, edge: Node) -> Order:
        return tuple(axis for axis in self.inner if axis in edge.axes)

    def partial_index(self, edge: Node) -> Index:
        """One element for each program, then the inner axes that the reduction keeps."""
        inside = self.index(self.kept_inside(edge))
        return (("here", tuple(self.extent[axis] for axis in self.kept_inside(edge))), *inside)

    # -- everything at once --------------------------------------------------------------------------------------
    def resident(self) -> Body:
        head, body, tail = list[Statement](), list[Statement](), list[Statement]()
        done: dict[Node, Expr] = {}
        for current in self.early:
            here = body if current.axes & set(self.along) else head
            if current.op in REDUCTIONS:
                name = self.names.fresh(self.wish(current))
                value = done[current.args[0]]
                axes = current.args[0].axes
                over: frozenset[Axis] = current.attrs  # type: ignore[assignment]
                here.append(Reduce(name, current.op, value, self.mask(axes), self.dims(over, False)))
                made = Expr("name", (), name, dtype=current.type.dtype)
            else:
                made = self.expr(current, done)
                if self.named(made, current):
                    name = self.names.fresh(self.graph.notes.names.get(current, _default(current)))
                    here.append(Let(name, made))
                    made = Expr("name", (), name, dtype=made.dtype)
            done[current] = made
            if current in self.roots:
                body += self.stored(current, made)
        for edge, partial in self.partials.items():
            arg = edge.args[0]
            name = self.names.fresh(f"{self.wish(edge)}_here")
            head.append(Start(name, edge.op, edge.type.dtype, self.tile(arg.axes)))
            body.append(Add(name, edge.op, done[arg], self.mask(arg.axes)))
            tail += self.part(edge, partial, name)
        return Body(tuple(head), tuple(body), tuple(tail))

    def part(self, edge: Node, partial: Partial, name: str) -> list[Statement]:
        """What a program has added up, reduced and stored."""
        over: frozenset[Axis] = edge.attrs  # type: ignore[assignment]
        title = self.names.fresh(f"{self.wish(edge)}_part")
        value = Expr("name", (), name, dtype=edge.type.dtype)
        found = Expr("name", (), title, dtype=edge.type.dtype)
        return [Reduce(title, edge.op, value, (), self.dims(over, bool(self.along))),
                Store(partial.name, self.partial_index(edge), found, self.mask(self.kept_inside(edge)))]

    # -- tile by tile --------------------------------------------------------------------------------------------
    def looped(self) -> Body:
        body: list[Statement] = []
        top = _Nest((), [[]], [[]])
        for level in range(max(self.level.values(), default=0) + 1):
            early = set(self.early)
            sums = [n for n in self.nodes if n.op in REDUCTIONS and self.level[n] == level + 1
                    and (n in early or n in self.partials)]
            stored = [n for n in self.nodes if n in self.roots and self.level[n] == level]
            nests: dict[frozenset[Axis], list[Node]] = {}
            for root in sums:
                nests.setdefault(root.args[0].axes & set(self.inner), []).append(root)
            for root in stored:
                nests.setdefault(self.spread(root), [])
            for axes, reductions in nests.items():
                results = [root for root in stored if self.spread(root) == axes]
                for chain in self.chains(reductions):
                    self.nest(axes, chain, results, top, body)
                    results = []
        return Body((), (*body, *top.blocks[0]))

    def chains(self, reductions: Sequence[Node]) -> list[list[Node]]:
        """Reductions that one order of loops serves: the axes that one keeps are among those that another keeps."""
        found: list[list[Node]] = []
        for root in sorted(reductions, key=lambda n: -len(self.kept_inside(n))):
            kept = set(self.kept_inside(root))
            for chain in found:
                if all(kept <= set(self.kept_inside(other)) or kept >= set(self.kept_inside(other)) for other in chain):
                    chain.append(root)
                    break
            else:
                found.append([root])
        return found or [[]]

    def nest(self, axes: frozenset[Axis], sums: Sequence[Node], stored: Sequence[Node], top: _Nest,
             body: list[Statement]) -> None:
        count = {axis: sum(axis in self.kept_inside(root) for root in sums) for axis in axes}
        order = tuple(sorted((axis for axis in self.inner if axis in axes), key=lambda axis: -count[axis]))
        nest = _Nest(order, [[] for _ in range(len(order) + 1)], [[] for _ in range(len(order) + 1)])
        for root in sums:
            self.reduction(root, nest, top)
        for root in stored:
            nest.blocks[-1] += self.stored(root, self.value(root, nest, top))
        inner: list[Statement] = [*nest.blocks[-1], *nest.closing[-1]]
        for depth in range(len(order), 0, -1):
            loop = [Loop(self.variables[order[depth - 1]], tuple(inner))] if inner else []
            inner = [*nest.blocks[depth - 1], *loop, *nest.closing[depth - 1]]
        body += [*top.blocks[0], *inner]
        top.blocks[0].clear()
        if any(root in self.scratch for root in sums):
            body.append(Barrier())

    def reduction(self, root: Node, nest: _Nest, top: _Nest) -> None:
        over: frozenset[Axis] = root.attrs  # type: ignore[assignment]
        arg, kept, wish, dtype = root.args[0], self.kept_inside(root), self.wish(root), root.type.dtype
        value = self.value(arg, nest, top)
        depth = len(kept)
        running = self.names.fresh(f"{wish}_here")
        nest.blocks[depth].append(Start(running, root.op, dtype, self.tile(arg.axes)))
        nest.blocks[-1].append(Add(running, root.op, value, self.mask(arg.axes)))
        if root in self.partials:
            nest.closing[depth] += self.part(root, self.partials[root], running)
            return
        name = self.names.fresh(wish)
        found = Expr("name", (), name, dtype=dtype)
        nest.closing[depth].append(Reduce(name, root.op, Expr("name", (), running, dtype=dtype), (), self.dims(over, False)))
        if not kept:
            top.done[root] = found
            return
        title, axes = self.names.fresh(f"{wish}_kept"), tuple(axis for axis in self.order if axis in root.axes)
        self.scratch[root] = title, axes
        nest.closing[depth].append(Store(title, self.index(axes), found, self.mask(axes)))

    def value(self, root: Node, nest: _Nest, top: _Nest) -> Expr:
        """The expression of a node in a nest. Each part is computed at the depth of its innermost axis."""
        stack = [root]
        while stack:
            current = stack[-1]
            if current in nest.done or current in top.done:
                stack.pop()
                continue
            settled = current in self.scratch or not current.args
            if not settled and (missing := [a for a in current.args if a not in nest.done and a not in top.done]):
                stack.extend(missing)
                continue
            stack.pop()
            depth = max((i + 1 for i, axis in enumerate(nest.axes) if axis in current.axes), default=0)
            home = nest if depth else top
            made = self.expr(current, {**top.done, **nest.done})
            if self.named(made, current):
                name = self.names.fresh(self.graph.notes.names.get(current, _default(current)))
                home.blocks[depth].append(Let(name, made))
                made = Expr("name", (), name, dtype=made.dtype)
            home.done[current] = made
        return nest.done.get(root) or top.done[root]

    # -- values --------------------------------------------------------------------------------------------------
    def wish(self, reduction: Node) -> str:
        defaults = {"sum": "total", "max": "most", "min": "least"}
        return self.graph.notes.names.get(reduction, defaults.get(reduction.op, "found"))

    def named(self, made: Expr, current: Node) -> bool:
        """Whether a value is worth a name of its own."""
        if made.op in ("name", "const", "size"):
            return False
        return len(self.reading.get(current, ())) > 1 or made.op == "load" or sum(1 for _ in walk(made)) > 6

    def expr(self, current: Node, done: Mapping[Node, Expr]) -> Expr:
        dtype = current.type.dtype
        if current in self.scratch:
            name, axes = self.scratch[current]
            return Expr("load", (), name, self.index(axes), self.mask(axes), dtype)
        if current in self.arrays:
            lies = self.arrays[current]
            return Expr("load", (), lies.array, self.index(lies.axes, lies.at), self.mask(current.axes), dtype)
        if current.op == "input":
            return Expr("name", (), str(current.attrs), dtype=dtype)
        if current.op == "const":
            return Expr("const", (), current.attrs, dtype=dtype)  # type: ignore[arg-type]
        if current.op == "size":
            assert isinstance(current.attrs, Size)
            constant = current.attrs.constant
            return Expr("size", (), current.attrs, dtype=dtype) if constant is None else Expr("const", (), constant, dtype=dtype)
        if current.op == "iota":
            assert isinstance(current.attrs, Axis)
            return Expr("place", (), None, self.index((current.attrs,)), dtype=dtype)
        args = tuple(done[arg] for arg in current.args)
        if current.op in ("expand", "detach"):
            return args[0]
        if args[0].op == "const" and current.op == "to_float":
            return Expr("const", (), float(args[0].value), dtype=dtype)  # type: ignore[arg-type]
        if current.op not in OPERATORS or all(arg.op == "const" for arg in args):
            args = tuple(replace(arg, op="full") if arg.op == "const" else arg for arg in args)
        return Expr(current.op, args, dtype=dtype)

    # -- when the parts are done ---------------------------------------------------------------------------------
    def finish(self) -> Finish | None:
        """The graph of what is late, over the axes that the group had before some became one."""
        if not self.partials:
            return None
        cut = _cut(self.whole)
        across, inner = ([axis for whole in axes for axis in self.parts.get(whole, (whole,))]
                         for axes in (self.across, self.inner))
        new: dict[Node, Node] = {}
        ports: list[Port] = []
        for edge, partial in zip(cut.edges, self.partials.values(), strict=True):
            axes = (*across, PARTS, *(axis for axis in inner if axis in edge.axes))
            port = Port(partial.name, Type(edge.type.dtype, frozenset(axes)), layout_of(axes))
            over = frozenset((PARTS, *(axis for axis in across if axis not in edge.axes)))
            ports.append(port)
            new[edge] = node(edge.op, (port.node,), over, edge.type)
        late = [output for output in self.whole.outputs if output.node in cut.late]
        for current in topological(output.node for output in late):
            if current in cut.late and current not in new:
                args = tuple(new.get(arg, arg) for arg in current.args)
                new[current] = node(current.op, args, current.attrs, current.type)
        outputs = tuple(replace(output, node=new[output.node]) for output in late)
        graph = Graph(f"{self.name}_finish", (*self.whole.inputs, *ports), outputs, notes=self.whole.notes)
        return Finish(graph, tuple(port.name for port in ports))


def _axes(layout: Sequence[Sequence[Axis]]) -> tuple[str, ...]:
    return tuple(dim[0].name for dim in layout)


def _default(current: Node) -> str:
    if current.op == "input":
        return f"{current.attrs}_here"
    return {"mul": "product", "add": "total", "sub": "difference", "div": "quotient", "where": "chosen"}.get(current.op, "value")


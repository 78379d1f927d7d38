"""Sweeps of a kernel with contractions: loops over tiles that compute values, add up reductions and store what is known then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from archc.checker.sizes import Size, product
from archc.checker.types import Axis
from archc.codegen.cpp.form import Array, Expr, Fill, For, Index, Let, Start, Statement, Store
from archc.codegen.cpp.lower import default_name, tidy, weight_of
from archc.codegen.cpp.spelling import REDUCTIONS
from archc.codegen.groups import Order
from archc.codegen.torch.names import Names
from archc.ir.graph import Graph, Node
from archc.passes.contractions import over

TITLES = {"sum": "total", "max": "largest", "min": "smallest", "exp": "power"}


@dataclass(frozen=True)
class Memory:
    """An array with its axes, the dense one last: a tile of a thread, or a tensor."""

    name: str
    axes: Order
    tile: bool = True


@dataclass
class Nest:
    """Loops over some axes, with the statements of each depth, and what follows the innermost loop."""

    axes: Order
    blocks: list[list[Statement]]
    closing: list[Statement] = field(default_factory=list)
    sums: list[tuple[str, str]] = field(default_factory=list)
    done: dict[Node, Expr] = field(default_factory=dict)


class Sweeps:
    """What the tiles of a kernel are, and the loops over them."""

    graph: Graph
    names: Names
    order: Order
    variables: dict[Axis, str]
    parallel: frozenset[Axis]
    reading: Mapping[Node, Sequence[Node]]
    rows: Axis | None
    walked: Axis | None
    lanes: Axis | None
    whole: frozenset[Axis]
    made: frozenset[Axis]
    trimmed: frozenset[Axis]
    widths: dict[Axis, int]
    tensors: dict[Node, Memory]
    live: dict[Node, list[Memory]]
    scratch: list[Array]

    # -- memory --------------------------------------------------------------------------------------------------
    def tile(self, of: Node, dense: Axis | None = None) -> Memory:
        """A new tile for a value."""
        axes = self.sorted(of.axes, dense)
        wish = of.attrs.rsplit(".", 1)[-1] if isinstance(of.attrs, str) else TITLES.get(of.op, "factor")
        made = Memory(self.names.fresh(self.graph.notes.names.get(of, wish)), axes)
        self.scratch.append(Array(made.name, of.type.dtype, product(map(self.width, axes))))
        return made

    def sorted(self, axes: Iterable[Axis], dense: Axis | None = None) -> Order:
        inside = [axis for axis in self.order if axis in axes and axis not in self.whole]
        inside.sort(key=lambda axis: axis in self.made)
        last = dense or self.lanes
        return (*(axis for axis in inside if axis != last), *(axis for axis in inside if axis == last))

    def width(self, axis: Axis) -> Size:
        return Size.of(self.widths[axis]) if axis in self.widths else axis.size

    def stride(self, memory: Memory, axis: Axis) -> Size:
        rest = memory.axes[memory.axes.index(axis) + 1:]
        return product(map(self.width, rest)) if memory.tile else product(other.size for other in rest)

    def index(self, memory: Memory, but: Iterable[Axis] = ()) -> Index:
        """The place of an element; of the axes in `but`, of the first one in the block."""
        found: list[tuple[str, Size]] = []
        for axis in memory.axes:
            v, stride = self.variables[axis], self.stride(memory, axis)
            if axis in self.widths and not memory.tile:
                found.append((f"{v}_first", stride))
            if axis not in but:
                found.append((v, stride))
            elif axis in self.trimmed:
                found.append((f"{v}_first", stride))
        return tuple(found)

    def extent(self, axis: Axis) -> Size | str:
        return f"{self.variables[axis]}_count" if axis in self.widths or axis in self.trimmed else axis.size

    def loop(self, axis: Axis, body: Sequence[Statement], simd: bool = False, sums: Sequence[tuple[str, str]] = ()) -> For:
        v = self.variables[axis]
        if axis in self.trimmed:
            return For(v, f"{v}_end", tuple(body), simd, tuple(sums), start=f"{v}_first")
        return For(v, self.extent(axis), tuple(body), simd, tuple(sums))

    # -- sweeps --------------------------------------------------------------------------------------------------
    def sweep(self, sums: Sequence[Node], made: Mapping[Node, Sequence[Memory]], body: list[Statement],
              starts: list[Statement] | None = None) -> None:
        """Loops that reduce, and that fill tiles: a nest for each set of axes. What they read again and again across the lanes is
        turned first."""
        turned = {tensor: [self.tile(tensor)]
                  for tensor in dict.fromkeys(self.across([*made, *(event.args[0] for event in sums)]))}
        if turned:
            self.sweep([], turned, body)
        nests: dict[Order, Nest] = {}
        for node_, memories in made.items():
            axes = self.sorted(node_.axes)
            nest = nests.setdefault(axes, self.nest(axes))
            value = self.value(node_, nest)
            for memory in memories:
                nest.blocks[-1].append(Store(memory.name, self.index(memory), value))
        for event in sums:
            axes = self.sorted(event.args[0].axes)
            nest = nests.setdefault(axes, self.nest(axes))
            self.reduction(event, nest, body if starts is None or self.walked not in over(event) else starts)
        for nest in nests.values():
            body += self.closed(nest)
        for node_, memories in made.items():
            self.live.setdefault(node_, []).extend(memories)

    def across(self, values: Sequence[Node]) -> Iterator[Node]:
        """The tensors that loops for these values would read several times, and not along their dense axis."""
        for value in values:
            seen: set[Node] = set()
            stack = [value]
            while stack:
                current = stack.pop()
                if current in seen or current in self.live:
                    continue
                seen.add(current)
                stack.extend(current.args)
                dense = self.tensors[current].axes[-1:] if current in self.tensors else ()
                if self.lanes in current.axes and dense and dense != (self.lanes,) and value.axes > current.axes:
                    yield current

    def nest(self, axes: Order) -> Nest:
        return Nest(axes, [[] for _ in range(len(axes) + 1)])

    def closed(self, nest: Nest) -> list[Statement]:
        inner = nest.blocks[-1]
        for depth in range(len(nest.axes), 0, -1):
            axis, innermost = nest.axes[depth - 1], depth == len(nest.axes)
            loop = self.loop(axis, inner, innermost, nest.sums if innermost else ())
            inner = [*nest.blocks[depth - 1], loop, *(nest.closing if innermost else ())]
        return tidy(inner)

    def reduction(self, event: Node, nest: Nest, starts: list[Statement]) -> None:
        """Adds up in the event's tile, in a variable first where the innermost loop is summed over: shorter sums are exacter."""
        value = self.value(event.args[0], nest)
        tile = self.tile(event)
        dtype, op, at = event.type.dtype, event.op, self.index(tile)
        starts.append(Fill(tile.name, op, self.scratch[-1].count, dtype))
        if nest.axes and nest.axes[-1] in over(event):
            running = self.names.fresh(f"{tile.name}_here")
            nest.blocks[-2].append(Start(running, op, dtype))
            nest.sums.append((op, running))
            nest.blocks[-1].append(Store(running, None, value, op))
            nest.closing.append(Store(tile.name, at, Expr("name", (), running, (), dtype), op))
        else:
            nest.blocks[-1].append(Store(tile.name, at, value, op))
        self.live[event] = [tile]

    def value(self, root: Node, nest: Nest) -> Expr:
        """The expression of a node in a nest. Each part is computed at the depth of its innermost axis."""
        stack = [root]
        while stack:
            current = stack[-1]
            if current in nest.done:
                stack.pop()
                continue
            settled = current in self.live or current in self.tensors or not current.args
            if not settled and (missing := [arg for arg in current.args if arg not in nest.done]):
                stack.extend(missing)
                continue
            stack.pop()
            depth, made, readers = self.depth(current, nest), self.expr(current, nest), self.reading.get(current, ())
            several = len(readers) > 1 or any(self.depth(reader, nest) > depth for reader in readers)
            if made.op not in ("name", "const", "size") and (several or made.op == "load" or weight_of(made) > 6):
                name = self.names.fresh(self.graph.notes.names.get(current, default_name(current)))
                nest.blocks[depth].append(Let(name, made))
                made = Expr("name", (), name, (), made.dtype)
            nest.done[current] = made
        return nest.done[root]

    def depth(self, current: Node, nest: Nest) -> int:
        axes = current.args[0].axes if current.op in REDUCTIONS and current not in self.live else current.axes
        return max((place + 1 for place, axis in enumerate(nest.axes) if axis in axes), default=0)

    def expr(self, current: Node, nest: Nest) -> Expr:
        dtype = current.type.dtype
        memory = self.live[current][0] if current in self.live else self.tensors.get(current)
        if memory:
            return Expr("load", (), memory.name, self.index(memory), dtype)
        if current.op == "input":
            return Expr("name", (), str(current.attrs), (), dtype)
        if current.op in ("const", "size"):
            return Expr(current.op, (), current.attrs, (), dtype)  # type: ignore[arg-type]
        if current.op == "iota":
            return Expr("place", (), None, self.index(Memory("", (current.attrs,), False)), dtype)  # type: ignore[arg-type]
        assert current.op not in REDUCTIONS, current
        args = tuple(nest.done[arg] for arg in current.args)
        return args[0] if current.op in ("expand", "detach") else Expr(current.op, args, None, (), dtype)

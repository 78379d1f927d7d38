"""The steps of a scan: which value is known when, where states lie, and the loops that go there and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archc.checker.sizes import Size
from archc.checker.types import Axis
from archc.codegen.cpp.form import Expr, For, Let, Statement, Store
from archc.codegen.cpp.scan_sweeps import Key, Known, Lies, Nest, Sweeps
from archc.ir.graph import Node, Notes, Port, Scan, topological, users
from archc.ops.table import OPS
from archc.passes.group_loops import paired

if TYPE_CHECKING:
    from archc.codegen.cpp.scans import Lowering

CHUNK = 32
"""Steps between two states that are kept, where a loop is gone back: two of a kind lie in the cache by then."""



@dataclass
class Loop:
    """Where a loop keeps its states, and its yields that somebody reads."""

    states: list[Lies]
    yields: dict[int, Lies]
    path: Key


class Body(Sweeps):
    """The statements of one step, or of a whole place: what a graph computes with values that lie somewhere."""

    def __init__(self, low: Lowering, lies: dict[Node, Known], notes: Notes, zeros: Mapping[Node, Node],
                 path: Key = ()) -> None:
        self.low, self.lies, self.notes, self.zeros, self.path = low, lies, notes, zeros, path
        self.top = Nest((), [[]])
        self.out: list[Statement] = []
        self.loops: dict[Node, Loop] = {}

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

    def start(self, scan: Node, place: int) -> Node:
        """Where a state starts: sums of parts start from nothing."""
        for root, zero in self.zeros.items():
            if root.args[0] is scan and root.attrs == place:
                return zero
        return scan.args[place]

    def plan(self, current: Node, scan: Scan, number: int) -> Loop:
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
        return Loop(states, yields, (*self.path, number))

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
        self.stores = {lies: first if root in self.lies else self.use[root] if self.reduces(root) else self.at[root]
                       for root, there in self.targets.items() for lies in there}

    def when(self, current: Node) -> int:
        return self.use.get(current, 0)

    def later(self) -> None:
        """Reductions wait for the last sweep over their axes that is early enough, and what overwrites a state for the last."""
        need = {root: min(self.stores[lies] for lies in there) for root, there in self.targets.items() if there}
        sweeps: dict[frozenset[Axis], set[int]] = {}
        for lies, level in self.stores.items():
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
        begins = {lies for loop in self.loops.values() for lies in loop.states}  # what a loop starts with does not wait
        for lies, first in self.stores.items():
            if lies.array in self.low.holds and first >= 0 and lies not in begins:
                self.stores[lies] = max(level for level in sweeps[self.low.inner(lies.axes)] if level >= first)

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
        body = Body(low, known, scan.body.notes, {}, plan.path).statements(targets)
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


def _whole(op: str, *args: Expr, value: int | Size | None = None) -> Expr:
    return Expr(op, args, value, (), "int")


def _name(name: str) -> Expr:
    return Expr("name", (), name, (), "int")


def _place(*at: tuple[str, Size]) -> Expr:
    return Expr("place", (), None, at, "int")

"""Take out of loops what no state changes: computed for all steps at once, it enters as a sequence. And what is only
done to what is yielded, after them.

    scan t { S = S - beta * key * (sum[k](key * S) - val) }   ->   w = beta * key;  scan t { S = S - w * (sum[k](key * S) - val) }

Only what is no larger than an operand that it is made from, or, where a special function is computed, than a state: what is held
for all steps is then no more than what comes in, or than a derivative remembers anyway. A draw stays where it is drawn.
"""

from __future__ import annotations

from dataclasses import replace

from archc.checker.types import Axis, Type
from archc.ir import build
from archc.ir.graph import Graph, Node, Notes, Read, Scan, carry, node, rewrite, topological
from archc.ops.table import OPS
from archc.passes.base import Keeps, Pass, also_inside
from archc.passes.loops import Loop, port

LEAVES = ("input", "const", "size", "iota")


def lift(graph: Graph) -> Graph:
    """The graph with every loop of it relieved of what it need not do step by step."""
    names = dict(graph.notes.names)
    after: dict[Node, _Lift] = {}

    def rule(current: Node) -> Node | None:
        if isinstance(current.attrs, Scan):
            made = _Lift(Loop.of(current), names)
            found = made.made()
            if found is not None:
                after[found] = made
            return found
        return after[current.args[0]].result(current) if current.op == "item" and current.args[0] in after else None

    found = rewrite(graph, rule)
    return replace(found, notes=Notes(found.notes.spans, {**names, **found.notes.names}, found.notes.doc))


class _Lift:
    def __init__(self, loop: Loop, names: dict[Node, str]) -> None:
        self.loop, self.names = loop, names
        self.sequences = {of.node: arg for of, arg in loop.sequences}
        self.outside = {**self.sequences, **{of.node: arg for of, arg in loop.constants}}
        if loop.step is not None:
            self.outside[loop.step.node] = build.iota(loop.axis)
        self.taken = {of.name for of, _ in (*loop.sequences, *loop.constants)}
        self.largest: dict[Node, list[frozenset[Axis]]] = {}  # of what may leave: the axes of the elements it is made from
        self.special: set[Node] = set()
        self.work: set[Node] = set()  # more than views
        self.new: dict[Node, Node] = {}
        self.sunk: dict[int, list[Node]] = {}  # by yield: what is done with it after the loop, outermost first

    def made(self) -> Node | None:
        """The loop; None where nothing leaves it."""
        order = list(topological(self.loop.results))
        for current in order:
            self._classify(current)
        self._sink()
        leaving: set[Node] = set()
        needed = set(self.loop.results)
        for current in reversed(order):
            if current in needed:
                if self._leaves(current):
                    leaving.add(current)
                else:
                    needed.update(current.args)
        if not leaving and not self.sunk:
            return None
        for current in order:
            if current in needed:
                self.new[current] = self._enters(current) if current in leaving else node(
                    current.op, (self.new[arg] for arg in current.args), current.attrs, current.type)
        for state in self.loop.states:
            assert state.after is not None
            state.after = self.new[state.after]
        self.loop.yields = [self.new[given] for given in self.loop.yields]
        self.loop.notes = carry(self.loop.notes, self.new)
        return self.loop.without_unused().node()

    def _sink(self) -> None:
        """Elementwise work on what is yielded, with what no state changes, is done after the loop."""
        needed = set(topological(state.after for state in self.loop.states if state.after is not None))
        for k, given in enumerate(self.loop.yields):
            others = [other for other in self.loop.yields if other is not given]
            kept = needed | set(topological(others))
            chain: list[Node] = []
            while given not in kept and given not in self.largest and given.op in OPS and OPS[given.op].form == "elementwise":
                inner = [arg for arg in given.args if arg not in self.largest]
                if len(inner) != 1 or inner[0].axes != given.axes or any(arg.op in LEAVES for arg in inner):
                    break
                chain.append(given)
                given = inner[0]
            if chain:
                self.sunk[k] = chain
                self.loop.yields[k] = given

    def result(self, item: Node) -> Node:
        """What was an item of the loop, of the loop as it is now."""
        assert isinstance(item.attrs, int)
        chain = self.sunk.get(item.attrs - len(self.loop.states), [])
        if not chain:
            return item
        (inner,) = (arg for arg in chain[-1].args if arg not in self.largest)
        made = build.item(item.args[0], item.attrs, Type(inner.type.dtype, item.axes))
        for current in reversed(chain):
            args = tuple(made if arg is inner else self._outside(arg) for arg in current.args)
            made = node(current.op, args, current.attrs, Type(current.type.dtype, item.axes))
            inner = current
        return made

    def _classify(self, current: Node) -> None:
        axis = self.loop.axis
        if current.op in LEAVES:
            if current.op != "input" or current in self.outside:
                self.largest[current] = [current.axes] if current in self.sequences else []
            return
        row = OPS.get(current.op)
        plain = current.op in ("read", "expand") or (row is not None and row.form in ("elementwise", "reduce", "normalise"))
        if not plain or any(arg not in self.largest for arg in current.args):
            return
        whole = current.args[:1] if isinstance(current.attrs, Read) and axis in {at.axis for at in current.attrs.at} else ()
        if axis in current.axes or any(axis in arg.axes for arg in current.args if arg not in whole):
            return
        self.largest[current] = [axes for arg in current.args for axes in self.largest[arg]]
        if whole:
            self.largest[current].append(current.axes)
        if row is not None or any(arg in self.work for arg in current.args):
            self.work.add(current)
        if (row is not None and row.cost.special) or any(arg in self.special for arg in current.args):
            self.special.add(current)

    def _leaves(self, current: Node) -> bool:
        if current not in self.work or current not in self.largest or (not current.axes and not self.largest[current]):
            return False
        bounds = list(self.largest[current])
        if current in self.special:
            bounds += [state.port.type.axes for state in self.loop.states]
        return any(current.axes <= axes for axes in bounds)

    def _enters(self, root: Node) -> Node:
        """A value as a new sequence, its whole made outside."""
        made = self._outside(root)
        name = next(name for i in range(len(self.taken) + 1) if (name := f"ready{i}") not in self.taken)
        self.taken.add(name)
        entering = port(name, Type(root.type.dtype, root.axes))
        operands = self.loop.sequences if self.loop.axis in made.axes else self.loop.constants
        operands.append((entering, made))
        if root in self.loop.notes.names:
            self.names.setdefault(made, self.loop.notes.names[root])
        return entering.node

    def _outside(self, root: Node) -> Node:
        """A value that no state changes, for all steps at once."""
        made: dict[Node, Node] = {}
        for current in topological((root,)):
            made[current] = self.outside.get(current) or self._whole(current, tuple(made[arg] for arg in current.args))
        return made[root]

    def _whole(self, current: Node, args: tuple[Node, ...]) -> Node:
        """An operation on all steps at once."""
        axis = self.loop.axis
        taken = isinstance(current.attrs, Read) and axis in {at.axis for at in current.attrs.at}
        steps = {axis} if any(axis in arg.axes for arg in args[taken:]) else frozenset[Axis]()
        return node(current.op, args, current.attrs, Type(current.type.dtype, current.axes | steps))


LIFT = Pass("lift", "compute for all steps at once what no state of a loop changes", also_inside(lift), Keeps.UP_TO_REASSOCIATION)

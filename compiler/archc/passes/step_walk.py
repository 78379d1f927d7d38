"""The values of a graph at one step along an axis, node by node; what they need of earlier steps becomes a state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from archc.checker.sizes import Size, Symbol
from archc.checker.types import Axis
from archc.diagnostics.model import UserError
from archc.ir import build
from archc.ir.graph import Call, Fourier, Graph, Matrix, Member, Node, Port, Random, Read, Scan, Table, carry, node, topological
from archc.ops.table import OPS
from archc.passes.step_states import States
from archc.rules.integers import as_node, index_of, indices, polynomial

RUNNING = {"cumsum": ("add", 0), "cumprod": ("mul", 1)}
"""Normalisers whose value at a step is that before it and the element at hand: the operation, and where it begins."""


class Walk:
    """Values of nodes at one step, of a graph or of the body of a scan in it. `closed`: no state can be made here; `alone`: the
    axis has one element, of which there is no other; `opening`: at the first step."""

    def __init__(self, steps: States, graph: Graph, closed: str = "", alone: bool = False, opening: bool = False) -> None:
        self.steps, self.graph, self.axis = steps, graph, steps.axis
        self.closed, self.alone, self.opening = closed, alone, opening
        self.new: dict[Node, Node] = {}
        self.late: set[Node] = set()  # known after the last step
        self.clock: dict[Node, Node] = {}  # what numbers the step in this body, as the index along the axis
        self.results: dict[Node, list[Node]] = {}
        self.twin: Walk | None = None
        self.around: tuple[Walk, tuple[Node, ...]] | None = None  # of the body of a scan: the walk around, the scan's operands
        self.roles = {port.node: port.role for port in graph.inputs}

    def __call__(self, root: Node) -> Node:
        stack = [(root, False)]
        while stack:
            current, ready = stack.pop()
            if current in self.new:
                continue
            needed = self._needed(current)
            if not ready:
                stack.append((current, True))
                stack.extend((arg, False) for arg in reversed(needed) if arg not in self.new)
                continue
            if any(arg in self.late for arg in needed):
                self.late.add(current)
                if self.axis in current.axes or self._scans(current) is not None:
                    raise self.steps.refuse_late(current, self.graph)
            found = self.new[current] = self._at(current)
            notes = self.graph.notes
            if current in notes.spans and current.op != "const":
                self.steps.spans.setdefault(found, notes.spans[current])
            if current in notes.names and current.op != "const":
                self.steps.labels.setdefault(found, notes.names[current])
        return self.new[root]

    def _needed(self, current: Node) -> tuple[Node, ...]:
        """The arguments whose values at this step count: not what a scan along the axis has started from."""
        scan = self._scans(current)
        return current.args if scan is None else current.args[scan.states:]

    def _scans(self, current: Node) -> Scan | None:
        """The scan along the axis that a node is."""
        return current.attrs if isinstance(current.attrs, Scan) and current.attrs.axis == self.axis else None

    @property
    def first(self) -> Walk:
        """The same graph at the first step, before which there are no states."""
        if self.opening:
            return self
        if self.twin is None:
            self.twin = Walk(self.steps, self.graph, opening=True)
            self.twin.clock = self.clock
            if self.around is not None:
                walk, args = self.around
                ports = [port.node for port in self.graph.inputs]
                self.twin.new |= {port: walk.first(arg) for port, arg in zip(ports, args, strict=False)}
                self.twin.new |= {port: build.const(0) for port in ports[len(args):]}
        return self.twin

    def _refuse(self, why: str, at: Node) -> UserError:
        return self.steps.refuse(why, at, self.graph)

    def _at(self, current: Node) -> Node:
        """The value of one node at this step; those of its arguments are known."""
        attrs = current.attrs
        scan = self._scans(current)
        if scan is not None:
            return self._scanned(current, scan)
        args = tuple(self.new[arg] for arg in current.args)
        if current.op == "input":
            return self._input(current)
        if current.op == "iota" and attrs == self.axis:
            return self._position(current)
        for axis in current.axes - {self.axis}:
            if axis.size.symbols & self.steps.unknown:
                raise self._refuse(f"its axis {axis.name} is as long as {self.axis.name} makes it", current)
        if isinstance(attrs, Size) and attrs.symbols & self.steps.unknown:
            if not self.alone:
                raise self._refuse(f"it reads how many elements {self.axis.name} has", current)
            return build.size(attrs.substitute({name: Size.of(1) for name in self.axis.size.symbols}))
        if isinstance(attrs, Scan) and any(self.axis in arg.axes for arg in current.args):
            attrs = replace(attrs, body=self._inner(attrs.body, f"the loop along {attrs.axis.name}"))
        if current.op == "item" and current.args[0] in self.results:
            assert isinstance(attrs, int)
            source = current.args[0].attrs
            assert isinstance(source, Scan)
            if attrs < source.states:
                self.late.add(current)
            return build.expand(self.results[current.args[0]][attrs], current.axes - {self.axis})
        if current.op == "item" and isinstance(current.args[0].attrs, Member) and self.axis not in current.axes and any(
                self.axis in arg.axes for arg in current.args[0].args):
            self.late.add(current)
        if isinstance(attrs, Read):
            return self._read(current, attrs)
        if isinstance(attrs, frozenset) and self.axis in attrs:
            return self._over(current, attrs)
        if isinstance(attrs, Fourier | Matrix | Table) and self.axis in attrs.axes:
            raise self._refuse(f"it needs all elements of {self.axis.name} at once", current)
        if isinstance(attrs, Random):
            return self._draw(current, attrs)
        if isinstance(attrs, Call) and any(self.axis in arg.axes for arg in current.args):
            where = f"'{attrs.body.name}'"
            attrs = replace(attrs, body=self._inner(attrs.body, where), vjp=self._inner(attrs.vjp, where, alone=True))
        elif isinstance(attrs, Member) and any(self.axis in arg.axes for arg in current.args):
            attrs = self._member(current, attrs)
        elif current.op == "accumulate" and (
                self.axis in {at.axis for at in attrs.at} or self.axis in current.args[0].axes - attrs.keep):  # type: ignore[union-attr]
            raise self._refuse(f"it adds up elements of {self.axis.name}", current)
        elif current.op == "accumulate" and self.axis in attrs.keep:  # type: ignore[union-attr]
            attrs = replace(attrs, keep=attrs.keep - {self.axis})  # type: ignore[union-attr, type-var]
        if args == current.args and attrs is current.attrs and self.axis not in current.axes:
            return current
        return node(current.op, args, attrs, self.steps.without(current.type))

    def _input(self, current: Node) -> Node:
        """The element of an input; of a param that has the axis, the element that is read."""
        if self.axis not in current.axes:
            return current
        if self.roles.get(current) == "input":
            return node("input", (), current.attrs, self.steps.without(current.type))
        return build.read(current, {self.axis: (self._position(current), "check")})

    def _position(self, at: Node) -> Node:
        if self.closed:
            raise self._refuse(f"{self.closed} reads the index along {self.axis.name}", at)
        return build.const(0) if self.opening else self.steps.position()

    def _over(self, current: Node, over: frozenset[Axis]) -> Node:
        """A reduction or normaliser over the axis, or a value that is repeated along it."""
        x = self.new[current.args[0]]
        rest = over - {self.axis}
        if current.op == "expand":
            return build.expand(x, rest)
        if self.alone and current.op in ("sum", "mean", "prod", "max", "min", "any", "all"):
            return build.reduce(current.op, x, rest) if rest else x
        if current.op in RUNNING and not self.closed:
            return x if self.opening else self._total(current, x)
        raise self._refuse(f"it needs all elements of {self.axis.name} at once", current)

    def _total(self, current: Node, x: Node) -> Node:
        op, start = RUNNING[current.op]
        first = build.const(start if x.type.dtype == "int" else float(start))
        port = self.steps.state(f"{self._label(current)}_so_far", x.type, self.steps.laid(x.axes), first)
        self.steps.nexts[port.name] = found = build.apply(op, port.node, x)
        return found

    def _draw(self, current: Node, attrs: Random) -> Node:
        """A draw for each element is one for each step; one that all steps share would have to be remembered."""
        if self.axis in attrs.axes:
            args = (self.new[arg] for arg in current.args)
            return build.random(attrs.kind, args, (a for a in attrs.axes if a != self.axis), attrs.serial)
        if self.graph is self.steps.graph:
            raise self._refuse(f"it draws once for all elements of {self.axis.name}", current)
        return node(current.op, (self.new[arg] for arg in current.args), attrs, current.type)

    # -- reads -----------------------------------------------------------------------------------------------------
    def _read(self, current: Node, attrs: Read) -> Node:
        x, rest = self.new[current.args[0]], {}
        fill = self.new[current.args[-1]] if len(current.args) > 1 + len(attrs.at) else None
        for at, index in zip(attrs.at, current.args[1:], strict=False):
            if at.axis == self.axis:
                x = self._earlier(current, index, at.border, fill)
            else:
                moved = self.new[index]
                counts = at.border == "trust" and moved.op != "mod" and self.steps.counter in set(topological((moved,)))
                rest[at.axis] = moved, "check" if counts else at.border
        filled = fill if any(border == "fill" for _, border in rest.values()) else None
        return build.read(x, rest, filled) if rest else x

    def _earlier(self, current: Node, index: Node, border: str, fill: Node | None) -> Node:
        """The element at hand or some steps before it."""
        value = self.new[current.args[0]]
        name = self.axis.name
        place = polynomial(_substituted(index, self.clock))
        if place is None:
            raise self._refuse(f"which elements of {name} it reads is known only from data", current)
        if self.opening and place.constant == 0:
            return value
        ahead = place - index_of(self.axis)
        low, high = _range(ahead, index.axes) or (None, None)
        if name in indices(ahead) or low is None or high is None:
            what = f"it reads elements of {name} other than this one and those a fixed number of steps before"
            raise self._refuse(what, current)
        if ahead.constant == 0:
            return value
        if high.constant is None or high.constant > 0:
            raise self._refuse(f"it reads elements of {name} that have not come yet", current)
        if self.closed:
            raise self._refuse(f"{self.closed} reads earlier elements of {name}", current)
        if border not in ("fill", "edge"):
            raise self._refuse(f"before the first element of {name} it reads by '{border}'", current)
        start = self.first(current.args[0]) if border == "edge" else fill
        assert start is not None
        if self.opening:
            here = build.apply("eq", as_node(ahead, index.axes), build.const(0))
            return build.apply("where", here, value, start)
        alone = ahead.constant == -1
        past = self.steps.before(value, -low, start, self._label(current.args[0]), alone)
        if alone:
            return past
        (window,) = past.axes - value.axes
        return build.read(past, {window: (as_node(ahead - low, index.axes), "trust")})

    def _label(self, value: Node) -> str:
        member = value.args[0].attrs if value.op == "item" else None
        path = member.path.rstrip(".0123456789") if isinstance(member, Member) else value.op
        return self.graph.notes.names.get(value, str(value.attrs) if value.op == "input" else path).rsplit(".", 1)[-1]

    # -- loops, functions and sub-modules ---------------------------------------------------------------------------
    def _scanned(self, current: Node, scan: Scan) -> Node:
        """A scan along the axis: its body once, from states that are kept."""
        if scan.reverse:
            raise self._refuse(f"it scans {self.axis.name} in reverse", current)
        if self.closed:
            raise self._refuse(f"{self.closed} scans {self.axis.name}", current)
        inner = Walk(self.steps, scan.body, opening=self.opening)
        inner.around = self, current.args
        ports = scan.body.inputs
        held: list[Port] = []
        for i, (port, arg) in enumerate(zip(ports, current.args, strict=False)):
            if i < scan.states and not self.opening:
                wish = scan.body.notes.names.get(port.node, "state")
                held.append(self.steps.state(wish, port.type, port.layout, self.first(arg)))
            inner.new[port.node] = held[i].node if i < len(held) else self(arg) if i < scan.states else self.new[arg]
        if scan.step:
            inner.new[ports[-1].node] = self._position(current)
            inner.clock[ports[-1].node] = build.iota(self.axis)
        self.results[current] = results = [inner(output.node) for output in scan.body.outputs]
        for port, result in zip(held, results, strict=False):
            self.steps.nexts[port.name] = result
        return current

    def _inner(self, graph: Graph, where: str, alone: bool = False) -> Graph:
        """A graph that is run at every step, and has nothing to remember: its values element by element."""
        walk = Walk(self.steps, graph, closed=where, alone=alone)
        for port in graph.inputs:
            walk.new[port.node] = node("input", (), port.name, self.steps.without(port.type))
        inputs = tuple(self.steps.element(port) for port in graph.inputs)
        outputs = tuple(replace(o, node=walk(o.node), layout=self.steps.layout(o.layout)) for o in graph.outputs)
        return replace(graph, inputs=inputs, outputs=outputs, notes=carry(graph.notes, walk.new))

    def _member(self, current: Node, attrs: Member) -> Member:
        """The call of a sub-module with one element."""
        assert self.steps.callees is not None
        try:
            callee = self.steps.callees(attrs, self.axis)
        except UserError as error:
            (problem,) = error.problems
            raise self._refuse(f"in '{attrs.path}' {problem.facts['why']}", current) from None
        if callee.has_state and (self.closed or self.opening):
            raise self._refuse(f"{self.closed or 'what a scan starts from'} has the states of '{attrs.path}'", current)
        layouts, results = (tuple(map(self.steps.layout, found)) for found in (attrs.layouts, attrs.results))
        field = self.steps.field(attrs.path) if callee.has_state else ""
        return replace(attrs, method=callee.method, layouts=layouts, results=results, state=field,
                       types=tuple(map(self.steps.without, attrs.types)))


def _substituted(root: Node, new: dict[Node, Node]) -> Node:
    """An index with the number of the step as the index along the axis."""
    for current in topological((root,)) if new else ():
        args = tuple(new[arg] for arg in current.args)
        plain = current.op in OPS and OPS[current.op].form == "elementwise"
        new.setdefault(current, build.apply(current.op, *args) if plain and args != current.args else current)
    return new.get(root, root)


def _range(size: Size, axes: Iterable[Axis]) -> tuple[Size, Size] | None:
    """The lowest and highest value of an expression that is linear in the indices of some axes."""
    table = {index_of(axis).terms[0][0][0]: axis for axis in axes}
    low = high = Size.of(0)
    for monomial, coefficient in size.terms:
        moving = [atom for atom in monomial if atom in table]
        if not moving:
            if any(not isinstance(atom, Symbol) or atom.name.startswith("#") for atom in monomial):
                return None
            low, high = low + Size(((monomial, coefficient),)), high + Size(((monomial, coefficient),))
        elif len(monomial) == 1:
            most = (table[moving[0]].size - 1) * coefficient
            low, high = (low, high + most) if coefficient > 0 else (low + most, high)
        else:
            return None
    return low, high

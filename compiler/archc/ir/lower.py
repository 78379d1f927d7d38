"""Typed program -> graphs: terms become nodes one to one, names and places go into the notes.

`lower_graph` gives one method with everything inlined; `lower_package` gives the layers as modules that call each other.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from archc.checker import typed
from archc.checker.sizes import Size
from archc.checker.typed import Term
from archc.checker.types import Axis, Type, dim_size, layout_of
from archc.diagnostics.model import CompilerBug
from archc.ir import build, module
from archc.ir.graph import Call, Check, Definition, Graph, Member, Node, Notes, Output, Port, Scan, Update, node, topological
from archc.syntax.tree import Span


def lower_graph(unit: typed.Unit, method: str = "forward", mode: str = "train") -> Graph:
    """A method of a layer as one graph, with sub-layers inlined and their params by path: `blocks.0.norm.gamma`."""
    found = next(m for m in unit.methods if m.name == method)
    return _graph(unit, found, found.train if mode == "train" else found.eval, None)


Joins = Callable[[module.Module, module.Method, Mapping[str, module.Module]], frozenset[str]]
"""Which sub-layers of a module's method, by path, are to be inlined in `joined`; all its callees are there."""


def lower_package(units: Sequence[typed.Unit], source: str, joins: Joins | None = None) -> module.Package:
    """Layers and the sub-layers they are made of, each a module; callees come before their callers."""
    modules: dict[str, module.Module] = {}

    def visit(unit: typed.Unit) -> None:
        if unit.key in modules:
            return
        for child in unit.children:
            for inner in child.units:
                visit(inner)
        made = _module(unit)
        if joins is not None:
            methods = (_joined(unit, m, joins(made, found, modules), found)
                       for m, found in zip(unit.methods, made.methods, strict=True))
            made = replace(made, methods=tuple(methods))
        modules[unit.key] = made

    for unit in units:
        visit(unit)
    return module.Package(source, modules, tuple(unit.key for unit in units))


def _joined(unit: typed.Unit, method: typed.Method, members: frozenset[str], found: module.Method) -> module.Method:
    if not members:
        return found
    train = _graph(unit, method, method.train, members)
    other = train if method.eval is method.train else _graph(unit, method, method.eval, members)
    return replace(found, joined=module.Joined(tuple(sorted(members)), train, other))


def _module(unit: typed.Unit) -> module.Module:
    numbers = tuple(module.Number(n.name, n.kind, n.default) for n in unit.numbers)
    stored: list[module.Stored] = []
    for item in unit.stored:
        value = None
        if item.value is not None:
            value = _value_graph(unit, item)
        stored.append(module.Stored(item.kind, item.name, item.type.dtype, item.layout, value, item.of))
    children = tuple(
        module.Child(
            c.name,
            tuple(u.key for u in c.units),
            tuple(
                {name: _scalar_graph(unit, f"{c.name}.{name}", term) for name, term in arguments.items()}
                for arguments in c.arguments
            ),
            c.is_list,
        )
        for c in unit.children
    )
    methods = tuple(
        module.Method(
            m.name,
            m.doc,
            train := _graph(unit, m, m.train, frozenset()),
            train if m.eval is m.train else _graph(unit, m, m.eval, frozenset()),
            {i.name: i.default for i in m.inputs if i.default is not None},
            m.no_grad,
            tuple(module.Number(n.name, n.kind, n.default) for n in m.numbers),
            m.statics,
            m.signature,
        )
        for m in unit.methods
    )
    return module.Module(
        unit.name,
        unit.key,
        unit.doc,
        numbers,
        unit.statics,
        _definitions(unit.splits),
        _checks(unit.checks, None),
        tuple(stored),
        children,
        methods,
        unit.span,
    )


def _graph(unit: typed.Unit, method: typed.Method, body: typed.Body, inline: frozenset[str] | None) -> Graph:
    """One mode of a method. `inline`: the sub-layers whose calls are inlined, by path; None for all."""
    def has(path: str, effects: Container[str]) -> bool:
        return inline is None or path in effects or any(path.startswith(f"{member}.") for member in inline)

    lowering = _Lowering(inline, list(_paths(unit)))
    outputs = tuple(Output(r.name, lowering(r.term), r.layout) for r in body.results)
    own = None if inline is None else {"", *inline}
    stored = [(buffer, term) for buffer, term in body.updates if has(buffer.path, body.effects)]
    for buffer, _ in stored:
        lowering(buffer)  # a port, even where nothing reads it
    updates = tuple(Update(buffer.path, lowering(term)) for buffer, term in stored)
    penalties = tuple(Output(path, lowering(term), ()) for path, term in body.penalties if has(path, body.effects))
    inputs = tuple(Port(i.name, i.type, i.layout) for i in method.inputs)
    roots = [*(o.node for o in outputs), *(u.node for u in updates), *(p.node for p in penalties)]
    lowering.name(body.names)
    ports = lowering.reached(roots, {i.name for i in inputs}, (buffer.path for buffer, _ in stored))
    graph = Graph(
        name=unit.name if method.name == "forward" else f"{unit.name}.{method.name}",
        inputs=(*inputs, *ports),
        outputs=outputs,
        updates=updates,
        penalties=penalties,
        numbers=tuple(n.name for n in (*unit.numbers, *method.numbers) if n.kind in ("axis", "int")),
        definitions=(),
        checks=_checks(body.checks, own),
        notes=Notes(lowering.spans, lowering.names, method.doc or unit.doc),
    )
    return _with_definitions(graph, (*unit.splits, *body.splits))


def _paths(unit: typed.Unit, prefix: str = "") -> Iterator[str]:
    """Paths of the numbers, params and buffers of a layer and its sub-layers."""
    yield from (prefix + number.name for number in unit.numbers)
    yield from (prefix + item.name for item in unit.stored)
    for child in unit.children:
        for position, inner in enumerate(child.units):
            yield from _paths(inner, f"{prefix}{child.name}.{position}." if child.is_list else f"{prefix}{child.name}.")


def _value_graph(unit: typed.Unit, item: typed.Stored) -> Graph:
    """The graph that fills a param: its inputs are the params before it and the numbers that it reads."""
    assert item.value is not None
    lowering = _Lowering(None)
    output = Output(item.name, lowering(item.value), item.layout)
    return _small_graph(unit, f"{unit.name}.{item.name}", output, lowering)


def _scalar_graph(unit: typed.Unit, name: str, term: Term) -> Graph:
    lowering = _Lowering(None)
    return _small_graph(unit, name, Output(name, lowering(term), ()), lowering)


def _small_graph(unit: typed.Unit, name: str, output: Output, lowering: _Lowering) -> Graph:
    """A graph with one output that is computed when a module is constructed."""
    graph = Graph(
        name,
        lowering.reached([output.node], set(), ()),
        (output,),
        numbers=tuple(n.name for n in unit.numbers if n.kind in ("axis", "int")),
        notes=Notes(lowering.spans, lowering.names),
    )
    return _with_definitions(graph, unit.splits)


def _definitions(splits: Iterable[typed.SplitSize]) -> tuple[Definition, ...]:
    return tuple(Definition(s.symbol, s.whole // s.part, s.whole, s.part, s.span) for s in splits)


def _checks(checks: Iterable[typed.EntryCheck], paths: Container[str] | None) -> tuple[Check, ...]:
    """The checks of some layers (by path), or of a whole tree (None); each once."""
    found = (Check(c.left, c.right, c.relation, c.message, c.span) for c in checks if paths is None or c.path in paths)
    return tuple(dict.fromkeys(found))


def _with_definitions(graph: Graph, splits: Sequence[typed.SplitSize]) -> Graph:
    """The graph with those definitions that its sizes need, directly or through one another."""
    needed = _symbols(graph)
    kept: list[Definition] = []
    for definition in reversed(list(dict.fromkeys(_definitions(splits)))):
        if definition.symbol in needed:
            kept.append(definition)
            needed |= definition.whole.symbols | definition.part.symbols
    kept.reverse()
    return replace(graph, definitions=(*kept, *_defined_by_checks(graph, kept, needed)))


def _defined_by_checks(graph: Graph, definitions: Sequence[Definition], needed: set[str]) -> list[Definition]:
    """Sizes that no input's shape gives, but a check does: `2*y == h`, from a callee that splits an axis of its caller."""
    known = {*graph.numbers, *(d.symbol for d in definitions)}
    dims = [dim_size(dim) for port in graph.inputs for dim in port.layout]
    found: list[Definition] = []
    while True:
        progress = {symbols.pop() for size in dims if len(symbols := set(size.symbols - known)) == 1}
        known |= progress
        if not needed - known:
            return found
        for check in graph.checks:
            for open_side, whole in ((check.left, check.right), (check.right, check.left)):
                unknown = open_side.symbols - known
                if check.relation == "equal" and len(unknown) == 1 and whole.symbols <= known and len(open_side.terms) == 1:
                    symbol = next(iter(unknown))
                    part = open_side // Size.symbol(symbol)
                    if symbol not in part.symbols:
                        found.append(Definition(symbol, whole // part, whole, part, check.span))
                        progress.add(symbol)
                        known.add(symbol)
        if not progress:
            return found


def _symbols(graph: Graph) -> set[str]:
    found: set[str] = set()
    layouts = [*(p.layout for p in graph.inputs), *(o.layout for o in graph.outputs)]
    for layout in layouts:
        for dim in layout:
            for axis in dim:
                found |= axis.size.symbols
    for check in graph.checks:
        found |= check.left.symbols | check.right.symbols
    for current in topological(graph.roots):
        for axis in current.axes:
            found |= axis.size.symbols
        if isinstance(current.attrs, Size):
            found |= current.attrs.symbols
        elif isinstance(current.attrs, Axis):
            found |= current.attrs.size.symbols
    return found


LEAVES = (typed.Const, typed.Table, typed.SizeValue, typed.AxisIndex)


class _Surroundings:
    """What the body of a loop reads from outside: whole sequences at the step, and constants."""

    def __init__(self, loop: typed.Loop, arguments: Callable[[Term], Iterator[Term]]) -> None:
        own = {id(loop.step), *(id(state) for state in loop.states)}
        roots = (*loop.nexts, *loop.yields)
        inside = _depending(roots, own, arguments)
        self.sequences: list[tuple[typed.ReadAt, Term]] = []
        self.constants: list[Term] = []
        self.step = False
        seen: set[int] = set()
        places: set[int] = set()
        stack: list[Term] = list(reversed(roots))
        while stack:
            term = stack.pop()
            if id(term) in seen:
                continue
            seen.add(id(term))
            if isinstance(term, LEAVES) or id(term) in places:
                continue  # made anew inside: cheaper than carried in, and an index that is seen is a view
            if id(term) not in inside:
                self.constants.append(term)
            elif id(term) in own:
                self.step |= term is loop.step
            elif isinstance(term, typed.ReadAt) and _at_step(term, loop) and id(term.arg) not in inside:
                self.sequences.append((term, term.arg))
            else:
                if isinstance(term, typed.ReadAt):
                    places |= {id(index) for _, index, _ in term.at if id(index) not in inside and _of_leaves(index)}
                stack.extend(reversed(list(arguments(term))))
        self.outside: tuple[Term, ...] = (*loop.starts, *(whole for _, whole in self.sequences), *self.constants)


def _of_leaves(term: Term) -> bool:
    """Whether an index is arithmetic of sizes and of other indices."""
    return isinstance(term, LEAVES) or (isinstance(term, typed.Apply) and all(map(_of_leaves, term.args)))


def _at_step(term: typed.ReadAt, loop: typed.Loop) -> bool:
    """Whether a read takes the element of the step and nothing else."""
    return len(term.at) == 1 and term.at[0][0] == loop.axis and term.at[0][1] is loop.step and term.fill is None


def _depending(roots: Sequence[Term], own: set[int], arguments: Callable[[Term], Iterator[Term]]) -> set[int]:
    """The terms that read the step or a state of a loop, directly or not."""
    inside: set[int] = set(own)
    done: set[int] = set(own)
    stack: list[tuple[Term, bool]] = [(root, False) for root in roots]
    while stack:
        term, ready = stack.pop()
        if id(term) in done:
            continue
        if not ready:
            stack.append((term, True))
            stack.extend((arg, False) for arg in arguments(term))
            continue
        done.add(id(term))
        if any(id(arg) in inside for arg in (*arguments(term), *_steps(term))):
            inside.add(id(term))
    return inside


def _steps(term: Term) -> tuple[Term, ...]:
    """The steps at each of which a term is drawn anew."""
    if isinstance(term, typed.Draw):
        return term.steps
    return term.loop.steps if isinstance(term, typed.LoopResult) else ()


@dataclass
class _Lowering:
    """Nodes of terms already lowered, by identity, and the notes gathered on the way."""

    inline: frozenset[str] | None  # sub-layers by path; None: all
    order: list[str] = field(default_factory=list)  # paths of everything stored, as the source declares it
    done: dict[int, Node] = field(default_factory=dict)
    kept: list[Term] = field(default_factory=list)  # keeps terms alive, so that no identity is used twice
    refs: dict[str, Port] = field(default_factory=dict)
    spans: dict[Node, Span] = field(default_factory=dict)
    names: dict[Node, str] = field(default_factory=dict)
    groups: dict[int, Node] = field(default_factory=dict)
    members: int = 0
    loops: dict[int, Node] = field(default_factory=dict)
    surroundings: dict[int, _Surroundings] = field(default_factory=dict)
    bodies: list[_Lowering] = field(default_factory=list)  # of the loops

    def __call__(self, term: Term) -> Node:
        stack: list[tuple[Term, bool]] = [(term, False)]
        while stack:
            current, ready = stack.pop()
            if id(current) in self.done:
                continue
            if not ready:
                stack.append((current, True))
                stack.extend((arg, False) for arg in reversed(list(self.arguments(current))) if id(arg) not in self.done)
                continue
            result = self.make(current)
            self.done[id(current)] = result
            self.kept.append(current)
            self.spans.setdefault(result, current.span)
        return self.done[id(term)]

    def arguments(self, term: Term) -> Iterator[Term]:
        match term:
            case typed.Apply(args=args) | typed.Draw(args=args) | typed.CustomCall(args=args) | typed.MatrixCall(args=args):
                yield from args
            case typed.Reduction(arg=arg) | typed.Transform(arg=arg) | typed.Expand(arg=arg):
                yield arg
            case typed.ReadAt(arg=arg, at=at, fill=fill):
                yield arg
                yield from (index for _, index, _ in at)
                if fill is not None:
                    yield fill
            case typed.MemberCall(args=args, inlined=inlined):
                yield from (inlined,) if self.inlines(term) else args
            case typed.LoopResult(loop=loop):
                yield from self.around(loop).outside

    def make(self, term: Term) -> Node:
        match term:
            case typed.Const(value=value):
                return build.const(value)
            case typed.Table(axes=axes, shape=shape, values=values, type=type_):
                return build.table(axes, shape, values, type_.dtype)
            case typed.SizeValue(size=size):
                return build.size(size)
            case typed.AxisIndex(axis=axis):
                return build.iota(axis)
            case typed.Ref(path=path, role=role, type=type_, layout=layout):
                port = self.refs.setdefault(path, Port(path, type_, layout, role))
                self.names.setdefault(port.node, path)
                return port.node
            case typed.Apply(op=op, args=args):
                return build.apply(op, *(self.done[id(arg)] for arg in args))
            case typed.MatrixCall(op=op, args=args, rows=rows, columns=columns):
                return build.matrix(op, rows, columns, *(self.done[id(arg)] for arg in args))
            case typed.Reduction(op=op, arg=arg, over=over):
                return build.reduce(op, self.done[id(arg)], over)
            case typed.Transform(op=op, arg=arg, over=over, half=half, norm=norm):
                return build.fourier(op, self.done[id(arg)], over, half, norm)
            case typed.ReadAt(arg=arg, at=at, fill=fill):
                indices = {axis: (self.done[id(index)], policy) for axis, index, policy in at}
                return build.read(self.done[id(arg)], indices, self.done[id(fill)] if fill is not None else None)
            case typed.Expand(arg=arg, axes=axes):
                return build.expand(self.done[id(arg)], axes)
            case typed.Draw(kind=kind, args=args, axes=order, serial=serial):
                return build.random(kind, (self.done[id(arg)] for arg in args), order, serial)
            case typed.LoopResult(loop=loop, index=index, final=final, type=type_):
                return build.item(self.loop(loop), index if final else len(loop.states) + index, type_)
            case typed.Step() | typed.StateRef():
                raise CompilerBug(f"a {term.__class__.__name__} outside of its loop at {term.span}")
            case typed.CustomCall():
                return self.custom(term)
            case typed.MemberCall():
                return self.done[id(term.inlined)] if self.inlines(term) else self.member(term)

    def inlines(self, term: typed.MemberCall) -> bool:
        return self.inline is None or term.member in self.inline

    def around(self, loop: typed.Loop) -> _Surroundings:
        """What a loop's body reads from outside; found once."""
        if id(loop) not in self.surroundings:
            self.surroundings[id(loop)] = _Surroundings(loop, self.arguments)
        return self.surroundings[id(loop)]

    def loop(self, loop: typed.Loop) -> Node:
        """The `scan` node of a loop; the terms around it are lowered already."""
        if id(loop) in self.loops:
            return self.loops[id(loop)]
        around = self.around(loop)
        body = _Lowering(self.inline, self.order)
        self.bodies.append(body)
        ports: list[Port] = []

        def port(name: str, term: Term, type_: Type, order: Sequence[Axis] = ()) -> None:
            ports.append(Port(name, type_, layout_of(order or sorted(type_.axes, key=lambda axis: axis.name))))
            body.done[id(term)] = ports[-1].node

        for position, state in enumerate(loop.states):
            port(f"state{position}", state, state.type, state.order)
            body.names[ports[-1].node] = state.name
        # What enters is told apart by its value: one that two terms stand for enters once.
        wholes: dict[Node, Node] = {}
        for element, term in around.sequences:
            whole = self.done[id(term)]
            if whole not in wholes:
                port(f"element{len(wholes)}", element, element.type)
                wholes[whole] = ports[-1].node
            body.done[id(element)] = wholes[whole]
        constants: dict[Node, Node] = {}
        for term in around.constants:
            found = self.done[id(term)]
            if found.op in ("const", "size", "iota"):
                body.done[id(term)] = found  # as the leaves among the terms
                continue
            if found not in constants:
                port(f"outer{len(constants)}", term, found.type)
                constants[found] = ports[-1].node
            body.done[id(term)] = constants[found]
        if around.step:
            port("step", loop.step, loop.step.type)
        results = [body(term) for term in (*loop.nexts, *loop.yields)]
        orders = [state.order for state in loop.states]
        orders += [tuple(sorted(n.axes, key=lambda axis: axis.name)) for n in results[len(loop.states):]]
        outputs = tuple(Output(f"out{k}", n, layout_of(order)) for k, (n, order) in enumerate(zip(results, orders, strict=True)))
        graph = Graph("step", tuple(ports), outputs, notes=Notes(body.spans, body.names))
        args = [*(self.done[id(term)] for term in loop.starts), *wholes, *constants]
        attrs = Scan(loop.axis, loop.reverse, len(loop.states), len(wholes), around.step, graph)
        found = node("scan", args, attrs, Type("float"))
        self.spans.setdefault(found, loop.span)
        self.loops[id(loop)] = found
        return found

    def custom(self, term: typed.CustomCall) -> Node:
        call = self.groups.get(id(term.group))
        if call is None:
            fn = term.fn
            body, vjp = _fn_graph(fn.name, fn.inputs, fn.body, self), _fn_graph(f"{fn.name}_grad", fn.vjp_inputs, fn.vjp, self)
            args = tuple(self.done[id(arg)] for arg in term.args)
            call = node("call", args, Call(body, vjp, fn.wrt, fn.stopped, fn.surrogate), Type(term.type.dtype))
            self.groups[id(term.group)] = call
            self.spans.setdefault(call, term.span)
        return build.item(call, term.index, term.type)

    def member(self, term: typed.MemberCall) -> Node:
        call = self.groups.get(id(term.group))
        if call is None:
            self.members += 1
            attrs = Member(term.member, term.method, term.layouts, term.result_layouts, term.types, self.members)
            call = node("member", tuple(self.done[id(arg)] for arg in term.args), attrs, Type(term.type.dtype))
            self.groups[id(term.group)] = call
        return build.item(call, term.index, term.type)

    def name(self, names: Iterable[tuple[Term, str]]) -> None:
        """Note what the source calls the nodes that were made; of several names the first holds."""
        names = tuple(names)
        for term, name in names:
            if id(term) in self.done:
                self.names.setdefault(self.done[id(term)], name)
        for body in self.bodies:
            body.name(names)

    def reached(self, roots: Sequence[Node], inputs: set[str], more: Iterable[str]) -> tuple[Port, ...]:
        """The ports besides the method's inputs that the roots read, and updated buffers; as the source declares them."""
        names = {current.attrs for current in topological(roots) if current.op == "input"} | set(more)
        place = {path: position for position, path in enumerate(self.order)}
        ports = [port for path, port in self.refs.items() if path in names and path not in inputs]
        return tuple(sorted(ports, key=lambda port: place.get(port.name, -1)))


def _fn_graph(name: str, inputs: Sequence[typed.TensorInput], body: typed.Body, outer: _Lowering) -> Graph:
    """The body of a fn with a derivative of its own. What it reads besides its inputs (params, numbers) enters as ports."""
    lowering = _Lowering(None)
    outputs = tuple(Output(r.name, lowering(r.term), r.layout) for r in body.results)
    own = {i.name for i in inputs}
    ports = lowering.reached([o.node for o in outputs], own, ())
    outer.spans.update(lowering.spans)
    arguments = (Port(i.name, i.type, i.layout) for i in inputs)
    return Graph(name, (*arguments, *ports), outputs, notes=Notes(lowering.spans, lowering.names))

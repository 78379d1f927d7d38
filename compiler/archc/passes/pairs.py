"""Write complex numbers as pairs of floats, for whoever has no complex numbers (torch.export to most of its readers, ONNX):

    z[n]: complex        -> z[n, pair], as torch.view_as_real lays them
    z * w                -> (re z * re w - im z * im w, re z * im w + im z * re w)
    fft[t](z)            -> products with matrices of cosines and sines: its definition, of |t| steps for each element

Values and derivatives are the same: torch's derivative by a complex number is that by its parts, as a pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from archc.checker.sizes import Size
from archc.checker.types import Axis, Layout, Type
from archc.diagnostics.codes import NOT_SUPPORTED
from archc.diagnostics.model import Limit, Problem
from archc.ir import build
from archc.ir.forms.call import SEVERAL
from archc.ir.forms.fourier import by_sum
from archc.ir.graph import Call, Fourier, Graph, Member, Node, Notes, Output, Port, Scan, Update, inside, node, topological
from archc.ir.module import Method, Module, Package, Stored
from archc.ir.text import axes_of
from archc.ops.table import OPS
from archc.passes.base import Keeps, Pass

Pair = tuple[Node, Node]  # real and imaginary part
ZERO, ONE = build.const(0.0), build.const(1.0)


def pairs(graph: Graph) -> Graph:
    """The graph with a last axis of size 2 in the place of complex numbers, in its inputs and outputs too."""
    if not any(current.type.dtype == "complex" for current in _everywhere(graph)) and not _complex_ports(graph):
        return graph
    taken = {axis.name for inner in _graphs(graph) for axis in axes_of(inner)}
    axis = Axis(_free("pair", taken), Size.of(2))
    return _Pairs(graph, axis, taken).graph()


PAIRS = Pass("pairs", "write complex numbers as pairs of floats, and their transforms as products", pairs, Keeps.NOTHING)


def paired(package: Package) -> Package:
    """Modules without complex numbers: params and buffers too are pairs."""
    return replace(package, modules={key: _module(module) for key, module in package.modules.items()})


def _module(module: Module) -> Module:
    done: dict[int, Graph] = {}

    def graph_of(graph: Graph) -> Graph:
        return done.setdefault(id(graph), pairs(graph))

    def stored(item: Stored) -> Stored:
        value = graph_of(item.value) if item.value is not None else None
        if item.dtype != "complex":
            return replace(item, value=value)
        layout = value.outputs[0].layout if value is not None else _wider(item.layout, Axis("pair", Size.of(2)))
        return replace(item, dtype="float", layout=layout, value=value)

    def method(item: Method) -> Method:
        kinds = {port.name: port.type.dtype for port in item.train.inputs}
        if told := next((name for name, value in item.defaults.items() if kinds[name] == "complex" and value), None):
            what = f"pairs of floats for the complex input '{told}', which has a default other than 0"
            raise Limit([Problem(NOT_SUPPORTED, module.span, {"what": what})])
        step = replace(item.step, start=graph_of(item.step.start)) if item.step else None
        return replace(item, train=graph_of(item.train), eval=graph_of(item.eval), step=step)

    return replace(module, stored=tuple(map(stored, module.stored)), methods=tuple(map(method, module.methods)))


def _graphs(graph: Graph) -> Iterator[Graph]:
    """The graph and all inside it."""
    yield graph
    for current in topological(graph.roots):
        for inner in inside(current):
            yield from _graphs(inner)


def _everywhere(graph: Graph) -> Iterator[Node]:
    for inner in _graphs(graph):
        yield from topological(inner.roots)


def _complex_ports(graph: Graph) -> bool:
    return any(port.type.dtype == "complex" for port in graph.inputs)


def _free(wish: str, taken: set[str]) -> str:
    name = next(name for i in range(1, len(taken) + 2) if (name := wish if i == 1 else f"{wish}_{i}") not in taken)
    taken.add(name)
    return name


def _wider(layout: Layout, axis: Axis) -> Layout:
    return (*layout, (axis,))


class _Pairs:
    """One graph, or one inside it, being rewritten. `new` has the nodes that are no complex number, `parts` those that are."""

    def __init__(self, graph: Graph, axis: Axis, taken: set[str]) -> None:
        self.old, self.axis, self.taken = graph, axis, taken
        self.new: dict[Node, Node] = {}
        self.parts: dict[Node, Pair] = {}
        self.twins: dict[Axis, Axis] = {}
        self.done: dict[int, Graph] = {}

    def graph(self) -> Graph:
        old = self.old
        ports = {port: self.port(port) for port in old.inputs}
        for port, made in ports.items():
            if made is not port:
                self.parts[port.node] = self.split(made.node)
        for current in topological(old.roots):
            if current.op in SEVERAL:
                self.new[current] = self.several(current)
            elif current.type.dtype != "complex":
                self.new[current] = self.real(current)
            elif current not in self.parts:
                self.parts[current] = self.complex(current)
        return replace(
            old,
            inputs=tuple(ports.values()),
            outputs=tuple(map(self.output, old.outputs)),
            updates=tuple(Update(u.buffer, self.whole(u.node)) for u in old.updates),
            penalties=tuple(map(self.output, old.penalties)),
            notes=self.notes(),
        )

    def notes(self) -> Notes:
        """Names and places: a complex `y` is `y_real` and `y_imag`."""
        notes = self.old.notes
        spans, names = dict(notes.spans), dict(notes.names)
        made = [(old, new, "") for old, new in self.new.items()]
        made += [(old, part, end) for old, z in self.parts.items() for part, end in zip(z, ("_real", "_imag"), strict=True)]
        for old, new, ending in made:
            if old in notes.spans:
                spans.setdefault(new, notes.spans[old])
            if old in notes.names and new.args:
                names.setdefault(new, notes.names[old] + ending)
        return replace(notes, spans=spans, names=names)

    # -- ports and stacks ----------------------------------------------------------------------------------------
    def port(self, port: Port) -> Port:
        if port.type.dtype != "complex":
            return port
        return replace(port, type=self.type(port.type), layout=_wider(port.layout, self.axis))

    def type(self, type_: Type) -> Type:
        return Type("float", type_.axes | {self.axis}) if type_.dtype == "complex" else type_

    def output(self, output: Output) -> Output:
        layout = _wider(output.layout, self.axis) if output.node.type.dtype == "complex" else output.layout
        return Output(output.name, self.whole(output.node), layout)

    def split(self, stacked: Node) -> Pair:
        real, imag = (build.read(stacked, {self.axis: (build.const(place), "trust")}) for place in (0, 1))
        return real, imag

    def whole(self, old: Node) -> Node:
        """A value as one node: the parts of a complex number along the axis of pairs."""
        if old.type.dtype != "complex":
            return self.new[old]
        real, imag = self.parts[old]
        return build.apply("where", build.apply("lt", build.iota(self.axis), build.const(1)), real, imag)

    def of(self, old: Node) -> Pair:
        """The parts of an operand; a float has no imaginary one."""
        return self.parts[old] if old.type.dtype == "complex" else (self.new[old], ZERO)

    # -- nodes ---------------------------------------------------------------------------------------------------
    def several(self, old: Node) -> Node:
        """A call, loop or sub-module: complex operands and results are stacked."""
        args = [build.expand(self.whole(arg), self.type(arg.type).axes) for arg in old.args]
        attrs = old.attrs
        if isinstance(attrs, Member):
            layouts = self.layouts(attrs.layouts, [arg.type for arg in old.args])
            types = tuple(map(self.type, attrs.types))
            attrs = replace(attrs, layouts=layouts, results=self.layouts(attrs.results, attrs.types), types=types)
        elif isinstance(attrs, Call):
            attrs = replace(attrs, body=self.inside(attrs.body), vjp=self.inside(attrs.vjp))
        elif isinstance(attrs, Scan):
            attrs = replace(attrs, body=self.inside(attrs.body))
        return node(old.op, args, attrs, self.type(old.type))

    def layouts(self, found: Sequence[Layout], types: Sequence[Type]) -> tuple[Layout, ...]:
        return tuple(_wider(layout, self.axis) if type_.dtype == "complex" else layout
                     for layout, type_ in zip(found, types, strict=True))

    def inside(self, graph: Graph) -> Graph:
        """A graph inside: it speaks of the same axes."""
        if id(graph) not in self.done:
            self.done[id(graph)] = _Pairs(graph, self.axis, self.taken).graph()
        return self.done[id(graph)]

    def real(self, old: Node) -> Node:
        """A node that gives no complex number, perhaps of some."""
        if old.op == "item":
            return build.item(self.new[old.args[0]], old.attrs, old.type)  # type: ignore[arg-type]
        if not any(arg.type.dtype == "complex" for arg in old.args):
            if isinstance(old.attrs, Fourier):
                return self.transform(old)[0]
            args = tuple(self.new[arg] for arg in old.args)
            return old if args == old.args else node(old.op, args, old.attrs, old.type)
        return build.expand(REAL[old.op](*map(self.of, old.args)) if old.op in REAL else self.transform(old)[0], old.axes)

    def complex(self, old: Node) -> Pair:
        if old.op == "item":
            stacked = build.item(self.new[old.args[0]], old.attrs, self.type(old.type))  # type: ignore[arg-type]
            return self.split(stacked)
        if isinstance(old.attrs, Fourier):
            return self.transform(old)
        if old.op == "where":
            condition, (a, b), (c, d) = self.new[old.args[0]], self.of(old.args[1]), self.of(old.args[2])
            return build.apply("where", condition, a, c), build.apply("where", condition, b, d)
        if old.op == "ipow":
            return _power(self.of(old.args[0]), self.new[old.args[1]])
        if old.op in COMPLEX:
            return COMPLEX[old.op](*map(self.of, old.args))
        # Linear over the reals, in the first operand or in all that are complex: one part after the other.
        every = [self.of(arg) if arg.type.dtype == "complex" else (self.new[arg], self.new[arg]) for arg in old.args]
        real, imag = (self.alike(old, tuple(part[place] for part in every)) for place in (0, 1))
        return real, imag

    def alike(self, old: Node, args: tuple[Node, ...]) -> Node:
        """The same operation of floats, which may lack axes that the complex number had."""
        if old.op in OPS and OPS[old.op].form != "elementwise":
            return build.reduce(old.op, args[0], old.attrs)  # type: ignore[arg-type]
        if old.op in OPS:
            return build.apply(old.op, *args)
        x = build.expand(args[0], old.args[0].axes)
        return node(old.op, (x, *args[1:]), old.attrs, Type("float", old.axes))

    def transform(self, old: Node) -> Pair:
        attrs = old.attrs
        assert isinstance(attrs, Fourier)
        x = old.args[0]
        for axis in attrs.over:
            if axis not in self.twins:
                self.twins[axis] = Axis(_free(f"{axis.name.strip('.') or 'lead'}_2", self.taken), axis.size)
        real, imag = (build.expand(part, x.axes) if part is not ZERO else part for part in self.of(x))
        return by_sum(old, real, None if x.type.dtype == "float" else imag, self.twins)


# ---------------------------------------------------------------------------------------------------- arithmetic of parts
def _plus(a: Node, b: Node) -> Node:
    return b if a is ZERO else a if b is ZERO else build.apply("add", a, b)


def _minus(a: Node, b: Node) -> Node:
    return a if b is ZERO else build.apply("neg", b) if a is ZERO else build.apply("sub", a, b)


def _times(a: Node, b: Node) -> Node:
    return ZERO if ZERO in (a, b) else build.apply("mul", a, b)


def _product(z: Pair, w: Pair) -> Pair:
    (a, b), (c, d) = z, w
    return _minus(_times(a, c), _times(b, d)), _plus(_times(a, d), _times(b, c))


def _quotient(z: Pair, w: Pair) -> Pair:
    (a, b), (c, d) = z, w
    if d is ZERO:
        return build.apply("div", a, c), ZERO if b is ZERO else build.apply("div", b, c)
    square = _square(w)
    real, imag = _plus(_times(a, c), _times(b, d)), _minus(_times(b, c), _times(a, d))
    return build.apply("div", real, square), build.apply("div", imag, square)


def _square(z: Pair) -> Node:
    return _plus(_times(z[0], z[0]), _times(z[1], z[1]))


def _abs(z: Pair) -> Node:
    """0 at 0, with the derivative 0."""
    square = _square(z)
    return build.apply("where", build.apply("eq", square, ZERO), ZERO, build.apply("sqrt", build.apply("positive", square)))


def _angle(z: Pair) -> Node:
    nothing = build.apply("eq", _square(z), ZERO)
    return build.apply("where", nothing, ZERO, build.apply("atan2", z[1], build.apply("where", nothing, ONE, z[0])))


def _exp(z: Pair) -> Pair:
    size = build.apply("exp", z[0])
    return _times(size, build.apply("cos", z[1])), _times(size, build.apply("sin", z[1]))


def _power(z: Pair, exponent: Node) -> Pair:
    """By products where the exponent is known and small, else by size and angle."""
    if exponent.op == "const" and isinstance(exponent.attrs, int) and exponent.attrs <= 16:
        result: Pair = (ONE, ZERO)
        for digit in f"{exponent.attrs:b}":
            result = _product(result, result)
            result = _product(result, z) if digit == "1" else result
        return result
    size, turned = build.apply("ipow", _abs(z), exponent), build.apply("mul", _angle(z), exponent)
    return _times(size, build.apply("cos", turned)), _times(size, build.apply("sin", turned))


def _both(joined: str, compared: str) -> Callable[[Pair, Pair], Node]:
    return lambda z, w: build.apply(joined, build.apply(compared, z[0], w[0]), build.apply(compared, z[1], w[1]))


REAL: dict[str, Callable[..., Node]] = {
    "real": lambda z: z[0], "imag": lambda z: z[1], "abs": _abs, "angle": _angle,
    "eq": _both("and", "eq"), "ne": _both("or", "ne"),
}
"""Operations that give no complex number of complex ones."""

COMPLEX: dict[str, Callable[..., Pair]] = {
    "complex": lambda x, y: (x[0], y[0]), "conj": lambda z: (z[0], _minus(ZERO, z[1])), "exp": _exp,
    "add": lambda z, w: (_plus(z[0], w[0]), _plus(z[1], w[1])), "sub": lambda z, w: (_minus(z[0], w[0]), _minus(z[1], w[1])),
    "mul": _product, "div": _quotient,
}
"""Operations that are not one part after the other."""

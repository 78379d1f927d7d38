"""`.arch` source from a graph: a layer that checks, and lowers to a graph of the same digest.

Names come from the notes. A value has a statement of its own where it is used more than once, has a name, or would make a line
too long; the rest is written in place. Raises ValueError for a graph that the language has no words for: one without results,
with sub-modules that are not inlined, with `accumulate` (which only derivatives have), a table, an index along `...` or a
repetition along it, or with draws that only an initialiser makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis, Dim, Layout, dim_size, flat
from archc.ir.apart import apart
from archc.ir.forms.call import SEVERAL
from archc.ir.graph import Call, Definition, Graph, Port, Read, inside, topological
from archc.ir.source_body import ATOM, WIDTH, Body, Names, bare, in_order
from archc.ir.text import axes_of


def to_source(graph: Graph, name: str, start: Mapping[str, str] | None = None) -> str:
    """A layer of this name that computes the graph.

    `start` has the initial value of params and buffers by name, as expressions of the language; what is not there is `given`.
    """
    writer = _Layer(apart(graph), name, start or {})
    layer = writer.text()
    return "\n\n".join([*writer.helpers.values(), *writer.fns.values(), layer]) + "\n"


class _Layer:
    """The layer being written, with the fns that it needs beside it."""

    def __init__(self, graph: Graph, name: str, start: Mapping[str, str]) -> None:
        self.graph, self.name, self.start = graph, name, start
        self.globals = Names([name])
        self.helpers: dict[int, str] = {}
        self.fns: dict[Call, str] = {}
        self.fn_names: dict[Call, str] = {}
        self.axes: dict[Axis, str] = {axis: LEADING for axis in axes_of(graph) if axis.name == LEADING}
        self.symbols: dict[str, str] = {}
        self.wholes: dict[Dim, str] = {}
        self.quotients: list[Definition] = []  # those for which an axis was declared
        self.split: set[str] = set()  # the numbers whose axes are split

    def text(self) -> str:
        if not self.graph.outputs:
            raise ValueError("`forward` has a result, and a graph that only stores has none")
        names = Names([self.name])
        body = Body(self.graph, self, names, self.axes, self.symbols)
        parameters = self.parameters(names)
        ports = {port: names.fresh(port.name) for port in self.graph.inputs if port.role != "number"}
        for d in self.graph.definitions:
            if str(d.whole) not in self.split and (d.whole.symbols | d.part.symbols) <= self.symbols.keys():
                self.quotient(d, body)
        above = [f"    {line}" for line in body.lines]
        body.lines.clear()
        body.sized.clear()
        # What the layer stores stands above `forward`, so its axes are declared first.
        shown = {port: f"{ports[port]}{self.dims(port.layout, body)}{dtype_text(port)}"
                 for port in sorted(ports, key=lambda port: port.role == "input")}
        stored = [f"    {port.role} {text} = {self.start.get(port.name, 'given')}"
                  for port, text in shown.items() if port.role != "input"]
        inputs = [text for port, text in shown.items() if port.role == "input"]
        for port in self.graph.inputs:
            body.written[port.node] = (ports.get(port) or self.symbols[port.name], ATOM)
        self.definitions(body)
        results = self.forward(body)
        doc = [f"# {line}".rstrip() for line in self.graph.notes.doc.splitlines()]
        head = f"layer {self.name}({', '.join(parameters)}) {{"
        signature = f"    forward({', '.join(inputs)}) -> {results} {{"
        if len(signature) > WIDTH:
            signature = f"    forward({', '.join(inputs)})\n            -> {results} {{"
        return "\n".join([*doc, head, *above, *stored, signature, *(f"        {line}" for line in body.lines), "    }", "}"])

    def parameters(self, names: Names) -> list[str]:
        """The constructor's signature. A number is an axis if one has its name and size, or a split is of it; else an int."""
        graph = self.graph
        own = {axis.name: axis for axis in axes_of(graph) if axis.size == Size.symbol(axis.name)}
        dims = {dim_size(dim): dim for port in graph.inputs for dim in port.layout if len(dim) > 1}
        found = []
        for number in graph.numbers:
            name = names.fresh(number)
            # An axis that is whole somewhere is split nowhere in one layer: there its parts are axes of their own, with a check.
            whole = next((d for d in graph.definitions if d.whole == Size.symbol(number)
                          and Size.symbol(d.symbol) * d.part in dims and number not in own), None)
            if number in own:
                self.axes[own[number]] = name
            if whole is not None:
                self.split.add(number)
                self.wholes[dims[Size.symbol(whole.symbol) * whole.part]] = name
            is_axis = number in own or whole is not None
            self.symbols[number] = f"|{name}|" if is_axis else name
            found.append(f"{name}: {'axis' if is_axis else 'int'}")
        for port in graph.inputs:
            if port.role == "number":
                self.symbols[port.name] = names.fresh(port.name)
                found.append(f"{self.symbols[port.name]}: {port.type.dtype}")
        return found

    def whole(self, size: Size) -> Size:
        """The size with `channels` for `groups*k` where a split says so."""
        total = Size.of(0)
        for monomial, coefficient in size.terms:
            left = Size(((monomial, coefficient),))
            for d in self.graph.definitions:
                product = Size.symbol(d.symbol) * d.part
                if str(d.whole) in self.split and left.divisible_by(product):
                    left = left // product * d.whole
            total = total + left
        return total

    def dims(self, layout: Layout, body: Body) -> str:
        """The dimensions of an input or param; axes are declared where they come first, with a size if it is not their own."""
        found = []
        for dim in layout:
            whole = self.wholes.get(dim)
            if whole and all(axis in self.axes for axis in dim):
                found.append(whole)
                continue
            parts = [self.part(axis, body, len(dim) > 1) for axis in dim]
            found.append(parts[0] if len(dim) == 1 else f"({' '.join(parts)})" + (f"={whole}" if whole else ""))
        return f"[{', '.join(found)}]"

    def part(self, axis: Axis, body: Body, split: bool) -> str:
        symbol = next(iter(axis.size.symbols), "")
        if axis in self.axes:
            name = self.axes[axis]
            # The parts of a split are sized where it stands: a param that names one of them comes later for the checker.
            if not split or (axis.size == Size.symbol(symbol) and self.symbols[symbol] == f"|{name}|"):
                return name
            return f"{name}={_atom(body.size(axis.size))}"
        name = self.axes[axis] = body.names.fresh(axis.name)
        if axis.size == Size.symbol(symbol) and symbol not in self.symbols:
            self.symbols[symbol] = f"|{name}|"  # read off the shape, or what is left of a split
            return name
        size = body.size(axis.size)
        return f"{name}={_atom(size)}" if split else f"{name} = {size}"

    def definitions(self, body: Body) -> None:
        """Sizes that are exact quotients and no dimension has: an axis of that size, and the check that it is exact."""
        for d in self.graph.definitions:
            if d.symbol not in self.symbols:
                self.quotient(d, body)
            elif d not in self.quotients and str(d.whole) not in self.split and d.whole.symbols <= self.symbols.keys():
                self.equal(d.whole, Size.symbol(d.symbol) * d.part, body)
        indexed = set(_indexed(self.graph))
        for check in self.graph.checks:
            if check.relation == "equal":
                self.equal(check.left, check.right, body)
            elif check.left not in indexed:
                self.at_least(check.left, check.right, body)

    def quotient(self, d: Definition, body: Body) -> None:
        """An axis of the size that a definition gives, and the check that the quotient is exact."""
        own = [axis for axis in axes_of(self.graph) if axis.size == Size.symbol(d.symbol) and axis not in self.axes]
        axis = next((axis for axis in own if axis.name == d.symbol), own[0] if own else Axis(d.symbol, Size.symbol(d.symbol)))
        name = self.axes[axis] = body.names.fresh(axis.name)
        body.declared(name, d.whole // d.part)
        self.symbols[d.symbol] = f"|{name}|"
        self.quotients.append(d)
        self.equal(d.whole, Size.symbol(d.symbol) * d.part, body)

    def equal(self, left: Size, right: Size, body: Body) -> None:
        """A check that two sizes agree: an axis whose size is said twice."""
        known = next((name for axis, name in self.axes.items() if axis.size == left and name != LEADING), None)
        if known is None:
            known = body.names.fresh("size")
            body.lines.append(f"axis {known} = {body.size(left)}")
        body.lines.append(f"axis {known} = {body.size(right)}")

    def at_least(self, left: Size, right: Size, body: Body) -> None:
        """A check that a size is at least another, which no read brings along: an index up to one on an axis of the other."""
        axis, index = body.names.fresh("size"), body.names.fresh("size")
        body.lines += [f"axis {axis} = {body.size(left)}", f"axis {index} = {body.size(right)}",
                       f"{body.names.fresh('checked')} = ({axis} + 0)[{axis} = {index}]"]

    def forward(self, body: Body) -> str:
        """The statements of `forward`, into the body; and its results as the signature states them."""
        graph = self.graph
        outputs = [bare(output.node, flat(output.layout)) for output in graph.outputs]
        buffers = {port.name: port for port in graph.inputs if port.role == "buffer"}
        updates = [(u.buffer, bare(u.node, buffers[u.buffer].type.axes)) for u in graph.updates]
        penalties = [(p.name, p.node) for p in graph.penalties]
        body.run([*outputs, *(node for _, node in updates), *(node for _, node in penalties)])
        body.lines += [f"update {body.written[buffers[name].node][0]} = {body.at(node, 0)}" for name, node in updates]
        body.lines += [f"penalty {body.names.fresh(name)} = {body.at(node, 0)}" for name, node in penalties]
        layouts = [self.result(output.layout, body) for output in graph.outputs]
        if len(outputs) == 1:
            body.lines.append(f"return {body.at(outputs[0], 0)}")
            return layouts[0]
        names = [body.names.fresh(output.name) for output in graph.outputs]
        body.lines += [f"{name} = {body.at(node, 0)}" for name, node in zip(names, outputs, strict=True)]
        return f"({', '.join(name + layout for name, layout in zip(names, layouts, strict=True))})"

    def result(self, layout: Layout, body: Body) -> str:
        """A result's dimensions. Axes that the body declares are declared here instead: the signature comes before it."""
        dims = []
        for dim in layout:
            names = []
            for axis in dim:
                name = body.declare(axis)
                size = body.sized.pop(name, None)
                if size is not None:
                    body.lines.remove(f"axis {name} = {size}")
                    name = f"{name} = {size}" if len(dim) == 1 else f"{name}={size if size.isalnum() else f'({size})'}"
                names.append(name)
            whole = self.wholes.get(dim)
            dims.append(whole or (names[0] if len(dim) == 1 else f"({' '.join(names)})"))
        return f"[{', '.join(dims)}]"

    # -- fns beside the layer --------------------------------------------------------------------------------
    def spread(self, count: int) -> str:
        """The name of a fn that repeats its first argument along so many axes, which the others have."""
        name = f"along{count}" if count > 1 else "along"
        if count not in self.helpers:
            name = self.globals.fresh(name)
            axes = ", ".join(f"a{i}" for i in range(count))
            others = ", ".join(f"i{i}[a{i}]: int" for i in range(count))
            self.helpers[count] = f"fn {name}(x[...], {others}) -> [..., {axes}] {{ return x }}"
        return self.helpers[count].split("(")[0].removeprefix("fn ")

    def fn(self, call: Call) -> str:
        """The name of the fn that a call applies, written once."""
        if call in self.fn_names:
            return self.fn_names[call]
        name = self.fn_names[call] = self.globals.fresh(call.body.name)
        names, axes, symbols = Names([name]), dict[Axis, str](), dict[str, str]()
        ports = {port: names.fresh(port.name) for port in call.body.inputs}
        inputs = []
        for port in call.body.inputs:
            dims = []
            for axis in flat(port.layout):
                if axis not in axes:
                    axes[axis] = LEADING if axis.name == LEADING else names.fresh(axis.name)
                dims.append(axes[axis])
                if axis.size == Size.symbol(next(iter(axis.size.symbols), "")):
                    symbols.setdefault(str(axis.size), f"|{axes[axis]}|")
            inputs.append(f"{ports[port]}[{', '.join(dims)}]{dtype_text(port)}")
        body = Body(call.body, self, names, axes, symbols)
        body.written = {port.node: (ports[port], ATOM) for port in call.body.inputs}
        body.run([output.node for output in call.body.outputs])
        results = ""
        if len(call.body.outputs) == 1:
            body.lines.append(f"return {body.at(call.body.outputs[0].node, 0)}")
        else:
            outs = [names.fresh(output.name) for output in call.body.outputs]
            body.lines += [f"{out} = {body.at(o.node, 0)}" for out, o in zip(outs, call.body.outputs, strict=True)]
            shown = (f"{out}[{', '.join(axes[axis] for axis in flat(o.layout))}]" for out, o in
                     zip(outs, call.body.outputs, strict=True))
            results = f" -> ({', '.join(shown)})"
        rows, cotangents = self.gradient(call, names, axes, symbols, ports)
        head = f"fn {name}({', '.join(inputs)}){results}"
        grad = f"{'surrogate ' * call.surrogate}grad({', '.join(cotangents)}) {{ {', '.join(rows)} }}"
        self.fns[call] = "\n".join([head, f"    {grad} {{", *(f"    {line}" for line in body.lines), "}"])
        return name

    def gradient(self, call: Call, names: Names, axes: dict[Axis, str], symbols: dict[str, str],
                 ports: Mapping[Port, str]) -> tuple[list[str], list[str]]:
        """The rows of `grad(...) { }` and the names of the cotangents. Rows are expressions, so nothing is assigned there."""
        body = Body(call.vjp, self, Names(names.taken), dict(axes), dict(symbols))
        mine = call.vjp.inputs[len(call.body.inputs):]
        cotangents = [body.names.fresh(port.name) for port in mine]
        for inner, outer in zip(call.vjp.inputs, call.body.inputs, strict=False):
            body.written[inner.node] = (ports[outer], ATOM)
        body.written |= {port.node: (name, ATOM) for port, name in zip(mine, cotangents, strict=True)}
        by_name = {port.name: text for port, text in ports.items()}
        rows = []
        for target, output in zip(call.wrt, call.vjp.outputs, strict=True):
            root = bare(output.node, flat(output.layout))
            for node in in_order([root]):
                if node not in body.written and node.op not in SEVERAL:
                    body.written[node] = body.node(node)
            rows.append(f"{by_name[target]}: {body.at(root, 0)}")
        if body.lines:
            raise ValueError(f"the derivative of {call.body.name} needs axes of its own, which a row of `grad` cannot declare")
        rows += [f"{by_name[target]}: none" for target in call.stopped]
        return rows, cotangents


def dtype_text(port: Port) -> str:
    return "" if port.type.dtype == "float" else f": {port.type.dtype}"


def _atom(size: str) -> str:
    return size if size.isalnum() else f"({size})"


def _indexed(graph: Graph) -> Iterator[Size]:
    """The sizes of the axes of which reads demand something, in loops and calls as well: neither a border nor a renaming does."""
    for node in topological(graph.roots):
        if isinstance(node.attrs, Read):
            yield from (at.axis.size for at, index in zip(node.attrs.at, node.args[1:], strict=False) if at.border == "trust"
                        and not (isinstance(index.attrs, Axis) and index.attrs.size == at.axis.size))
        for inner in inside(node):
            yield from _indexed(inner)

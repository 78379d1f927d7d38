"""`.arch` source from a graph: a layer that checks, and lowers to a graph of the same digest.

Names come from the notes. A value has a statement of its own where it is used more than once, has a name, or would make a line
too long; the rest is written in place. Raises ValueError for a graph that the language has no words for: one with sub-modules
that are not inlined, with `accumulate` (which only derivatives have), or with draws other than dropout's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from archc.check.sizes import Size
from archc.check.types import LEADING, Axis, Dim, Layout, dim_size, flat
from archc.ir.graph import Accumulate, Call, Graph, Node, Port, Random, Read, topological
from archc.ir.meaning import meaning
from archc.ir.text import axes_of
from archc.ops.table import LANGUAGE_NAMES, OPS

_WIDTH = 100
_SYMBOLS = {"add": ("+", 5), "sub": ("-", 5), "mul": ("*", 6), "div": ("/", 6), "floordiv": ("//", 6), "mod": ("%", 6),
            "eq": ("==", 4), "ne": ("!=", 4), "lt": ("<", 4), "le": ("<=", 4), "gt": (">", 4), "ge": (">=", 4),
            "and": ("and", 2), "or": ("or", 1), "pow": ("^", 8), "ipow": ("^", 8)}
"""Operators and how tightly they bind: or 1, and 2, not 3, comparison 4, sums 5, products 6, minus 7, power 8, calls 9."""
_ATOM = 9
_RESERVED = {name for name, _ in LANGUAGE_NAMES}.union("""
    fn layer forward import search hole space param buffer init axis static if else when training for in repeat as scan state yield
    finally reverse update penalty return grad surrogate none with given like edge reflect wrap by and or not true false inf nan
    dropout range cat normal uniform trunc_normal kaiming_uniform kaiming_normal xavier_uniform xavier_normal lecun_normal
    orthogonal eye dirac sparse int float bool""".split())
Text = tuple[str, int]  # an expression and how tightly its outermost operator binds


def to_source(graph: Graph, name: str, start: Mapping[str, str] | None = None) -> str:
    """A layer of this name that computes the graph.

    `start` has the initial value of params and buffers by name, as expressions of the language; what is not there is `given`.
    """
    writer = _Layer(graph, name, start or {})
    layer = writer.text()
    return "\n\n".join([*writer.helpers.values(), *writer.fns.values(), layer]) + "\n"


class _Names:
    """Identifiers that are taken, in one namespace for axes, values and parameters as the language has it."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = {*_RESERVED, *taken}

    def fresh(self, wanted: str) -> str:
        plain = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in wanted) or "v"
        plain = plain if not plain[0].isdigit() else f"v{plain}"
        name, number = plain, 1
        while name in self.taken:
            number += 1
            name = f"{plain}{number}"
        self.taken.add(name)
        return name


class _Body:
    """The statements of one block: of `forward`, or of a fn with a derivative of its own."""

    def __init__(self, graph: Graph, layer: _Layer, names: _Names, axes: dict[Axis, str], symbols: dict[str, str]) -> None:
        self.graph, self.layer, self.names, self.axes, self.symbols = graph, layer, names, axes, symbols
        self.lines: list[str] = []
        self.written: dict[Node, Text] = {}
        self.uses: Counter[Node] = Counter()
        self.results: dict[Node, list[str]] = {}  # of calls with several

    # -- sizes and axes --------------------------------------------------------------------------------------
    def size(self, size: Size) -> str:
        def symbol(name: str) -> str:
            if name not in self.symbols:
                raise ValueError(f"the language has no name for the size {name}, which no axis of an input has by itself")
            return self.symbols[name]

        return self.layer.whole(size).spell(symbol)

    def declare(self, axis: Axis) -> str:
        """The name of an axis, declared by a statement if it has none yet."""
        if axis not in self.axes:
            self.axes[axis] = self.names.fresh(axis.name)
            self.lines.append(f"axis {self.axes[axis]} = {self.size(axis.size)}")
        return self.axes[axis]

    def over(self, axes: Iterable[Axis]) -> str:
        """Axes in brackets; the whole of `...` where it is among them."""
        return ", ".join(sorted((self.declare(axis) for axis in axes), key=lambda name: (name == LEADING, name)))

    # -- statements ------------------------------------------------------------------------------------------
    def run(self, roots: Sequence[Node]) -> None:
        """Writes whatever the roots need; after it, each root has a text."""
        needed = _in_order(roots)
        self.uses.update(roots)
        for node in needed:
            self.uses.update(_operands(node))
            if isinstance(node.attrs, Read):
                self.uses[node.args[0]] += 1  # what is indexed has a name
        for node in needed:
            if node in self.written or node.op in ("call", "member"):
                continue
            text = self.node(node)
            named = self.graph.notes.names.get(node)
            many = self.uses[node] > 1 or named is not None or len(text[0]) > _WIDTH
            if many and node.op not in ("const", "iota", "size", "to_float"):
                text = self.assign(named or "v", text[0])
            self.written[node] = text

    def assign(self, wanted: str, text: str) -> Text:
        name = self.names.fresh(wanted if wanted != "v" else f"v{1 + sum(' = ' in line for line in self.lines)}")
        self.lines.append(f"{name} = {text}")
        return name, _ATOM

    def at(self, node: Node, least: int) -> str:
        """The text of an operand, in brackets if it binds less tightly than its place demands."""
        text, binds = self.written[node]
        return text if binds >= least else f"({text})"

    # -- expressions -----------------------------------------------------------------------------------------
    def node(self, node: Node) -> Text:
        op, attrs = node.op, node.attrs
        if op == "const":
            return _constant(attrs)  # type: ignore[arg-type]
        if isinstance(attrs, Size):
            text = self.size(attrs)
            return text, _ATOM if text.isidentifier() or text.count("|") == 2 == len(text) - len(text.strip("|")) else 5
        if isinstance(attrs, Axis):
            if attrs.name == LEADING:
                raise ValueError("`...` has no index in the language")
            return self.declare(attrs), _ATOM
        if op == "input":
            raise ValueError(f"{attrs} is no input of the graph")
        if isinstance(attrs, Read):
            return self.read(node, attrs)
        if op == "expand":
            return self.expand(node)
        if op == "item":
            return self.item(node)
        if isinstance(attrs, Random):
            raise ValueError(f"a draw that is no dropout has no words: random {attrs.kind}")
        if isinstance(attrs, Accumulate):
            raise ValueError("`accumulate` has no words: only derivatives have it")
        if (dropped := _dropout(node)) is not None:
            x, p = dropped
            return f"dropout({self.at(x, 0)}, {self.at(p, 0)})", _ATOM
        return self.operation(node)

    def operation(self, node: Node) -> Text:
        op, args = node.op, node.args
        if op == "ipow" and not (args[1].op == "const" and isinstance(args[1].attrs, int) and args[1].attrs >= 0):
            raise ValueError("a whole power that is not known has no words")
        if op in _SYMBOLS:
            symbol, binds = _SYMBOLS[op]
            # Comparison does not chain, the power binds to the right, all others to the left.
            left, right = (_ATOM, _ATOM) if binds == 8 else (5, 5) if binds == 4 else (binds, binds + 1)
            a, b = self.promoted(node)
            return f"{self.at(a, left)} {symbol} {self.at(b, right)}", binds
        if op == "neg":
            inner = self.at(args[0], 8)
            # A minus before a number makes a negative number, not the negative of one.
            return (f"-({inner})" if args[0].op == "const" else f"-{inner}"), 7
        if op == "not":
            return f"not {self.at(args[0], 4)}", 3
        row = OPS[op]
        if row.language == "":
            meant = meaning(node)
            if meant is None:
                return self.at(args[0], 0), 0
            return self.meant(meant)
        listed = ", ".join(self.at(arg, 0) for arg in (self.promoted(node) if row.form == "elementwise" else args))
        name = row.language or op
        if row.form == "elementwise":
            return f"{name}({listed})", _ATOM
        assert isinstance(node.attrs, frozenset)
        if not node.attrs:
            raise ValueError(f"{op} over no axes has no words")
        return f"{name}[{self.over(node.attrs)}]({listed})", _ATOM

    def promoted(self, node: Node) -> list[Node]:
        """The operands, without conversions of ints that the language makes by itself."""
        letters, args = OPS[node.op].dtypes, node.args
        found = list(args)
        for i, arg in enumerate(args):
            others = any(other.type.dtype == "float" and other.op != "to_float" and letter in "na"
                         for other, letter in zip(args, letters, strict=False) if other is not arg)
            if arg.op == "to_float" and node.op != "to_float" and (letters[i] == "f" or (letters[i] in "na" and others)):
                found[i] = arg.args[0]
        return found

    def meant(self, meant: Node) -> Text:
        """An operation without a name in the language, by its meaning."""
        for inner in topological([meant]):
            if inner not in self.written and inner.op not in ("call", "member"):
                self.written[inner] = self.node(inner)
        return self.written[meant]

    def read(self, node: Node, attrs: Read) -> Text:
        items = []
        for at, index in zip(attrs.at, node.args[1:], strict=False):
            text = self.at(index, 0)
            border = {"check": "", "trust": "", "fill": f" else {self.at(node.args[-1], 0)}"}.get(at.border, f" {at.border}")
            items.append(f"{self.declare(at.axis)} = {text}{border}")
        return f"{self.at(node.args[0], _ATOM)}[{', '.join(items)}]", _ATOM

    def expand(self, node: Node) -> Text:
        assert isinstance(node.attrs, frozenset)
        axes = sorted(self.declare(axis) for axis in node.attrs)
        if LEADING in axes:
            raise ValueError("a value cannot be repeated along `...` in the language")
        helper = self.layer.spread(len(axes))
        bindings = ", ".join(f"a{i} = {axis}" for i, axis in enumerate(axes))
        return f"{helper}[{bindings}]({', '.join([self.at(node.args[0], 0), *axes])})", _ATOM

    def item(self, node: Node) -> Text:
        call = node.args[0]
        if not isinstance(call.attrs, Call) or not isinstance(node.attrs, int):
            raise ValueError("sub-modules are inlined before a graph is written as source")
        if call in self.results:
            return self.results[call][node.attrs], _ATOM
        fn = self.layer.fn(call.attrs)
        text = f"{fn}({', '.join(self.at(arg, 0) for arg in call.args)})"
        outputs = call.attrs.body.outputs
        if len(outputs) == 1:
            return text, _ATOM
        names = self.results[call] = [self.names.fresh(output.name) for output in outputs]
        self.lines.append(f"{', '.join(names)} = {text}")
        return names[node.attrs], _ATOM


class _Layer:
    """The layer being written, with the fns that it needs beside it."""

    def __init__(self, graph: Graph, name: str, start: Mapping[str, str]) -> None:
        self.graph, self.name, self.start = graph, name, start
        self.globals = _Names([name])
        self.helpers: dict[int, str] = {}
        self.fns: dict[Call, str] = {}
        self.fn_names: dict[Call, str] = {}
        self.axes: dict[Axis, str] = {axis: LEADING for axis in axes_of(graph) if axis.name == LEADING}
        self.symbols: dict[str, str] = {}
        self.wholes: dict[Dim, str] = {}
        self.split: set[str] = set()  # the numbers whose axes are split

    def text(self) -> str:
        names = _Names([self.name])
        body = _Body(self.graph, self, names, self.axes, self.symbols)
        parameters = self.parameters(names)
        ports = {port: names.fresh(port.name) for port in self.graph.inputs if port.role != "number"}
        # What the layer stores stands above `forward`, so its axes are declared first.
        shown = {port: f"{ports[port]}{self.dims(port.layout, body)}{_dtype(port)}"
                 for port in sorted(ports, key=lambda port: port.role == "input")}
        stored = [f"    {port.role} {text} = {self.start.get(port.name, 'given')}"
                  for port, text in shown.items() if port.role != "input"]
        inputs = [text for port, text in shown.items() if port.role == "input"]
        for port in self.graph.inputs:
            body.written[port.node] = (ports.get(port) or self.symbols[port.name], _ATOM)
        self.definitions(body)
        results = self.forward(body)
        doc = [f"# {line}".rstrip() for line in self.graph.notes.doc.splitlines()]
        head = f"layer {self.name}({', '.join(parameters)}) {{"
        signature = f"    forward({', '.join(inputs)}) -> {results} {{"
        if len(signature) > _WIDTH:
            signature = f"    forward({', '.join(inputs)})\n            -> {results} {{"
        return "\n".join([*doc, head, *stored, signature, *(f"        {line}" for line in body.lines), "    }", "}"])

    def parameters(self, names: _Names) -> list[str]:
        """The constructor's signature. A number is an axis if one has its name and size, or a split is of it; else an int."""
        graph = self.graph
        own = {axis.name: axis for axis in axes_of(graph) if axis.size == Size.symbol(axis.name)}
        dims = {dim_size(dim): dim for port in graph.inputs for dim in port.layout if len(dim) > 1}
        found = []
        for number in graph.numbers:
            name = names.fresh(number)
            whole = next((d for d in graph.definitions if d.whole == Size.symbol(number)
                          and Size.symbol(d.symbol) * d.part in dims), None)
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

    def dims(self, layout: Layout, body: _Body) -> str:
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

    def part(self, axis: Axis, body: _Body, split: bool) -> str:
        if axis in self.axes:
            return self.axes[axis]
        name = self.axes[axis] = body.names.fresh(axis.name)
        symbols = axis.size.symbols
        symbol = next(iter(symbols), "")
        if axis.size == Size.symbol(symbol) and symbol not in self.symbols:
            self.symbols[symbol] = f"|{name}|"  # read off the shape, or what is left of a split
            return name
        size = body.size(axis.size)
        return f"{name}={size if not split or size.isalnum() else f'({size})'}" if split else f"{name} = {size}"

    def definitions(self, body: _Body) -> None:
        """Sizes that are exact quotients and no dimension has: an axis of that size, and the check that it is exact."""
        for d in self.graph.definitions:
            if d.symbol in self.symbols:
                continue
            name = body.names.fresh(d.symbol)
            body.lines.append(f"axis {name} = {body.size(d.whole // d.part)}")
            self.symbols[d.symbol] = f"|{name}|"
            self.equal(d.whole, Size.symbol(d.symbol) * d.part, body)
            for axis in axes_of(self.graph):
                if axis.size == Size.symbol(d.symbol) and axis not in self.axes:
                    self.axes[axis] = name
                    break
        for check in self.graph.checks:
            if check.relation == "equal":
                self.equal(check.left, check.right, body)

    def equal(self, left: Size, right: Size, body: _Body) -> None:
        """A check that two sizes agree: an axis whose size is said twice."""
        known = next((name for axis, name in self.axes.items() if axis.size == left and name != LEADING), None)
        if known is None:
            known = body.names.fresh("size")
            body.lines.append(f"axis {known} = {body.size(left)}")
        body.lines.append(f"axis {known} = {body.size(right)}")

    def forward(self, body: _Body) -> str:
        """The statements of `forward`, into the body; and its results as the signature states them."""
        graph = self.graph
        outputs = [_bare(output.node, flat(output.layout)) for output in graph.outputs]
        buffers = {port.name: port for port in graph.inputs if port.role == "buffer"}
        updates = [(u.buffer, _bare(u.node, buffers[u.buffer].type.axes)) for u in graph.updates]
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

    def result(self, layout: Layout, body: _Body) -> str:
        """A result's dimensions. Axes that the body declares are declared here instead: the signature comes before it."""
        dims = []
        for dim in layout:
            names = []
            for axis in dim:
                name = body.declare(axis)
                line = f"axis {name} = "
                sized = next((text for text in body.lines if text.startswith(line)), None)
                if sized is not None and name != LEADING:
                    size = sized.removeprefix(line)
                    body.lines.remove(sized)
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
        names, axes, symbols = _Names([name]), dict[Axis, str](), dict[str, str]()
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
            inputs.append(f"{ports[port]}[{', '.join(dims)}]{_dtype(port)}")
        body = _Body(call.body, self, names, axes, symbols)
        body.written = {port.node: (ports[port], _ATOM) for port in call.body.inputs}
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

    def gradient(self, call: Call, names: _Names, axes: dict[Axis, str], symbols: dict[str, str],
                 ports: Mapping[Port, str]) -> tuple[list[str], list[str]]:
        """The rows of `grad(...) { }` and the names of the cotangents. Rows are expressions, so nothing is assigned there."""
        body = _Body(call.vjp, self, _Names(names.taken), dict(axes), dict(symbols))
        mine = call.vjp.inputs[len(call.body.inputs):]
        cotangents = [body.names.fresh(port.name) for port in mine]
        for inner, outer in zip(call.vjp.inputs, call.body.inputs, strict=False):
            body.written[inner.node] = (ports[outer], _ATOM)
        body.written |= {port.node: (name, _ATOM) for port, name in zip(mine, cotangents, strict=True)}
        by_name = {port.name: text for port, text in ports.items()}
        rows = []
        for target, output in zip(call.wrt, call.vjp.outputs, strict=True):
            root = _bare(output.node, flat(output.layout))
            for node in _in_order([root]):
                if node not in body.written and node.op not in ("call", "member"):
                    body.written[node] = body.node(node)
            rows.append(f"{by_name[target]}: {body.at(root, 0)}")
        if body.lines:
            raise ValueError(f"the derivative of {call.body.name} needs axes of its own, which a row of `grad` cannot declare")
        rows += [f"{by_name[target]}: none" for target in call.stopped]
        return rows, cotangents


def _operands(node: Node) -> tuple[Node, ...]:
    """What the text of a node mentions: of a dropout, the value and the probability."""
    return _dropout(node) or node.args


def _in_order(roots: Sequence[Node]) -> list[Node]:
    """Every node that the texts of the roots mention, operands first."""
    found: dict[Node, None] = {}
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if ready:
            found[node] = None
        elif node not in found:
            stack.append((node, True))
            stack.extend((arg, False) for arg in reversed(_operands(node)))
    return list(found)


def _bare(node: Node, axes: Iterable[Axis]) -> Node:
    """A root without a repetition that its layout implies."""
    repeated = node.op == "expand" and isinstance(node.attrs, frozenset) and node.attrs <= frozenset(axes)
    return node.args[0] if repeated else node


def _dtype(port: Port) -> str:
    return "" if port.type.dtype == "float" else f": {port.type.dtype}"


def _constant(value: bool | int | float) -> Text:
    if isinstance(value, bool):
        return ("true" if value else "false"), _ATOM
    if isinstance(value, float) and math.isnan(value):
        raise ValueError("nan has no words")
    return repr(value), _ATOM if math.copysign(1, value) > 0 else 7


def _dropout(node: Node) -> tuple[Node, Node] | None:
    """(x, p) of x * draw / (1 - p) where the draw keeps an element with probability 1 - p."""
    if node.op != "div" or node.args[0].op != "mul":
        return None
    (x, mask), keep = node.args[0].args, node.args[1]
    attrs = mask.attrs
    if not isinstance(attrs, Random) or attrs.kind != "bernoulli" or mask.args != (keep,) or keep.op != "sub":
        return None
    one, p = keep.args
    return (x, p) if one.op == "const" and one.attrs == 1.0 and frozenset(attrs.axes) == x.axes else None

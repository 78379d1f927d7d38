"""Statements and expressions of `.arch` source from graph nodes, one block at a time; `archc.ir.to_source` puts layers around."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis
from archc.ir import build
from archc.ir.forms.call import SEVERAL, results
from archc.ir.graph import Accumulate, Call, Fourier, Graph, Matrix, Node, Random, Read, Scan, Table, topological
from archc.ir.meaning import meaning
from archc.ops.table import LANGUAGE_NAMES, OPS, SMOOTH

WIDTH = 100
_SYMBOLS = {"add": ("+", 5), "sub": ("-", 5), "mul": ("*", 6), "div": ("/", 6), "floordiv": ("//", 6), "mod": ("%", 6),
            "eq": ("==", 4), "ne": ("!=", 4), "lt": ("<", 4), "le": ("<=", 4), "gt": (">", 4), "ge": (">=", 4),
            "and": ("and", 2), "or": ("or", 1), "pow": ("^", 8), "ipow": ("^", 8)}
"""Operators and how tightly they bind: or 1, and 2, not 3, comparison 4, sums 5, products 6, minus 7, power 8, calls 9."""
ATOM = 9
_KEYWORDS = """fn layer forward import search hole space param buffer init axis static if else when training for in repeat as
scan state yield finally reverse update penalty return grad surrogate none with given like edge reflect wrap by and or not true
false inf nan dropout range cat eigh sort top_k normal uniform bernoulli trunc_normal kaiming_uniform kaiming_normal
xavier_uniform xavier_normal lecun_normal orthogonal eye dirac sparse int float bool complex"""
_RESERVED = {*_KEYWORDS.split(), *(name for name, _ in LANGUAGE_NAMES)}
Text = tuple[str, int]  # an expression and how tightly its outermost operator binds


class Beside(Protocol):
    """What a block asks of the file that it stands in: fns beside the layer, and how sizes are best said."""

    def spread(self, count: int) -> str: ...
    def fn(self, call: Call) -> str: ...
    def whole(self, size: Size) -> Size: ...


class Names:
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


class Body:
    """The statements of one block: of `forward`, or of a fn with a derivative of its own."""

    def __init__(self, graph: Graph, layer: Beside, names: Names, axes: dict[Axis, str], symbols: dict[str, str]) -> None:
        self.graph, self.layer, self.names, self.axes, self.symbols = graph, layer, names, axes, symbols
        self.outer: Body | None = None  # the block around a loop
        self.lines: list[str] = []
        self.sized: dict[str, str] = {}  # the axes that statements declare
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
        """The name of an axis, declared by a statement if it has none yet: before the loops that this block is in."""
        if self.outer is not None:
            return self.outer.declare(axis)
        if axis not in self.axes:
            self.axes[axis] = self.names.fresh(axis.name)
            self.declared(self.axes[axis], axis.size)
        return self.axes[axis]

    def declared(self, name: str, size: Size) -> None:
        """A statement that declares an axis of a size."""
        self.sized[name] = self.size(size)
        self.lines.append(f"axis {name} = {self.sized[name]}")

    def over(self, axes: Iterable[Axis]) -> str:
        """Axes in brackets; the whole of `...` where it is among them."""
        return ", ".join(sorted((self.declare(axis) for axis in axes), key=lambda name: (name == LEADING, name)))

    # -- statements ------------------------------------------------------------------------------------------
    def run(self, roots: Sequence[Node]) -> None:
        """Writes whatever the roots need; after it, each root has a text."""
        needed = in_order(roots)
        self.uses.update(roots)
        for node in needed:
            self.uses.update(_operands(node))
            if isinstance(node.attrs, Read):
                self.uses[node.args[0]] += 1  # what is indexed has a name
        outside = {arg for node in needed if isinstance(node.attrs, Scan) for arg in node.args[node.attrs.states :]}
        for node in needed:
            if node in self.written or node.op in SEVERAL:
                continue
            text = self.node(node)
            named = self.graph.notes.names.get(node)
            many = self.uses[node] > 1 or named is not None or len(text[0]) > WIDTH
            # In a loop a name means its element, so what a loop reads is computed before it and has one.
            if node.op in ("const", "iota", "size") or text[0].isidentifier():
                pass
            elif node in outside or (many and node.op != "to_float"):
                text = self.assign(named or "v", text[0])
            self.written[node] = text

    def assign(self, wanted: str, text: str) -> Text:
        name = self.names.fresh(wanted if wanted != "v" else f"v{1 + sum(' = ' in line for line in self.lines)}")
        self.lines.append(f"{name} = {text}")
        return name, ATOM

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
            return text, ATOM if text.isidentifier() or text.count("|") == 2 == len(text) - len(text.strip("|")) else 5
        if isinstance(attrs, Axis):
            if attrs.name == LEADING:
                raise ValueError("`...` has no index in the language")
            return self.declare(attrs), ATOM
        if op == "input":
            raise ValueError(f"{attrs} is no input of the graph")
        if isinstance(attrs, Read):
            return self.read(node, attrs)
        if op == "expand":
            return self.expand(node)
        if op == "item":
            return self.item(node)
        if isinstance(attrs, Table):
            raise ValueError("a table has no words in a method: it is the first value of a buffer")
        if isinstance(attrs, Fourier):
            return self.transform(node, attrs)
        if isinstance(attrs, Random) and attrs.kind in ("uniform", "normal", "bernoulli"):
            return f"{attrs.kind}[{self.over(attrs.axes)}]({', '.join(self.at(arg, 0) for arg in node.args)})", ATOM
        if isinstance(attrs, Random):
            raise ValueError(f"a draw for a param has no words in a method: random {attrs.kind}")
        if isinstance(attrs, Accumulate):
            raise ValueError("`accumulate` has no words: only derivatives have it")
        if (dropped := dropout_of(node)) is not None:
            x, p = dropped
            return f"dropout({self.at(x, 0)}, {self.at(p, 0)})", ATOM
        return self.operation(node)

    def operation(self, node: Node) -> Text:
        op, args = node.op, node.args
        if op == "ipow" and not (args[1].op == "const" and isinstance(args[1].attrs, int) and args[1].attrs >= 0):
            raise ValueError("a whole power that is not known has no words")
        if op in _SYMBOLS:
            symbol, binds = _SYMBOLS[op]
            # Comparison does not chain, the power binds to the right, all others to the left.
            left, right = (ATOM, ATOM) if binds == 8 else (5, 5) if binds == 4 else (binds, binds + 1)
            a, b = self.promoted(node)
            if op in ("and", "or") and a.op == "const":
                a, b = b, a  # one that stands first may decide, and what is not looked at lends no axes
            return f"{self.at(a, left)} {symbol} {self.at(b, right)}", binds
        if op == "neg":
            return f"-{self.at(args[0], 8)}", 7
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
            return f"{name}({listed})", ATOM
        if isinstance(node.attrs, Matrix):
            return f"{name}[{self.declare(node.attrs.rows)}, {self.declare(node.attrs.columns)}]({listed})", ATOM
        assert isinstance(node.attrs, frozenset)
        if not node.attrs:
            raise ValueError(f"{op} over no axes has no words")
        return f"{name}[{self.over(node.attrs)}]({listed})", ATOM

    def promoted(self, node: Node) -> list[Node]:
        """The operands, without conversions of ints that the language makes by itself."""
        letters, args = OPS[node.op].dtypes, node.args
        found = list(args)
        for i, arg in enumerate(args):
            others = any(other.type.dtype in SMOOTH and other.op != "to_float" and letter in "naz"
                         for other, letter in zip(args, letters, strict=False) if other is not arg)
            if arg.op == "to_float" and node.op != "to_float" and (letters[i] in "fv" or (letters[i] in "naz" and others)):
                found[i] = arg.args[0]
        return found

    def meant(self, meant: Node) -> Text:
        """An operation without a name in the language, by its meaning."""
        for inner in topological([meant]):
            if inner not in self.written and inner.op not in SEVERAL:
                self.written[inner] = self.node(inner)
        return self.written[meant]

    def read(self, node: Node, attrs: Read) -> Text:
        items = []
        for at, index in zip(attrs.at, node.args[1:], strict=False):
            text = self.at(index, 0)
            border = {"check": "", "trust": "", "fill": f" else {self.at(node.args[-1], 0)}"}.get(at.border, f" {at.border}")
            items.append(f"{self.declare(at.axis)} = {text}{border}")
        return f"{self.at(node.args[0], ATOM)}[{', '.join(items)}]", ATOM

    def transform(self, node: Node, attrs: Fourier) -> Text:
        if any(axis.name == LEADING for axis in attrs.elements):
            raise ValueError("the language has no transform over `...`")
        items = sorted(self.declare(axis) for axis in attrs.over)
        if attrs.half is not None:
            items.append(" = ".join(map(self.declare, attrs.half if node.op == "rfft" else attrs.half[::-1])))
        norm = "" if attrs.norm == "backward" else f', "{attrs.norm}"'
        return f"{node.op}[{', '.join(items)}]({self.at(node.args[0], 0)}{norm})", ATOM

    def expand(self, node: Node) -> Text:
        assert isinstance(node.attrs, frozenset)
        axes = sorted(self.declare(axis) for axis in node.attrs)
        if LEADING in axes:
            raise ValueError("a value cannot be repeated along `...` in the language")
        helper = self.layer.spread(len(axes))
        bindings = ", ".join(f"a{i} = {axis}" for i, axis in enumerate(axes))
        return f"{helper}[{bindings}]({', '.join([self.at(node.args[0], 0), *axes])})", ATOM

    def item(self, node: Node) -> Text:
        call = node.args[0]
        assert isinstance(node.attrs, int)
        if isinstance(call.attrs, Scan) and call not in self.results:
            self.results[call] = self.scan(call, call.attrs)
        if call in self.results:
            return self.results[call][node.attrs], ATOM
        if not isinstance(call.attrs, Call):
            raise ValueError("sub-modules are inlined before a graph is written as source")
        fn = self.layer.fn(call.attrs)
        text = f"{fn}({', '.join(self.at(arg, 0) for arg in call.args)})"
        outputs = call.attrs.body.outputs
        if len(outputs) == 1:
            return text, ATOM
        names = self.results[call] = [self.result_name(call, i, output.name) for i, output in enumerate(outputs)]
        self.lines.append(f"{', '.join(names)} = {text}")
        return names[node.attrs], ATOM


    def result_name(self, call: Node, index: int, otherwise: str) -> str:
        """A name for one of several results: that of its item in the notes, if it has one."""
        item = build.item(call, index, results(call)[index])
        return self.names.fresh(self.graph.notes.names.get(item, otherwise))

    def scan(self, node: Node, scan: Scan) -> list[str]:
        """A loop as statements; the names of its results."""
        axis = self.declare(scan.axis)
        inner = Body(scan.body, self.layer, self.names, self.axes, self.symbols)
        inner.outer = self
        ports, outputs = scan.body.inputs, scan.body.outputs
        states = []
        for port, start in zip(ports[: scan.states], node.args, strict=False):
            states.append(self.names.fresh("state"))
            inner.written[port.node] = (states[-1], ATOM)
            begin = bare(start, start.axes)
            dtype = ": int" * (port.type.dtype == "int")
            inner.lines.append(f"state {states[-1]}[{self.over(port.type.axes)}]{dtype} = {self.at(begin, 0)}")
        for port, arg in zip(ports[scan.states :], node.args[scan.states :], strict=False):
            inner.written[port.node] = self.written[arg]
        if scan.step:
            inner.written[ports[-1].node] = (axis, ATOM)
        nexts = [bare(o.node, port.type.axes) for o, port in zip(outputs, ports[: scan.states], strict=False)]
        inner.run([*nexts, *(o.node for o in outputs[scan.states :])])
        yields = [self.result_name(node, i, "y") for i in range(scan.states, len(outputs))]
        inner.lines += [f"yield {name} = {inner.at(o.node, 0)}" for name, o in zip(yields, outputs[scan.states :], strict=True)]
        ends = [inner.at(new, 0) for new in nexts]
        if scan.states > 1:  # all are computed from the old states
            ends = [inner.assign("next", end)[0] for end in ends]
        inner.lines += [f"{name} = {end}" for name, end in zip(states, ends, strict=True) if name != end]
        finals = [self.result_name(node, i, "last") for i in range(scan.states)]
        inner.lines += [f"finally {last} = {name}" for last, name in zip(finals, states, strict=True)]
        self.lines += [f"scan {axis}{' reverse' * scan.reverse} {{", *(f"    {line}" for line in inner.lines), "}"]
        return [*finals, *yields]


def _operands(node: Node) -> tuple[Node, ...]:
    """What the text of a node mentions: of a dropout, the value and the probability; of a loop, starts without repetitions."""
    if isinstance(node.attrs, Scan):
        return tuple(bare(arg, arg.axes) if i < node.attrs.states else arg for i, arg in enumerate(node.args))
    return dropout_of(node) or node.args


def in_order(roots: Sequence[Node]) -> list[Node]:
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


def bare(node: Node, axes: Iterable[Axis]) -> Node:
    """A root without a repetition that its layout implies."""
    repeated = node.op == "expand" and isinstance(node.attrs, frozenset) and node.attrs <= frozenset(axes)
    return node.args[0] if repeated else node


def _constant(value: bool | int | float) -> Text:
    if isinstance(value, bool):
        return ("true" if value else "false"), ATOM
    if isinstance(value, float) and math.isnan(value):
        return "inf - inf", 5
    return repr(value), ATOM if math.copysign(1, value) > 0 else 7


def dropout_of(node: Node) -> tuple[Node, Node] | None:
    """(x, p) of x * draw / (1 - p) where the draw keeps an element with probability 1 - p."""
    if node.op != "div" or node.args[0].op != "mul":
        return None
    product, keep = node.args
    for x, mask in (product.args, product.args[::-1]):
        draw = mask.attrs
        if not isinstance(draw, Random) or draw.kind != "bernoulli" or mask.args != (keep,) or frozenset(draw.axes) != x.axes:
            continue
        if keep.op == "sub" and keep.args[0] is build.const(1.0):
            return x, keep.args[1]
        if keep.op == "const" and isinstance(keep.attrs, float):
            # The shortest number that gives this one back.
            numbers = (round(1.0 - keep.attrs, digits) for digits in range(1, 18))
            return next(((x, build.const(p)) for p in numbers if 1.0 - p == keep.attrs), None)
    return None

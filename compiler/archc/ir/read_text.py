"""The reader of the graph's text form (`archc.ir.text` is the writer and shows it). Errors are ValueErrors with the line."""

from __future__ import annotations

import math
import struct
from dataclasses import is_dataclass
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from archc.checker.sizes import Size
from archc.checker.types import Axis
from archc.ir.build import const, table
from archc.ir.graph import (
    Accumulate,
    At,
    Attrs,
    Borders,
    Call,
    Check,
    Definition,
    Fourier,
    Graph,
    Library,
    Matrix,
    Member,
    Node,
    Notes,
    Output,
    Port,
    Random,
    Read,
    Scan,
    Update,
    node,
)
from archc.ir.library import RECORDS, Options
from archc.ir.text_cursor import Cursor, Token, tokens
from archc.limits import LIMITS
from archc.ops.table import OPS, DType
from archc.syntax.tree import Span

_ROLES = ("input", "param", "buffer", "number")


def parse(text: str) -> Graph:
    """The graph that the text describes. Raises ValueError, with the line, for a text that describes none."""
    reader = _Reader(tokens(text))
    reader.skip_lines()
    graph = reader.graph()
    reader.skip_lines()
    if reader.now.kind != "end":
        reader.fail("nothing may follow the graph")
    return graph


class _Reader(Cursor):
    """A reader of one graph; graphs inside it have readers of their own over the same tokens."""

    def __init__(self, tokens: list[Token], place: int = 0, within: int = 0) -> None:
        super().__init__(tokens, place)
        self.within = within  # how many graphs are around this one
        self.values: dict[str, Node] = {}
        self.calls: dict[str, Call | Scan | Library] = {}
        self.spans: dict[Node, Span] = {}
        self.remarks: dict[Node, str] = {}
        self.names: dict[Node, str] = {}

    # -- a graph ---------------------------------------------------------------------------------------------
    def graph(self) -> Graph:
        if self.within > LIMITS["call depth"].value:
            self.fail("graphs are nested too deep")
        self.expect("graph")
        name = self.name()
        self.expect("(")
        header = self.place
        self.find_axes()
        self.place = header
        ports = self.listed(self.port, ")")
        self.values.update({port.name: port.node for port in ports})
        outputs: list[Output] = []
        penalties: list[Output] = []
        updates: list[Update] = []
        numbers: list[str] = []
        definitions: list[Definition] = []
        checks: list[Check] = []
        doc = ""
        self.skip_lines()
        while self.now.kind != "end" and self.now.text != "}" and self.now.text != "graph":
            if self.now.kind == "value":
                self.line()
            else:
                word = self.name()
                if word == "file":
                    self.file = self.text()
                elif word == "doc":
                    doc = self.text()
                elif word == "numbers":
                    numbers += self.listed(self.name)
                elif word == "axis":
                    self.name()
                    self.expect("=")
                    self.size()
                elif word == "define":
                    definitions.append(self.definition())
                elif word == "fn":
                    self.call()
                elif word == "loop":
                    self.loop()
                elif word == "return":
                    outputs.append(self.output())
                elif word == "penalty":
                    penalties.append(self.output())
                elif word == "update":
                    buffer = self.name()
                    self.expect("=")
                    updates.append(Update(buffer, self.operand()))
                elif word == "require":
                    checks.append(self.requirement())
                elif word == "library":
                    self.library()
                else:
                    self.fail(f"no line of a graph begins with {word!r}")
            self.take("newline", "the end of the line")
            self.skip_lines()
        return Graph(name, tuple(ports), tuple(outputs), tuple(updates), tuple(penalties), tuple(numbers),
                     tuple(definitions), tuple(checks), Notes(self.spans, self.names, doc, self.remarks))

    def find_axes(self) -> None:
        """Reads the `axis` lines ahead: types in the lines above them need the sizes."""
        depth, fresh = 1, False
        while self.now.kind != "end" and depth >= 0:
            if fresh and depth == 0 and self.now.text == "graph":
                return
            if fresh and depth == 0 and self.accept("axis"):
                name = self.name()
                self.expect("=")
                self.sizes[name] = self.size()
            text, kind = self.now.text, self.now.kind
            depth += (kind == "mark") * ((text in "([{") - (text in ")]}"))
            fresh = kind == "newline"
            self.place += 1

    def definition(self) -> Definition:
        symbol = self.name()
        self.expect("=")
        size = self.size()
        self.expect("of")
        whole = self.size()
        self.expect("by")
        return Definition(symbol, size, whole, self.size(), self.span())

    def requirement(self) -> Check:
        left = self.size()
        relation: Literal["equal", "at least"] = "equal"
        if self.accept(">="):
            relation = "at least"
        else:
            self.expect("==")
        right = self.size()
        return Check(left, right, relation, self.text(), self.span())

    def port(self) -> Port:
        role, after = "input", self.tokens[self.place + 1]
        if self.now.text in _ROLES and after.kind == "name":
            role = self.name()
        name = self.name()
        self.expect(":")
        type, layout = self.typed()
        return Port(name, type, layout, cast(Literal["input", "param", "buffer", "number"], role))

    def output(self) -> Output:
        name = self.name()
        layout = self.layout()
        self.expect("=")
        return Output(name, self.operand(), layout)

    def call(self) -> None:
        self.expect("$")
        name = self.take("int")
        self.expect("wrt")
        wrt = self.listed(self.name) if self.now.text not in ("{", "stopped", "surrogate", "fused") else []
        stopped = self.listed(self.name) if self.accept("stopped") else []
        surrogate, fused = self.accept("surrogate"), self.accept("fused")
        body, vjp = self.graphs(2)
        self.calls[name] = Call(body, vjp, tuple(wrt), tuple(stopped), surrogate, fused)

    def loop(self) -> None:
        self.expect("$")
        name = self.take("int")
        self.expect("along")
        axis, reverse = self.axis(), self.accept("reverse")
        self.expect("states")
        states = int(self.take("int"))
        self.expect("sequences")
        sequences = int(self.take("int"))
        step = self.accept("step")
        self.calls[name] = Scan(axis, reverse, states, sequences, step, self.graphs(1)[0])

    def library(self) -> None:
        self.expect("$")
        name, kind = self.take("int"), self.name()
        options = self.said(RECORDS[kind]) if kind in RECORDS else None
        (body,) = self.graphs(1)
        if len(body.outputs) != 1:
            self.fail("the body of a library call has one result")
        self.calls[name] = Library(kind, body.outputs[0].node, cast(Options, options))

    def said(self, kind: Any) -> object:
        """What is said of a library call, as a record, or as a field of one by its type."""
        if is_dataclass(kind) and kind is not Axis and kind is not Size:
            found: dict[str, object] = {}
            self.expect("(")
            for name, inner in get_type_hints(kind).items():
                if found:
                    self.expect(",")
                self.expect(name)
                self.expect("=")
                found[name] = self.said(inner)
            self.expect(")")
            return cast(Any, kind)(**found)
        if get_origin(kind) in (tuple, frozenset):
            self.expect("[")
            return get_origin(kind)(self.listed(lambda: self.said(get_args(kind)[0]), "]"))
        if kind is Axis or kind is Size:
            return self.axis() if kind is Axis else self.size()
        if kind is int:
            return int(self.take("int"))
        word = self.name()
        return word == "true" if kind is bool else word

    def graphs(self, count: int) -> list[Graph]:
        """Graphs between braces."""
        self.expect("{")
        found = []
        for _ in range(count):
            self.skip_lines()
            inner = _Reader(self.tokens, self.place, self.within + 1)
            found.append(inner.graph())
            self.place = inner.place
        self.skip_lines()
        self.expect("}")
        return found

    # -- values ----------------------------------------------------------------------------------------------
    def line(self) -> None:
        """`%name = operation : type @place`."""
        name = self.take("value")
        if name in self.values:
            self.fail(f"%{name.lstrip('%')} is defined twice")
        self.expect("=")
        op = self.name()
        args, attrs = self.operation(op)
        self.expect(":")
        made = node(op, args, attrs, self.type())
        self.values[name] = made
        span = self.span()
        if span is not None:
            self.spans[made] = span
        if self.now.kind == "string":
            self.remarks[made] = self.text()
        if not name.startswith("%"):
            self.names[made] = name

    def operation(self, op: str) -> tuple[list[Node], Attrs]:
        if op == "read":
            x, at, indices = self.indexed()
            fill = [self.operand()] if self.accept("else") else []
            return [x, *indices, *fill], Read(at)
        if op == "accumulate":
            x, at, indices = self.indexed()
            self.expect("keep")
            return [x, *indices], Accumulate(at, self.axes())
        if op == "table":
            self.expect("[")
            dims = self.listed(lambda: (self.axis(), int(self.take("int"))), "]")
            values = [cast("bool | int | float", n.attrs) for n in self.operands()]
            kind = "float" if any(isinstance(v, float) for v in values) else "int"
            try:
                return [], table((a for a, _ in dims), (n for _, n in dims), values, cast(DType, kind)).attrs
            except struct.error:
                self.fail("a whole number of a table is beyond 64 bits")
        if op == "random":
            kind = self.name()
            self.expect("[")
            axes = tuple(self.listed(self.axis, "]"))
            serial = self.serial()
            return self.operands(), Random(kind, axes, serial)
        if op in ("call", "scan", "library"):
            of = self.name() if op == "library" else None
            self.expect("$")
            name = self.take("int")
            if name not in self.calls:
                self.fail(f"${name} is not defined above")
            if of != getattr(self.calls[name], "kind", None):
                self.fail(f"${name} is another call")
            return self.operands(), self.calls[name]
        if op == "member":
            return self.member()
        attrs: Attrs = None
        if op == "iota":
            attrs = self.axis()
        elif op == "size":
            attrs = self.size()
        elif op == "input":
            attrs = self.name()
        elif op in ("item", "const"):
            attrs = cast("bool | int | float", self.operand().attrs)
        elif op in OPS and OPS[op].form == "transform":
            attrs = self.fourier()
        elif op in OPS and OPS[op].form == "matrix":
            self.expect("[")
            both = self.listed(self.axis, "]")
            if len(both) != 2:
                self.fail(f"{op} goes over rows and columns")
            attrs = Matrix(*both)
        elif op == "expand" or (op in OPS and OPS[op].form != "elementwise"):
            attrs = self.axes()
        elif op not in OPS:
            self.fail(f"there is no operation {op!r}")
        return self.operands(), attrs

    def member(self) -> tuple[list[Node], Attrs]:
        path, method = self.name(), self.name()
        state = self.name() if self.accept("with") else ""
        serial = self.serial()
        self.expect("(")
        given = self.listed(lambda: (self.operand(), self.layout()), ")")
        self.expect("->")
        self.expect("(")
        back = self.listed(self.typed, ")")
        layouts, results = tuple(layout for _, layout in given), tuple(layout for _, layout in back)
        return [arg for arg, _ in given], Member(path, method, layouts, results, tuple(t for t, _ in back), serial, state)

    def fourier(self) -> Fourier:
        """`[h, w by f] backward`"""
        self.expect("[")
        items = self.listed(lambda: (self.axis(), self.axis() if self.accept("by") else None), "]")
        halves = [(time, frequency) for time, frequency in items if frequency is not None]
        return Fourier(frozenset(axis for axis, other in items if other is None), halves[0] if halves else None, self.name())

    def serial(self) -> int:
        self.expect("#")
        return int(self.take("int"))

    def operands(self) -> list[Node]:
        return [] if self.now.kind == "mark" and self.now.text == ":" else self.listed(self.operand)

    def operand(self) -> Node:
        """A value defined above, or a constant."""
        token = self.now
        if token.kind == "value":
            self.place += 1
            if token.text not in self.values:
                self.place -= 1
                self.fail(f"%{token.text.lstrip('%')} is not defined above")
            return self.values[token.text]
        sign = -1 if self.accept("-") else 1
        token = self.now
        self.place += 1
        if token.kind == "int":
            return const(sign * int(token.text))
        if token.kind == "float":
            return const(math.copysign(float(token.text), sign))
        if token.kind == "nan":
            return const(struct.unpack(">d", bytes.fromhex(token.text[6:-1]))[0])
        if token.text in ("inf", "nan"):
            return const(sign * math.inf if token.text == "inf" else math.nan)
        if token.text in ("true", "false"):
            return const(token.text == "true")
        self.place -= 1
        self.fail(f"expected a value, found {token.text.strip() or 'the end of the line'!r}")

    def indexed(self) -> tuple[Node, tuple[At, ...], list[Node]]:
        x = self.operand()
        self.expect("[")

        def one() -> tuple[At, Node]:
            axis = self.axis()
            self.expect("=")
            index = self.operand()
            border = self.name()
            if border not in ("check", "trust", "fill", "edge", "reflect", "wrap"):
                self.fail(f"there is no border {border!r}")
            return At(axis, cast(Borders, border)), index

        items = self.listed(one, "]")
        return x, tuple(at for at, _ in items), [index for _, index in items]

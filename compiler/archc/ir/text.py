"""The graph's text form, exact both ways: `parse(write(graph)) == graph`, node for node and bit for bit.

    graph rms_norm(x: float[n, c], param gamma: float[c])
      file "norm.arch"
      numbers c
      %0 = mul %x, %x       : float[n, c]  @13:18
      %1 = mean[c] %0       : float[n]     @13:12
      %2 = add %1, 1e-05    : float[n]     @13:26
      %scale = rsqrt %2     : float[n]     @13:5
      %4 = mul %x, %scale   : float[n, c]  @14:12
      %5 = mul %4, %gamma   : float[n, c]  @14:20
      return result[n, c] = %5
      require c >= 1 "the mean over c needs an element" @13:12

An axis whose size is the symbol of its own name needs no line; the others have one: `axis k = grid + order`. Names that are no
identifiers stand in backticks. Constants stand where they are used. `archc.ir.read_text` is the reader.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import cast

from archc.checker.sizes import Size
from archc.checker.types import Axis, Layout, Type, flat, layout_of
from archc.ir.graph import (
    Accumulate,
    At,
    Call,
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
    Table,
    dtype_of,
    topological,
)
from archc.ir.read_text import parse
from archc.ir.text_cursor import NAME
from archc.syntax.tree import Span

__all__ = ["axes_of", "parse", "write", "write_marked"]

_PLAIN = re.compile(rf"{NAME}\Z")
_VALUE = re.compile(r"[A-Za-z_]\w*(\.\w+)*\Z")
_WIDTH = 110


def write(graph: Graph) -> str:
    """The graph as text, one node a line, with types, places and names."""
    return "\n".join(_Writer(graph).lines()) + "\n"


def write_marked(graph: Graph, node: Node, message: str) -> str:
    """The text with a mark and a message under the line of a node."""
    writer = _Writer(graph)
    lines = writer.lines()
    name = writer.names.get(node, "")
    at = next((i for i, line in enumerate(lines) if name and line.startswith(f"  {name} = ")), 0)
    return "\n".join([*lines[: at + 1], f"  {'^' * max(len(name), 3)} {message}", *lines[at + 1 :]]) + "\n"


def name_text(name: str) -> str:
    """A name as it stands in the text: bare where it is an identifier or a path, else in backticks."""
    return name if _PLAIN.match(name) else "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def size_text(size: Size) -> str:
    return size.spell(name_text)


def constant_text(value: bool | int | float) -> str:
    """A constant that parses back to the same bits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isnan(value):
        bits = struct.pack(">d", value)
        return "nan" if bits == struct.pack(">d", math.nan) else f"nan(0x{bits.hex()})"
    return repr(value)


def axes_of(graph: Graph) -> dict[Axis, None]:
    """Every axis of the graph once: those of the inputs in memory order, then in the order of first use."""
    found: dict[Axis, None] = {}

    def add(axes: Iterable[Axis]) -> None:
        for axis in sorted(axes, key=lambda axis: axis.name):
            found.setdefault(axis)

    for port in graph.inputs:
        found.update(dict.fromkeys(flat(port.layout)))
        add(port.type.axes)
    for output in (*graph.outputs, *graph.penalties):
        found.update(dict.fromkeys(flat(output.layout)))
    for node in topological(graph.roots):
        attrs = node.attrs
        if isinstance(attrs, Axis):
            add((attrs,))
        elif isinstance(attrs, frozenset):
            add(attrs)
        elif isinstance(attrs, Random):
            found.update(dict.fromkeys(attrs.axes))
        elif isinstance(attrs, Read | Accumulate):
            add(at.axis for at in attrs.at)
            if isinstance(attrs, Accumulate):
                add(attrs.keep)
        elif isinstance(attrs, Fourier):
            add(attrs.axes)
        elif isinstance(attrs, Member):
            for layout in (*attrs.layouts, *attrs.results):
                found.update(dict.fromkeys(flat(layout)))
            for type in attrs.types:
                add(type.axes)
        elif isinstance(attrs, Scan):
            add((attrs.axis,))
        elif isinstance(attrs, Library):
            for inner in topological([attrs.body]):
                add(inner.axes)
        add(node.axes)
    return found


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.order = {axis: rank for rank, axis in enumerate(axes_of(graph))}
        self.nodes = list(topological(graph.roots))
        self.calls = {call: f"${i}" for i, call in enumerate(dict.fromkeys(
            node.attrs for node in self.nodes if isinstance(node.attrs, Call | Scan | Library)))}
        self.names = value_names(graph)
        self.file = _main_file(graph.notes, self.names)

    def lines(self) -> list[str]:
        graph = self.graph
        ports = [self.port(port) for port in graph.inputs]
        head = f"graph {name_text(graph.name)}({', '.join(ports)})"
        if len(head) > _WIDTH:
            head = f"graph {name_text(graph.name)}(\n    " + ",\n    ".join(ports) + "\n)"
        out = head.split("\n")
        if self.file:
            out.append(f"  file {json.dumps(self.file)}")
        if graph.notes.doc:
            out.append(f"  doc {json.dumps(graph.notes.doc)}")
        if graph.numbers:
            out.append(f"  numbers {', '.join(map(name_text, graph.numbers))}")
        out += [f"  axis {name_text(axis.name)} = {size_text(axis.size)}"
                for axis in self.order if axis.size != Size.symbol(axis.name)]
        out += [f"  define {name_text(d.symbol)} = {size_text(d.size)} of {size_text(d.whole)} by {size_text(d.part)}"
                + self.place(d.span) for d in graph.definitions]
        for call, name in self.calls.items():
            out += self.call(call, name)
        out += self.body()
        out += [f"  return {self.output(o)}" for o in graph.outputs]
        out += [f"  update {name_text(u.buffer)} = {self.value(u.node)}" for u in graph.updates]
        out += [f"  penalty {self.output(o)}" for o in graph.penalties]
        relations = {"equal": "==", "at least": ">="}
        out += [f"  require {size_text(c.left)} {relations[c.relation]} {size_text(c.right)} {json.dumps(c.message)}"
                + self.place(c.span) for c in graph.checks]
        return out

    def body(self) -> list[str]:
        rows = []
        for node in self.nodes:
            if node in self.names:
                span = self.graph.notes.spans.get(node)
                rows.append((f"  {self.names[node]} = {self.operation(node)}", self.type(node.type), self.after(node, span)))
        left = max((len(row[0]) for row in rows if len(row[0]) <= 70), default=0)
        right = max((len(row[1]) for row in rows if len(row[1]) <= 40), default=0)
        return [f"{a:<{left}}  : {b:<{right}}  {c}".rstrip() for a, b, c in rows]

    def operation(self, node: Node) -> str:
        """The right side of a value's line. A node that no form of the text fits is written with its raw attributes."""
        args = [self.value(arg) for arg in node.args]
        listed = f" {', '.join(args)}" if args else ""
        attrs = node.attrs
        if isinstance(attrs, frozenset):
            return f"{node.op}[{self.axes(attrs)}]{listed}"
        if isinstance(attrs, Table):
            listed = ", ".join(map(constant_text, attrs.values(node.type.dtype)))
            dims = ", ".join(f"{name_text(axis.name)} {count}" for axis, count in zip(attrs.axes, attrs.shape, strict=True))
            return f"{node.op}[{dims}] {listed}".rstrip()
        if isinstance(attrs, Matrix):
            return f"{node.op}[{name_text(attrs.rows.name)}, {name_text(attrs.columns.name)}]{listed}"
        if isinstance(attrs, Read):
            fill = f" else {args[-1]}" if len(args) == len(attrs.at) + 2 else ""
            return f"{node.op} {args[0]}[{self.at(attrs.at, args)}]{fill}"
        if isinstance(attrs, Accumulate):
            return f"{node.op} {args[0]}[{self.at(attrs.at, args)}] keep [{self.axes(attrs.keep)}]"
        if isinstance(attrs, Fourier):
            over = [name_text(axis.name) for axis in sorted(attrs.over, key=lambda axis: self.order.get(axis, -1))]
            halved = [f"{name_text(attrs.half[0].name)} by {name_text(attrs.half[1].name)}"] if attrs.half else []
            return f"{node.op}[{', '.join([*over, *halved])}] {attrs.norm}{listed}"
        if isinstance(attrs, Random):
            axes = ", ".join(name_text(axis.name) for axis in attrs.axes)
            return f"{node.op} {attrs.kind}[{axes}] #{attrs.serial}{listed}"
        if isinstance(attrs, Call):
            return f"{node.op} {self.calls[attrs]}{listed}"
        if isinstance(attrs, Member):
            given = ", ".join(f"{arg} {self.layout(layout)}" for arg, layout in zip(args, attrs.layouts, strict=True))
            back = ", ".join(self.typed(t, layout) for t, layout in zip(attrs.types, attrs.results, strict=True))
            state = f" with {name_text(attrs.state)}" * bool(attrs.state)
            return f"{node.op} {name_text(attrs.path)} {name_text(attrs.method)}{state} #{attrs.serial} ({given}) -> ({back})"
        if isinstance(attrs, Library):
            return f"{node.op} {attrs.kind} {self.calls[attrs]}{listed}"
        if isinstance(attrs, Scan):
            return f"{node.op} {self.calls[attrs]}{listed}"
        if isinstance(attrs, Axis):
            return f"{node.op} {name_text(attrs.name)}{listed}"
        if isinstance(attrs, Size):
            return f"{node.op} {size_text(attrs)}{listed}"
        if isinstance(attrs, str):
            return f"{node.op} {name_text(attrs)}{listed}"
        if attrs is not None:
            return f"{node.op} {constant_text(attrs)}{listed}"
        return f"{node.op}{listed}"

    def call(self, call: Call | Scan | Library, name: str) -> list[str]:
        if isinstance(call, Scan):
            head = f"  loop {name} along {name_text(call.axis.name)}{' reverse' * call.reverse}"
            head += f" states {call.states} sequences {call.sequences}{' step' * call.step} {{"
            return [head, *(f"    {line}" for line in _Writer(call.body).lines()), "  }"]
        if isinstance(call, Library):
            body = Graph(call.kind, _holes(call.body), (Output("result", call.body, layout_of(sorted(call.body.axes, key=str))),))
            head = f"  library {name} {call.kind}{'' if call.options is None else self.said(call.options)} {{"
            return [head, *(f"    {line}" for line in _Writer(body).lines()), "  }"]
        head = f"  fn {name} wrt {', '.join(map(name_text, call.wrt))}"
        if call.stopped:
            head += f" stopped {', '.join(map(name_text, call.stopped))}"
        head += " surrogate" * call.surrogate + " fused" * call.fused + " {"
        inner = [*_Writer(call.body).lines(), *_Writer(call.vjp).lines()]
        return [head, *(f"    {line}" for line in inner), "  }"]

    def value(self, node: Node) -> str:
        return self.names[node] if node in self.names else self.leaf(node)

    def leaf(self, node: Node) -> str:
        if isinstance(node.attrs, str):
            return f"%{name_text(node.attrs)}"
        return constant_text(cast("bool | int | float", node.attrs))

    def said(self, value: object) -> str:
        """What a library call says beside its meaning."""
        if isinstance(value, Axis):
            return name_text(value.name)
        if isinstance(value, frozenset):
            return f"[{self.axes(value)}]"
        if isinstance(value, tuple):
            return f"[{', '.join(map(self.said, value))}]"
        if is_dataclass(value) and not isinstance(value, Size):
            return f"({', '.join(f'{f.name}={self.said(getattr(value, f.name))}' for f in fields(value))})"
        return size_text(value) if isinstance(value, Size) else str(value).lower() if isinstance(value, bool) else str(value)

    def at(self, at: tuple[At, ...], args: list[str]) -> str:
        return ", ".join(f"{name_text(a.axis.name)} = {index} {a.border}" for a, index in zip(at, args[1:], strict=False))

    def axes(self, axes: Iterable[Axis]) -> str:
        return ", ".join(name_text(axis.name) for axis in sorted(axes, key=lambda axis: self.order.get(axis, -1)))

    def type(self, type: Type) -> str:
        return f"{type.dtype}[{self.axes(type.axes)}]" if type.axes else type.dtype

    def layout(self, layout: Layout) -> str:
        dims = (" ".join(name_text(axis.name) for axis in dim) for dim in layout)
        return "[" + ", ".join(text if len(dim) == 1 else f"({text})" for text, dim in zip(dims, layout, strict=True)) + "]"

    def typed(self, type: Type, layout: Layout) -> str:
        """A type in memory: `float[n, (g k)]`; the two parts apart where the layout has other axes than the type."""
        if not layout and not type.axes:
            return type.dtype
        if frozenset(flat(layout)) == type.axes:
            return f"{type.dtype}{self.layout(layout)}"
        return f"{self.type(type)} in {self.layout(layout)}"

    def port(self, port: Port) -> str:
        role = "" if port.role == "input" else f"{port.role} "
        return f"{role}{name_text(port.name)}: {self.typed(port.type, port.layout)}"

    def output(self, output: Output) -> str:
        return f"{name_text(output.name)}{self.layout(output.layout)} = {self.value(output.node)}"

    def after(self, node: Node, span: Span | None) -> str:
        """What stands behind an operation: its place, and what an analysis found."""
        remark = self.graph.notes.remarks.get(node)
        return " ".join(filter(None, (self.place(span, ""), json.dumps(remark, ensure_ascii=False) if remark else "")))

    def place(self, span: Span | None, before: str = "  ") -> str:
        if span is None:
            return ""
        file = "" if span.file == self.file else json.dumps(span.file) + ":"
        return f"{before}@{file}{span.line}:{span.column}"


def _holes(body: Node) -> tuple[Port, ...]:
    """The inputs of a library call's body as ports, so that it can be written as a graph."""
    inputs = [node for node in topological([body]) if node.op == "input"]
    return tuple(Port(str(node.attrs), node.type, layout_of(sorted(node.axes, key=str))) for node in inputs)


def _main_file(notes: Notes, nodes: Iterable[Node]) -> str:
    """The file that most of the places to be written are in; the others are written out."""
    count = Counter(notes.spans[node].file for node in nodes if node in notes.spans)
    return min(count, key=lambda file: (-count[file], file)) if count else ""


def value_names(graph: Graph) -> dict[Node, str]:
    """`%name` for every node that has a line of its own: not the inputs, not the constants."""
    nodes = list(topological(graph.roots))
    ports = {port.node: port.name for port in graph.inputs}
    uses = Counter(graph.notes.names[node] for node in nodes if node in graph.notes.names and node not in ports)
    taken = set(ports.values())
    found: dict[Node, str] = {}
    for node in nodes:
        plain_const = node.op == "const" and not node.args and isinstance(node.attrs, bool | int | float)
        if node in ports or (plain_const and node.type == Type(dtype_of(node.attrs))):  # type: ignore[arg-type]
            continue
        name = graph.notes.names.get(node, "")
        usable = bool(_VALUE.match(name)) and uses[name] == 1 and name not in taken
        found[node] = f"%{name}" if usable else f"%{len(found)}"
    return found

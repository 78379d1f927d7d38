"""What a method does before anything else: sizes it needs are read off the shapes, and what is promised of them is checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from archc.checker.sizes import Size
from archc.checker.types import LEADING
from archc.codegen.torch.form import Assign, Branch, Expr, Raise, Statement
from archc.codegen.torch.layout import literal, name
from archc.codegen.torch.lower import Lowering
from archc.ir import entry
from archc.ir.graph import Graph

_PLACE = re.compile(r"\{(\w+)\}")


def statements(low: Lowering, graphs: Iterable[Graph], known: Iterable[str], optional: Mapping[str, object],
               given: Iterable[str] = ()) -> list[Statement]:
    """The entry of a method that runs one of these graphs (one for each mode). `known` are the sizes that the constructor has
    checked, `given` those that are arguments; inputs in `optional` may be left out, and stand for a number then."""
    writer = _Entry(low, frozenset(known), optional)
    steps: dict[entry.Step, None] = {}
    for graph in graphs:
        tensors = sorted(graph.inputs, key=lambda port: port.name in optional)
        for step in entry.plan(replace(graph, inputs=tuple(tensors)), known=frozenset((*known, *given))):
            steps.setdefault(step)
    wholes = {Size.symbol(d.symbol) * d.part: d.whole for graph in graphs for d in graph.definitions}
    return writer.write(list(steps), {port.name: port for graph in graphs for port in graph.inputs}, wholes)


class _Entry:
    def __init__(self, low: Lowering, known: frozenset[str], optional: Mapping[str, object]) -> None:
        self.low, self.known, self.optional = low, known, optional
        self.out: list[Statement] = []
        self.guarded: dict[str, list[Statement]] = {name: [] for name in optional}

    def write(self, steps: list[entry.Step], ports: Mapping[str, object], wholes: Mapping[Size, Size]) -> list[Statement]:
        self.wholes = wholes
        self.ports = ports
        inputs = {text for text, port in ports.items() if getattr(port, "role", "") == "input"}
        steps = [step for step in steps if not isinstance(step, (entry.Rank, entry.Fits)) or step.input in inputs]
        self.need(steps, inputs)
        binds: dict[str, list[entry.Bind]] = {}
        for step in steps:
            if isinstance(step, entry.Bind) and step.symbol in self.low.scope.symbols:
                binds.setdefault(step.input, []).append(step)
        for step in steps:
            if isinstance(step, entry.Bind):
                if step.input in binds:
                    self.bind(step.input, binds.pop(step.input))
            else:
                self.step(step)
        for text, checks in self.guarded.items():
            self.default(text, checks)
        return self.out

    def need(self, steps: list[entry.Step], inputs: set[str]) -> None:
        """Marks the symbols that checks mention, and those that needed ones are computed from."""
        for step in reversed(steps):
            if isinstance(step, entry.Fits):
                self.text(self.wholes.get(step.size, step.size))
            elif isinstance(step, (entry.Equal, entry.AtLeast)):
                if not self.settled(step.left, step.right):
                    self.text(step.left)
                    self.text(step.right)
            elif isinstance(step, entry.Define):
                if step.symbol in self.low.scope.symbols or not self.settled(step.whole, step.part):
                    self.text(step.whole)
                    self.text(step.part)
            elif isinstance(step, entry.Solve):
                self.text(step.factor)
                self.text(step.offset)

    def settled(self, *sizes: Size) -> bool:
        """Known since the module was constructed, and checked there."""
        return all(size.symbols <= self.known for size in sizes)

    def text(self, size: Size) -> Expr:
        if LEADING in size.symbols and self.low.native:
            return literal(0)
        return self.low.size(size)

    def shape(self, text: str, dim: int) -> Expr:
        return Expr("shape_at", (), (self.low.scope.inputs[text], dim), None, "int")

    def fail(self, condition: Expr, sentence: str, **facts: Expr) -> Raise:
        values: list[Expr] = []

        def place(match: re.Match[str]) -> str:
            fact = facts[match[1]]
            if fact.op == "literal":
                return str(fact.params[0])
            values.append(fact)
            return "{}"

        message = _PLACE.sub(place, sentence)
        return Raise(condition, "ValueError", message, tuple(values))

    def add(self, text: str, statement: Statement) -> None:
        """Checks of an input that may be left out are asked only where it is given."""
        self.guarded.get(text, self.out).append(statement)

    def bind(self, text: str, binds: list[entry.Bind]) -> None:
        symbols = self.low.scope.symbols
        port = self.ports[text]
        layout = port.layout  # type: ignore[attr-defined]
        by_dim = {step.dim: symbols[step.symbol] for step in binds}
        if len(by_dim) == 1 or entry.has_leading(layout):
            for dim, target in by_dim.items():
                self.out.append(Assign((target,), self.shape(text, dim)))
            return
        targets = tuple(by_dim.get(dim, "_") for dim in range(len(layout)))
        self.out.append(Assign(targets, Expr("shape", (), (self.low.scope.inputs[text],), None, "int")))

    def step(self, step: entry.Step) -> None:
        if isinstance(step, entry.Rank):
            found = Expr("function", (), (f"{self.low.scope.inputs[step.input]}.dim",), None, "int")
            if step.leading and step.rank == 0:
                return
            wrong = Expr("lt" if step.leading else "ne", (found, literal(step.rank)), (), None, "bool")
            self.add(step.input, self.fail(wrong, step.sentence, found=found))
        elif isinstance(step, entry.Lead):
            self.lead(step)
        elif isinstance(step, entry.Fits):
            size = self.text(self.wholes.get(step.size, step.size))
            found = self.shape(step.input, step.dim)
            wrong = Expr("ne", (found, size), (), None, "bool")
            self.add(step.input, self.fail(wrong, step.sentence, found=found, expected=size))
        elif isinstance(step, entry.Solve):
            self.solve(step)
        elif isinstance(step, entry.Define):
            self.define(step)
        elif isinstance(step, (entry.Equal, entry.AtLeast)):
            if self.settled(step.left, step.right) or (self.low.native and LEADING in step.left.symbols | step.right.symbols):
                return
            left, right = self.text(step.left), self.text(step.right)
            op = "ne" if isinstance(step, entry.Equal) else "lt"
            self.out.append(self.fail(Expr(op, (left, right), (), None, "bool"), step.sentence, found=left, expected=right))

    def lead(self, step: entry.Lead) -> None:
        """Sizes of the leading dimensions; without `native`, the inputs are reshaped to have one."""
        scope = self.low.scope
        shapes = []
        for text, rank in step.inputs:
            whole = Expr("shape", (), (scope.inputs[text],), None, "int")
            shapes.append(Expr("subscript", (whole,), (f":-{rank}",)) if rank else whole)
        flat = not self.low.native
        if flat:
            self.low.symbol(LEADING)
            self.low.lead_shape()
        if scope.lead is not None:
            value = shapes[0] if len(shapes) == 1 else Expr("function", tuple(shapes), ("torch.broadcast_shapes",), None, "int")
            self.out.append(Assign((scope.lead,), value))
        if not flat:
            return
        assert scope.lead is not None
        rows = scope.symbols[LEADING]
        self.out.append(Assign((rows,), Expr("function", (name(scope.lead),), ("math.prod",), None, "int")))
        for (text, rank), _ in zip(step.inputs, shapes, strict=True):
            written = scope.inputs[text]
            whole = Expr("shape", (), (written,), None, "int")
            rest = [Expr("star", (Expr("subscript", (whole,), (f"-{rank}:",)),))] if rank else []
            x = name(written, ())
            if len(step.inputs) > 1:
                x = Expr("expand", (x, Expr("star", (name(scope.lead),)), *rest), (), ())
            port = self.ports[text]
            dims = tuple(dim[0] for dim in port.layout)  # type: ignore[attr-defined]
            self.out.append(Assign((written,), Expr("reshape", (x, name(rows), *rest), (), dims)))

    def solve(self, step: entry.Solve) -> None:
        found = self.shape(step.input, step.dim)
        factor, offset = self.text(step.factor), self.text(step.offset)
        rest = found if step.offset.constant == 0 else Expr("sub", (found, offset), (), None, "int")
        wrong: Expr | None = None
        if step.factor.constant != 1:
            wrong = Expr("ne", (Expr("mod", (rest, factor), (), None, "int"), literal(0)), (), None, "bool")
            if step.factor.constant is None:
                wrong = Expr("or", (Expr("lt", (factor, literal(1)), (), None, "bool"), wrong), (), None, "bool")
        if step.offset.constant != 0:
            short = Expr("lt", (found, offset), (), None, "bool")
            wrong = short if wrong is None else Expr("or", (short, wrong), (), None, "bool")
        if wrong is not None:
            self.out.append(self.fail(wrong, step.sentence, found=found, factor=factor, offset=offset))
        if step.symbol in self.low.scope.symbols:
            value = rest if step.factor.constant == 1 else Expr("floordiv", (rest, factor), (), None, "int")
            self.out.append(Assign((self.low.scope.symbols[step.symbol],), value))

    def define(self, step: entry.Define) -> None:
        needed = step.symbol in self.low.scope.symbols
        settled = self.settled(step.whole, step.part)
        if settled and not needed:
            return
        whole, part = self.text(step.whole), self.text(step.part)
        if not settled and step.part.constant != 1:
            wrong = Expr("ne", (Expr("mod", (whole, part), (), None, "int"), literal(0)), (), None, "bool")
            if step.part.constant is None:
                wrong = Expr("or", (Expr("lt", (part, literal(1)), (), None, "bool"), wrong), (), None, "bool")
            self.out.append(self.fail(wrong, step.sentence, found=whole, factor=part))
        if needed:
            value = whole if step.part.constant == 1 else Expr("floordiv", (whole, part), (), None, "int")
            self.out.append(Assign((self.low.scope.symbols[step.symbol],), value))

    def default(self, text: str, checks: list[Statement]) -> None:
        """An input that was left out is its number, in the shape that the others ask for."""
        port = self.ports[text]
        written, value = self.low.scope.inputs[text], self.optional[text]
        assert isinstance(value, (bool, int, float))
        sizes: list[Expr] = []
        for dim in port.layout:  # type: ignore[attr-defined]
            total = Size.of(1)
            for axis in dim:
                total = total * axis.size
            sizes.append(Expr("star", (self.low.lead_shape(),)) if [axis.name for axis in dim] == [LEADING] and self.low.native
                         else self.text(self.wholes.get(total, total)))
        dtype = self.low.dtype_of(port.type.dtype)  # type: ignore[attr-defined]
        full = Expr("full", (Expr("tuple", tuple(sizes)), literal(value)), (dtype, self.low.device_text), (), "float")
        missing = Expr("name", (), (f"{written} is None",), None, "bool")
        self.out.append(Branch(missing, (Assign((written,), full),), tuple(checks)))

"""Methods of an emitted class, and functions with a derivative of their own, as `form.Function`s."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Layout
from archc.codegen.cpp.fused import CppGroup
from archc.codegen.torch import entry, fused, names
from archc.codegen.torch.form import Assign, Branch, Do, Expr, Function, NoGrad, Raise, Return, Statement, verify
from archc.codegen.torch.layout import name
from archc.codegen.torch.lower import Custom, Lowering, NeedsFlat, Scope
from archc.codegen.torch.names import Names
from archc.codegen.torch.prepare import prepared
from archc.codegen.torch.print import literal
from archc.ir.graph import Call, Graph, Library, Member, Node, Port, Scan, rewrite, topological
from archc.ir.module import Method


@dataclass
class Registry:
    """The functions with a derivative of their own that the methods of a file call, each written once."""

    made: dict[tuple[Call, bool], Custom] = field(default_factory=dict)
    written: list[list[Function | str]] = field(default_factory=list)
    names: Names = field(default_factory=Names)
    drawing: dict[str, frozenset[str]] = field(default_factory=dict)  # the methods of a module that draw, by its key
    target: type[fused.Group[Any]] = CppGroup
    kernels: list[Any] = field(default_factory=list)  # of the target
    rare: list[Any] = field(default_factory=list)  # built when they are first called
    in_rare: bool = False

    @contextmanager
    def rarely(self, seldom: bool = True) -> Iterator[None]:
        """What is asked for here first is seldom called."""
        before, self.in_rare = self.in_rare, self.in_rare or seldom
        yield
        self.in_rare = before

    def __call__(self, call: Call, native: bool) -> Custom:
        key = (call, native and not call.fused)
        if key not in self.made and call.fused:
            wish = names.snake_case(call.body.name)
            wish = f"_{wish if names.python_name(wish) == wish else f'{wish}_group'}"  # in, of a layer In
            title = self.names.fresh(wish)
            while fused.class_name(title) in self.names.visible:  # _norm_2 and _norm2 are two functions, and one class
                title = self.names.fresh(wish)
            self.names.fresh(fused.class_name(title))
            self.made[key], written = fused.write(call, title, self.target, self.rare if self.in_rare else self.kernels, self)
            self.written += written
        elif key not in self.made:
            title = "_" + "".join(part[:1].upper() + part[1:] for part in call.body.name.split("_"))
            self.made[key] = custom(call, self.names.fresh(title), self)
        return self.made[key]


def native_first(build: Callable[[bool], Function]) -> Function:
    """Leading dimensions are left as they are, or made one where an operation needs it."""
    try:
        found = build(True)
    except NeedsFlat:
        found = build(False)
    verify(found)
    return found


# ------------------------------------------------------------------------------------------------------ methods
def draws(graph: Graph, drawing: frozenset[tuple[str, str]]) -> bool:
    """Whether a graph draws, itself, in a fn with a derivative of its own, or by a sub-module's method of `drawing`."""
    return any(
        current.op == "random"
        or (isinstance(current.attrs, Member) and (current.attrs.path, current.attrs.method) in drawing)
        or (isinstance(current.attrs, Scan) and draws(current.attrs.body, drawing))
        or (isinstance(current.attrs, Call) and (draws(current.attrs.body, drawing) or draws(current.attrs.vjp, drawing)))
        for current in topological(graph.roots)
    )


def method(found: Method, numbers: Mapping[str, str], known: Iterable[str], registry: Registry,
           drawing: frozenset[tuple[str, str]] = frozenset()) -> Function:
    """A method of a class. `numbers` says how the constructor's sizes are written, `known` which sizes it has checked, `drawing`
    which methods of sub-modules take a generator."""
    train, other, by_mode = modes(found)
    return native_first(lambda native: _method(found, train, other, by_mode, numbers, tuple(known), registry, native, drawing))


def modes(found: Method) -> tuple[Graph, Graph, str | None]:
    """The graphs of both modes, the same one where they differ in nothing but dropout, which then asks what is returned last."""
    train = prepared(found.train)
    other = train if found.eval is found.train else prepared(found.eval)
    by_mode: str | None = None
    if train is not other and _same(train, other):
        other = train
    elif train is not other and _same(_without_dropout(train), other):
        other, by_mode = train, "self.training"
    return train, other, by_mode


def function(graph: Graph, title: str, registry: Registry) -> Function:
    """A graph as a plain function of all that it reads: tensors and numbers by position, in the order of its ports, then its
    size numbers. Gives the outputs, then the new values of buffers, then the penalties, as one tuple."""
    ready = prepared(graph)

    def build(native: bool) -> Function:
        written = {port.name: names.argument(port.name.replace(".", "_")) for port in graph.inputs}
        unique = Names(written.values())
        numbers = {text: unique.fresh(f"{text}_number" if text in written.values() else text) for text in graph.numbers}
        scope = Scope(written, numbers, unique, registry)
        low = Lowering(ready, scope, native)
        results = list(low.outputs())
        for update in ready.updates:
            low.lower(update.node)
            results.append(low.out(low.value(update.node), low.ports[update.buffer].layout))
        for penalty in ready.penalties:
            low.lower(penalty.node)
            results.append(low.out(low.value(penalty.node), penalty.layout))
        inputs = tuple(replace(port, role="input") if port.role in ("param", "buffer") else port for port in ready.inputs)
        head = entry.statements(low, [replace(ready, inputs=inputs)], graph.numbers, {})
        arguments = tuple((written[port.name], "Any", None) for port in graph.inputs) + tuple(
            (text, "int", None) for text in numbers.values())
        body = (*head, *low.block, Return((Expr("tuple", tuple(results)),)))
        return Function(title, arguments, "tuple[Tensor, ...]", body)

    return native_first(build)


def _same(left: Graph, right: Graph) -> bool:
    """Whether two graphs compute the same: what one of them has read besides makes no difference."""
    return (left.outputs, left.updates, left.penalties) == (right.outputs, right.updates, right.penalties)


def _without_dropout(graph: Graph) -> Graph:
    def drop(current: Node) -> Node | None:
        library = current.attrs
        return current.args[0] if isinstance(library, Library) and library.kind == "dropout" else None

    return rewrite(graph, drop)


def _method(found: Method, train: Graph, other: Graph, by_mode: str | None, numbers: Mapping[str, str], known: Sequence[str],
            registry: Registry, native: bool, drawing: frozenset[tuple[str, str]]) -> Function:
    ports = {port.name: port for graph in (train, other) for port in graph.inputs}
    inputs = [port for port in train.inputs if port.role == "input"]
    written = {text: names.argument(text) for text in (*(port.name for port in inputs), *(n.name for n in found.numbers))}
    given = sizes(found)
    scope = Scope(
        {text: written[text] if text in written else names.path(text) for text in ports},
        {**numbers, **given}, Names(written.values()), registry, by_mode,
        generator="generator" if draws(found.train, drawing) or draws(found.eval, drawing) else None, drawing=drawing,
    )
    base, around = scope.names, scope.inputs
    bodies = []
    for graph in [train] if train is other else [train, other]:
        scope.names, scope.inputs = base.branch(), around  # what one mode copies, the other has not
        bodies.append(_body(graph, scope, native))
    scope.inputs = around
    low = Lowering(train, scope, native)
    head = [*checks(found),
            *entry.statements(low, [train] if train is other else [train, other], known, found.defaults, given)]
    head += _whole_precision(low, [train, other], found)
    body = bodies[0] if len(bodies) == 1 else [Branch(name("self.training"), tuple(bodies[0])), *bodies[1]]
    arguments = signature(found, inputs)
    if scope.generator:
        arguments += [("*", "", None), ("generator", "torch.Generator | None", "None")]
    title = "forward" if found.name == "forward" else names.attribute(found.name)
    outputs = train.outputs
    result = "Tensor" if len(outputs) == 1 else f"tuple[{', '.join(['Tensor'] * len(outputs))}]" if outputs else "None"
    decorators = ("@torch.no_grad()",) if found.no_grad else ()
    return Function(title, tuple(arguments), result, (*head, *body), doc=_doc(found.doc, inputs, train), decorators=decorators)


ANNOTATIONS = {"axis": "int", "int": "int", "float": "float", "bool": "bool"}
FIXED = (bool, int, float, str)


def sizes(found: Method) -> dict[str, str]:
    """The method's own size numbers, and how they are written."""
    return {number.name: names.argument(number.name) for number in found.numbers if number.kind in ("axis", "int")}


def signature(found: Method, inputs: Sequence[Port]) -> list[tuple[str, str, str | None]]:
    """The arguments of a method in the source's order, those with a default last."""
    kinds = {port.name: annotation(found, port) for port in inputs}
    kinds |= {n.name: (ANNOTATIONS[n.kind], None if n.default is None else literal(n.default)) for n in found.numbers}
    kinds |= {text: (type(value).__name__, quoted(value)) for text, value in found.statics.items() if isinstance(value, FIXED)}
    arguments = [(names.argument(text), *kinds[text]) for text in found.signature if text in kinds]
    return [("self", "", None), *sorted(arguments, key=lambda argument: argument[2] is not None)]


def checks(found: Method) -> list[Statement]:
    """What a method asks of its arguments that are no tensors."""
    made: list[Statement] = [fixed(found.name, text, value, "give it another default in the source")
                             for text, value in found.statics.items() if isinstance(value, FIXED)]
    for text, written in sizes(found).items():
        argument = name(written, None, "int")
        wrong = Expr("lt", (argument, Expr("literal", (), (0,), None, "int")), (), None, "bool")
        made.append(Raise(wrong, "ValueError", f"{text} is {{}}, and a size is at least 0", (argument,)))
    return made


def fixed(title: str, text: str, value: object, way_out: str) -> Statement:
    """A static choice cannot be made anew: it shaped the code."""
    assert isinstance(value, FIXED)
    differs = "is_not" if isinstance(value, bool) else "ne"
    wrong = Expr(differs, (name(names.argument(text)), Expr("literal", (), (quoted(value),))), (), None, "bool")
    shown = str(value).replace("{", "{{").replace("}", "}}")
    sentence = f"{title} was compiled for {text} = {shown}, not {{}}: {way_out}"
    return Raise(wrong, "ValueError", sentence, (name(names.argument(text)),))


def quoted(value: bool | int | float | str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else literal(value)


def _whole_precision(low: Lowering, graphs: Sequence[Graph], found: Method) -> list[Statement]:
    """Half types are refused where numbers are complex: there is no complex number of two of them."""
    roots = [root for graph in graphs for root in graph.roots]
    if low.reference is None or not any(current.type.dtype == "complex" for current in topological(roots)):
        return []
    halves = Expr("name", (), (f"{low.reference}.dtype in (torch.float16, torch.bfloat16)",), None, "bool")
    message = f"{found.name} has complex numbers, which are made of float32 or float64, not of {{}}"
    return [Raise(halves, "ValueError", message, (name(f"{low.reference}.dtype"),))]


def annotation(found: Method, port: Port) -> tuple[str, str | None]:
    return ("Tensor | None", "None") if port.name in found.defaults else ("Tensor", None)


def _doc(doc: str, inputs: Sequence[Port], graph: Graph) -> str:
    """The shapes in one line, after what the source says."""
    taken = ", ".join(f"{port.name}{shape(port.layout)}" for port in inputs)
    given = ", ".join((f"{output.name}" if len(graph.outputs) > 1 else "") + shape(output.layout) for output in graph.outputs)
    line = f"{taken} -> {given}" if given else taken
    return f"{doc.strip()}\n\n{line}" if doc.strip() else line


def shape(layout: Layout) -> str:
    """`[n, (g k), h]`."""
    dims = [" ".join(axis.name for axis in dim) for dim in layout]
    return f"[{', '.join(f'({text})' if len(dim) > 1 else text for text, dim in zip(dims, layout, strict=True))}]"


def _body(graph: Graph, scope: Scope, native: bool) -> list[Statement]:
    """One mode of a method: results, penalties while a trainer collects them, and buffers stored at the end."""
    low = Lowering(graph, scope, native)
    _copies(low, graph)
    results = low.outputs()
    if graph.updates or graph.penalties:
        results = tuple(low.bind(x, output.name if output.name != "result" else "y")
                        for x, output in zip(results, graph.outputs, strict=True))
    body = list(low.block)
    body += _penalties(low, graph)
    body += _updates(low, graph)
    return _returned(body, results) if results else body


def _returned(body: list[Statement], results: tuple[Expr, ...]) -> list[Statement]:
    """`return value`, without a name for it where that was the last thing made."""
    last = body[-1] if body else None
    results = tuple(x.args[0] if x.op == "as" else x for x in results)
    if len(results) == 1 and isinstance(last, Assign) and results[0].op == "name" and last.targets == (results[0].params[0],):
        return [*body[:-1], Return((last.value,))]
    return [*body, Return(results)]


def _copies(low: Lowering, graph: Graph) -> None:
    """A buffer that is stored in place at the end must not be what a derivative remembers."""
    updated = {update.buffer for update in graph.updates}
    roots = [*(o.node for o in graph.outputs), *(p.node for p in graph.penalties)]
    for current in topological(roots):
        if current.op == "input" and current.attrs in updated:
            port = low.ports[str(current.attrs)]
            written = low.scope.inputs[port.name]
            copy = Expr("method", (name(written, ()),), ("clone",), (), port.type.dtype)
            target = low.scope.names.fresh(written.rsplit(".", 1)[-1])
            low.block.append(Assign((target,), copy))
            low.scope.inputs = {**low.scope.inputs, port.name: target}


def _penalties(low: Lowering, graph: Graph) -> list[Statement]:
    if not graph.penalties:
        return []
    low.block = []
    with low.apart():
        for output in graph.penalties:
            low.lower(output.node)
            pair = Expr("tuple", (literal_text(output.name), low.out(low.value(output.node), output.layout)))
            low.block.append(Do(Expr("function", (pair,), ("self.penalties.append",), None)))
    return [Branch(name("self.penalties is not None"), tuple(low.block))]


def literal_text(text: str) -> Expr:
    return Expr("literal", (), (f'"{text}"',))


def _updates(low: Lowering, graph: Graph) -> list[Statement]:
    if not graph.updates:
        return []
    low.block, low.storing = [], True
    values: list[tuple[str, Expr]] = []
    for update in graph.updates:
        low.lower(update.node)
        port = low.ports[update.buffer]
        value = low.value(update.node)
        value = low.as_tensor(value) if value.is_host else value
        scalar = not value.axes
        values.append((update.buffer, low.out(value, ()) if scalar else low.out(value, port.layout)))
    if len(values) > 1 and _crossed(graph):
        values = [(text, low.bind(value, f"new_{text.rsplit('.', 1)[-1]}")) for text, value in values]
    for text, value in values:
        low.block.append(Do(Expr("method", (name(names.path(text), ()), value), ("copy_",), ())))
    return [NoGrad(tuple(low.block))]


def _crossed(graph: Graph) -> bool:
    """Whether a buffer's new value reads another buffer that is stored too."""
    updated = {update.buffer for update in graph.updates}
    return any(current.op == "input" and current.attrs in updated - {update.buffer}
               for update in graph.updates for current in topological((update.node,)))


# ----------------------------------------------------------------------------------------- custom derivatives
def custom(call: Call, title: str, registry: Registry) -> Custom:
    """An autograd.Function: forward is the body, backward the stated derivative, itself differentiable."""
    body, vjp = prepared(call.body), prepared(call.vjp)
    own = [port.name for port in call.body.inputs if port.role == "input"]
    ports = tuple(dict.fromkeys(port.name for graph in (body, vjp) for port in graph.inputs if port.role != "input"))
    taken = {text: names.argument(text) for text in own}
    unique = Names(taken.values())
    extra = {text: unique.fresh(text.rsplit(".", 1)[-1]) for text in ports}
    symbols: dict[str, str] = {}
    drawn = ["generator"] if draws(call.body, frozenset()) or draws(call.vjp, frozenset()) else []
    generator = drawn[0] if drawn else None

    def forward(native: bool) -> Function:
        scope = Scope({**taken, **extra}, {}, Names([*taken.values(), *extra.values()]), registry, symbols=symbols,
                      generator=generator)
        low = Lowering(body, scope, native)
        # torch refuses to save an input for the backward that is a result as it is.
        given = set(taken.values())
        results = tuple(Expr("method", (x, x), ("view_as",), x.dims, x.dtype) if x.op == "name" and x.params[0] in given else x
                        for x in low.outputs())
        lines = [*_flattened(low, body), *low.block]
        return Function("forward", (), "Any", (*lines, Return(results)), decorators=("@staticmethod",),
                        assumed=frozenset({*taken.values(), *extra.values(), *symbols.values(), *drawn}))

    def backward(native: bool) -> Function:
        cotangents = [port.name for port in vjp.inputs if port.role == "input" and port.name not in own]
        written = {text: unique.fresh(text) if text in taken.values() else names.argument(text) for text in cotangents}
        scope = Scope({**taken, **extra, **written}, {}, Names([*taken.values(), *extra.values(), *written.values()]),
                      registry, symbols=symbols, generator=generator)
        low = Lowering(vjp, scope, native)
        results = low.outputs()
        by_name = dict(zip(call.wrt, results, strict=True))
        refused: list[Statement] = []
        for place, text in enumerate(own):
            if text not in call.wrt and text not in call.stopped:
                wanted = name(f"ctx.needs_input_grad[{place}]")
                refused.append(Raise(wanted, "RuntimeError", f"{call.body.name} states no derivative for {text}"))
        nothing = name("None")
        values = [by_name.get(text, nothing) for text in own] + [nothing] * (len(ports) + len(symbols) + len(drawn))
        arguments = (("ctx", "Any", None), *((written[text], "Tensor", None) for text in cotangents))
        return Function("backward", arguments, "Any", (*refused, *_flattened(low, vjp), *low.block, Return(tuple(values))),
                        decorators=("@staticmethod",),
                        assumed=frozenset({*taken.values(), *extra.values(), *symbols.values(), *drawn, "ctx"}))

    first = native_first(forward)
    second = native_first(backward)
    found = Custom(title, ports, tuple(symbols), bool(drawn))
    tensors = [taken[text] for text in own]
    numbers = [*extra.values(), *symbols.values(), *drawn]
    arguments = tuple((text, "Tensor", None) for text in tensors) + tuple((text, "Any", None) for text in numbers)
    forward_ = Function("forward", arguments, "Any", first.body, decorators=("@staticmethod",))
    everything = [*tensors, *numbers]
    setup: list[Statement] = [Assign(tuple(everything), Expr("name", (), ("inputs",), None))] if len(everything) > 1 else [
        Assign((f"({everything[0]},)",), Expr("name", (), ("inputs",), None))]
    setup.append(Do(Expr("function", tuple(map(name, tensors)), ("ctx.save_for_backward",), None)))
    setup += [Assign((f"ctx.{text}",), name(text)) for text in numbers]
    context = Function("setup_context", (("ctx", "Any", None), ("inputs", "Any", None), ("output", "Any", None)), "None",
                       tuple(setup), decorators=("@staticmethod",))
    restore: list[Statement] = [Assign(tuple(tensors) if len(tensors) > 1 else (f"({tensors[0]},)",), name("ctx.saved_tensors"))]
    restore += [Assign((text,), name(f"ctx.{text}")) for text in numbers]
    refused = [statement for statement in second.body if isinstance(statement, Raise)]
    rest = [statement for statement in second.body if not isinstance(statement, Raise)]
    backward_ = Function("backward", second.arguments, "Any", (*refused, *restore, *rest), decorators=("@staticmethod",))
    registry.written.append([f"class {title}(torch.autograd.Function):", "    generate_vmap_rule = True",
                             forward_, context, backward_])
    return found


def _flattened(low: Lowering, graph: Graph) -> list[Statement]:
    """Where leading dimensions must be one: the inputs reshaped. Every other size is passed in."""
    leading = [port for port in graph.inputs if port.layout and [a.name for a in port.layout[0]] == [LEADING]]
    if not leading or (low.native and low.scope.lead is None):
        return []
    first = leading[0]
    written = low.scope.inputs[first.name]
    rank = len(first.layout) - 1
    whole = Expr("shape", (), (written,), None, "int")
    low.lead_shape()
    assert low.scope.lead is not None
    lines: list[Statement] = [Assign((low.scope.lead,), Expr("subscript", (whole,), (f":-{rank}",)) if rank else whole)]
    if low.native:
        return lines
    rows = low.size(Size.symbol(LEADING))
    low.scope.symbols.pop(LEADING)
    lines.append(Assign((str(rows.params[0]),), Expr("function", (name(low.scope.lead),), ("math.prod",), None, "int")))
    for port in leading:
        rank = len(port.layout) - 1
        text = low.scope.inputs[port.name]
        rest = [Expr("star", (Expr("subscript", (Expr("shape", (), (text,), None, "int"),), (f"-{rank}:",)),))] if rank else []
        lines.append(Assign((text,), Expr("reshape", (name(text, ()), rows, *rest), (), ())))
    return lines



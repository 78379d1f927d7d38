"""A layer as the text of one nn.Module class: constructor, `reset_parameters`, methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from archc.checker.sizes import Size
from archc.checker.types import dim_size, flat
from archc.codegen.torch import names
from archc.codegen.torch import print as printer
from archc.codegen.torch.calls import draw
from archc.codegen.torch.form import Assign, Branch, Do, Expr, Function, Raise, Return, Statement, verify
from archc.codegen.torch.layout import literal, name
from archc.codegen.torch.lower import Lowering, Scope
from archc.codegen.torch.methods import ANNOTATIONS, FIXED, Registry, draws, fixed, method, quoted, shape
from archc.codegen.torch.names import Names
from archc.codegen.torch.prepare import prepared
from archc.codegen.torch.steps import state_class, step_method
from archc.ir import entry
from archc.ir.graph import Graph, Member, Random, topological
from archc.ir.module import Child, Method, Module, Number, Package, Stored
from archc.passes.joined import callee

JOINED = "_joined"
DTYPES = {"int": "torch.long", "bool": "torch.bool", "complex": "_complex(dtype)"}


class ClassWriter:
    """Writes one class. `titles` gives the class name of every module of the package, `states` those of the states of steps, by
    module and method; a callee's are there before its caller's."""

    def __init__(self, module: Module, package: Package, titles: Mapping[str, str], registry: Registry,
                 states: dict[tuple[str, str], str]) -> None:
        self.module, self.package, self.titles, self.registry, self.states = module, package, titles, registry, states
        self.sizes = [number.name for number in module.numbers if number.kind in ("axis", "int")]
        self.wholes = {Size.symbol(d.symbol) * d.part: d.whole for d in module.definitions}
        self.known = self._known()

    def _known(self) -> tuple[str, ...]:
        """Size symbols that the constructor knows."""
        return tuple(self.sizes)

    def state_classes(self) -> Iterator[list[str]]:
        """The classes of the states of its steps, which get their names here."""
        owner = self.titles[self.module.key]
        for found in self.module.methods:
            if found.step is not None and (found.step.states or found.step.fields):
                title = self.registry.names.fresh(f"{owner}State" + found.name.removeprefix("step"))
                self.states[self.module.key, found.name] = title
                calls = [n.attrs for n in topological(found.eval.roots) if isinstance(n.attrs, Member) and n.attrs.state]
                fields = {call.state: self.states[self.child_key(call.path), call.method] for call in calls}
                yield state_class(found, title, owner, fields)

    def child_key(self, path: str) -> str:
        name, _, place = path.partition(".")
        return next(child for child in self.module.children if child.name == name).modules[int(place) if place else 0]

    def lines(self) -> list[str]:
        title = self.titles[self.module.key]
        yield_ = [f"class {title}(nn.Module):", *printer.docstring(self.doc(), "    "), ""]
        if any(m.train.penalties or m.eval.penalties for m in self.module.methods):
            yield_ += ["    penalties: list[tuple[str, Tensor]] | None = None  # a list while a trainer collects them"]
        yield_ += [*self.attributes()]
        if yield_[-1] != "":
            yield_.append("")
        for part in self.functions():
            yield_ += [*part, ""]
        return yield_[:-1]

    def doc(self) -> str:
        if not self.module.methods:
            return f"{self.module.doc}\n\nWhat it stores; the layer around it supplies the rest, and computes.".strip()
        forward = self.module.methods[0]
        inputs = [port for port in forward.train.inputs if port.role == "input"]
        taken = ", ".join(f"{port.name}{shape(port.layout)}" for port in inputs)
        given = ", ".join(shape(output.layout) for output in forward.train.outputs)
        doc = self.module.doc.strip()
        return f"{doc}\n\n{taken} -> {given}\n" if doc else f"{taken} -> {given}"

    def attributes(self) -> Iterator[str]:
        """Annotations of buffers, for type checkers, and names that differ from those of the source."""
        if renamed := self.renamed():
            listed = ", ".join(f'"{name}": "{source}"' for name, source in renamed.items())
            yield f"    source_names = {{{listed}}}"
        for stored in self.module.stored:
            if stored.kind == "buffer":
                yield f"    {names.attribute(stored.name)}: Tensor"

    def renamed(self) -> dict[str, str]:
        """Attributes that are not called as in the source, and what they are called there."""
        parts = [stored.name for stored in self.module.stored if stored.kind != "init"]
        parts += [child.name for child in self.module.children]
        return {names.attribute(text): text for text in parts if names.attribute(text) != text}

    def functions(self) -> Iterator[list[str]]:
        yield self.constructor()
        if reset := self.reset():
            yield reset
        numbers = {number: f"self.{names.attribute(number)}" for number in self.sizes}
        for found in self.module.methods:
            if found.step is None:
                yield from (printer.function(function, "    ") for function in self.written(found, numbers))
            else:
                states, owner = self.states.get((self.module.key, found.name), ""), self.titles[self.module.key]
                written = step_method(found, states, owner, numbers, self.known, self.registry, self.drawing(self.module))
                yield printer.function(written, "    ")
        if any(stored.dtype == "complex" for stored in self.module.stored):
            yield ["    def _apply(self, fn: Any, recurse: bool = True) -> Any:",
                   "        return super()._apply(_by_parts(fn), recurse)"]
        if extra := self.extra_repr():
            yield extra

    def written(self, found: Method, numbers: Mapping[str, str]) -> Iterator[Function]:
        """A method; before it, where some of its sub-layers are in kernels of its own, the same with these inlined."""
        joined, drawing = found.joined, self.drawing(self.module)
        if joined is None:
            yield method(found, numbers, self.known, self.registry, drawing)
            return
        inlined = replace(found, name=JOINED, train=joined.train, eval=joined.eval,
                          doc=f"As forward, with {' and '.join(joined.members)} in kernels of its own.")
        fast = method(inlined, numbers, self.known, self.registry, drawing)
        with self.registry.rarely():
            plain = method(found, numbers, self.known, self.registry, drawing)
        arguments = [argument for argument, _, _ in fast.arguments][1:]
        by_name = arguments.index("*") if "*" in arguments else len(arguments)
        given = [*map(name, arguments[:by_name]),
                 *(Expr("keyword", (name(argument),), (argument,)) for argument in arguments[by_name + 1:])]
        children = tuple(Expr("tuple", self.as_made(path)) for path in joined.members)
        asked = Expr("function", (name("self"), *children), ("_kernels.unwatched",), None, "bool")
        text = Names(argument for argument, _, _ in plain.arguments).fresh("unwatched")
        through: Statement = Return((Expr("function", tuple(given), (f"self.{JOINED}",)),))
        yield fast
        yield replace(plain, body=(Assign((text,), asked), Branch(name(text, None, "bool"), (through,)), *plain.body))

    def as_made(self, path: str) -> tuple[Expr, ...]:
        """A sub-layer, its class, and its numbers, by name, as the constructor gave them."""
        other = callee(self.module, path, self.package.modules)
        title, _, place = path.partition(".")
        child = next(child for child in self.module.children if child.name == title)
        arguments = child.arguments[int(place) if place else 0]
        written = {number.name: f"self.{names.attribute(number.name)}" for number in self.module.numbers}
        found = [name(names.path(path)), name(self.titles[other.key])]
        for number in other.numbers:
            given = arguments.get(number.name)
            if number.kind != "axis":
                value = self.scalar(given, written) if given is not None else literal(_default(number))
                found += [Expr("literal", (), (f'"{names.attribute(number.name)}"',)), value]
        return tuple(found)

    def drawing(self, module: Module) -> frozenset[tuple[str, str]]:
        """The methods of sub-modules that draw, by path."""
        found: set[tuple[str, str]] = set()
        for child in module.children:
            for position, key in enumerate(child.modules):
                inner = self.package.modules[key]
                if key not in self.registry.drawing:
                    below = self.drawing(inner)
                    self.registry.drawing[key] = frozenset(
                        m.name for m in inner.methods if draws(m.train, below) or draws(m.eval, below))
                path = f"{child.name}.{position}" if child.is_list else child.name
                found |= {(path, name) for name in self.registry.drawing[key]}
        return frozenset(found)

    # -- the constructor -----------------------------------------------------------------------------------------
    def constructor(self) -> list[str]:
        arguments: list[tuple[str, str, str | None]] = [("self", "", None)]
        for number in sorted(self.module.numbers, key=lambda number: number.default is not None):
            default = None if number.default is None else printer.literal(number.default)
            arguments.append((names.argument(number.name), ANNOTATIONS[number.kind], default))
        arguments.append(("*", "", None))
        given = [stored for stored in self.module.stored if stored.value is None and stored.kind in ("param", "buffer")]
        arguments += [(names.argument(stored.name), "Tensor", None) for stored in given]
        statics = [(text, value) for text, value in self.module.statics.items() if isinstance(value, FIXED)]
        for text, value in statics:
            kind = type(value).__name__
            arguments.append((names.argument(text), kind, quoted(value)))
        arguments += [("device", "torch.device | str | None", "None"), ("dtype", "torch.dtype | None", "None")]
        body: list[Statement] = [Do(Expr("function", (), ("super().__init__",), None))]
        if self.renamed():
            for when, helper in (("state_dict_post", "_save_by_source"), ("load_state_dict_pre", "_load_by_source")):
                body.append(Do(Expr("function", (name(helper),), (f"self.register_{when}_hook",), None)))
        body += [fixed(self.module.name, text, value, f"compile it again with another {text}") for text, value in statics]
        body += self.checks()
        for number in self.module.numbers:
            body.append(Assign((f"self.{names.attribute(number.name)}",), name(names.argument(number.name))))
        for stored in self.module.stored:
            body += self.store(stored)
        for child in self.module.children:
            body += self.child(child)
        if any(self.resets(stored) for stored in self.module.stored):
            body.append(Do(Expr("function", (), ("self.reset_parameters",), None)))
        function = Function("__init__", tuple(arguments), "None", tuple(body), assumed=frozenset(self.titles.values()))
        return printer.function(function, "    ")

    def arguments_scope(self) -> Lowering:
        """Sizes and numbers as the constructor's arguments."""
        return self.scope({number.name: names.argument(number.name) for number in self.module.numbers}, Graph("", (), ()))

    def scope(self, written: Mapping[str, str], graph: Graph, inputs: Mapping[str, str] | None = None) -> Lowering:
        symbols = {text: written[text] for text in self.sizes}
        scope = Scope({**written, **(inputs or {})}, symbols, Names(written.values()), self.registry, constructing=True)
        return Lowering(graph, scope, native=False)

    def size(self, low: Lowering, size: Size) -> Expr:
        """A size from the constructor's numbers alone: parts of splits by their definitions."""
        size = self.wholes.get(size, size)
        while size.symbols - set(self.sizes):
            definitions = {d.symbol: d.whole // d.part for d in self.module.definitions if d.symbol in size.symbols}
            if not definitions:
                break
            size = size.substitute(definitions)
        return low.size(size)

    def checks(self) -> list[Statement]:
        """What the numbers promise each other, and that no size is negative."""
        low = self.arguments_scope()
        found: list[Statement] = []
        for text in self.sizes:
            argument = name(names.argument(text), None, "int")
            wrong = Expr("lt", (argument, literal(0)), (), None, "bool")
            found.append(Raise(wrong, "ValueError", f"{text} is {{}}, and a size is at least 0", (argument,)))
        own = set(self.sizes)
        definitions = [d for d in self.module.definitions if d.whole.symbols | d.part.symbols <= own]
        own |= {d.symbol for d in definitions}
        checks = [c for c in self.module.checks if c.left.symbols | c.right.symbols <= own]
        graph = Graph("constructor", (), (), numbers=tuple(self.sizes), definitions=tuple(definitions), checks=tuple(checks))
        for step in entry.plan(graph):
            if isinstance(step, entry.Define) and step.part.constant != 1:
                whole, part = self.size(low, step.whole), self.size(low, step.part)
                wrong = Expr("ne", (Expr("mod", (whole, part), (), None, "int"), literal(0)), (), None, "bool")
                if step.part.constant is None:
                    wrong = Expr("or", (Expr("lt", (part, literal(1)), (), None, "bool"), wrong), (), None, "bool")
                found.append(_fail(wrong, step.sentence, found=whole, factor=part))
            elif isinstance(step, (entry.Equal, entry.AtLeast)):
                left, right = self.size(low, step.left), self.size(low, step.right)
                op = "ne" if isinstance(step, entry.Equal) else "lt"
                found.append(_fail(Expr(op, (left, right), (), None, "bool"), step.sentence, found=left, expected=right))
        return found

    def store(self, stored: Stored) -> list[Statement]:
        """`self.gamma = nn.Parameter(torch.empty(...))` or a registered buffer."""
        if stored.kind == "init":
            return []
        if stored.kind == "tied":
            return [Assign((names.path(stored.name),), name(names.path(stored.of)))]
        registered = names.attribute(stored.name)
        if stored.value is None:
            value = Expr("method", (name(names.argument(stored.name), ()), *_placed(stored)), ("to",), ())
            value = Expr("method", (value,), ("clone",), ()) if stored.kind == "buffer" else Expr(
                "method", (Expr("method", (value,), ("detach",), ()),), ("clone",), ())
        else:
            low = self.arguments_scope()
            sizes = [self.size(low, dim_size(dim)) for dim in stored.layout] or [Expr("tuple")]
            value = Expr("function", (*sizes, *_placed(stored)), ("torch.empty",), ())
        text = Expr("literal", (), (f'"{registered}"',))
        if stored.kind == "buffer":
            return [Do(Expr("function", (text, value), ("self.register_buffer",), None))]
        return [Assign((f"self.{registered}",), Expr("function", (value,), ("nn.Parameter",), ()))]

    def child(self, child: Child) -> list[Statement]:
        """A sub-module, or a list of them: one comprehension where all are alike."""
        made = [self.instance(key, arguments) for key, arguments in zip(child.modules, child.arguments, strict=True)]
        if not child.is_list:
            return [Assign((f"self.{names.attribute(child.name)}",), made[0])]
        if len(made) > 1 and all(one == made[0] for one in made):
            inner = Expr("name", (), (f"[{printer.expression(made[0])} for _ in range({len(made)})]",), None)
        else:
            inner = Expr("name", (), (f"[{', '.join(map(printer.expression, made))}]",), None)
        return [Assign((f"self.{names.attribute(child.name)}",), Expr("function", (inner,), ("nn.ModuleList",), None))]

    def instance(self, key: str, arguments: Mapping[str, Graph]) -> Expr:
        other = self.package.modules[key]
        keywords: list[Expr] = []
        for number in other.numbers:
            if number.name in arguments and not _is_default(number, arguments[number.name]):
                value = self.scalar(arguments[number.name])
                keywords.append(Expr("keyword", (value,), (names.argument(number.name),)))
        keywords += [Expr("keyword", (name(text),), (text,)) for text in ("device", "dtype")]
        return Expr("function", tuple(keywords), (self.titles[key],), None)

    def scalar(self, graph: Graph, written: Mapping[str, str] | None = None) -> Expr:
        """A constructor argument of a sub-module: a number of the host over this module's numbers."""
        written = written or {number.name: names.argument(number.name) for number in self.module.numbers}
        low = self.scope(written, graph)
        sizes = self.scope(written, Graph("", (), ()))
        low.scope.size = lambda size: self.size(sizes, size)
        low.lower(graph.outputs[0].node)
        value = low.value(graph.outputs[0].node)
        assert value.is_host and not low.block, "an argument of a sub-module is a number"
        return value

    # -- initial values ------------------------------------------------------------------------------------------
    def resets(self, stored: Stored) -> bool:
        return stored.value is not None and stored.kind != "init"

    def reset(self) -> list[str]:
        """`reset_parameters`: every param and buffer filled, in the source's order."""
        if not any(self.resets(stored) for stored in self.module.stored):
            return []
        written = {number.name: f"self.{names.attribute(number.name)}" for number in self.module.numbers}
        local: dict[str, str] = {}
        unique = Names()
        body: list[Statement] = []
        for stored in self.module.stored:
            if stored.value is None:
                continue
            body += self.filled(stored, written, local, unique)
        function = Function("reset_parameters", (("self", "", None),), "None", tuple(body), decorators=("@torch.no_grad()",),
                            doc="Gives params and buffers their first values.")
        verify(function)
        return printer.function(function, "    ")

    def filled(self, stored: Stored, written: Mapping[str, str], local: dict[str, str], unique: Names) -> list[Statement]:
        assert stored.value is not None
        graph = prepared(stored.value)
        inputs = {port.name: local.get(port.name, names.path(port.name)) for port in graph.inputs if port.role != "number"}
        low = self.scope(written, graph, inputs)
        low.scope.names = unique
        low.scope.size = lambda size: self.size(self.scope(written, graph), size)
        target = names.path(stored.name)
        low.home = target
        if stored.kind == "init" or stored.dtype != "float":
            floats = [other.name for other in self.module.stored if other.kind in ("param", "buffer") and other.dtype == "float"]
            low.home = names.path(floats[0]) if floats else f"{target}.real" if stored.dtype == "complex" else None
        output = graph.outputs[0]
        root = output.node
        while root.op == "expand":
            root = root.args[0]
        plain = all(len(dim) == 1 for dim in stored.layout)
        if stored.kind != "init" and plain and isinstance(root.attrs, Random) and root.attrs.axes == flat(stored.layout):
            for arg in root.args:
                low.lower(arg)
            args = [low.value(arg) for arg in root.args]
            if all(arg.is_host for arg in args):
                return [*low.block, Do(draw(root.attrs.kind, name(target, ()), args, ()))]
        low.lower(root)
        value = low.value(root)
        if stored.kind == "init":
            value = low.out(value, stored.layout)
            made = low.bind(value, stored.name)
            local[stored.name] = str(made.params[0])
            return list(low.block)
        if value.is_host:
            return [*low.block, Do(Expr("method", (name(target, ()), value), ("fill_",), ()))]
        value = low.out(value, stored.layout)
        return [*low.block, Do(Expr("method", (name(target, ()), value), ("copy_",), ()))]

    def extra_repr(self) -> list[str]:
        if not self.module.numbers:
            return []
        shown = ", ".join(f"{number.name}={{self.{names.attribute(number.name)}}}" for number in self.module.numbers)
        return ["    def extra_repr(self) -> str:", f'        return f"{shown}"']


def _placed(stored: Stored) -> tuple[Expr, ...]:
    dtype = DTYPES.get(stored.dtype, "dtype")
    return tuple(Expr("keyword", (name(value),), (text,)) for text, value in (("device", "device"), ("dtype", dtype)))


def _default(number: Number) -> bool | int | float:
    assert number.default is not None
    return number.default


def _is_default(number: Number, graph: Graph) -> bool:
    node = graph.outputs[0].node
    return number.default is not None and node.op == "const" and node.attrs == number.default


def _fail(condition: Expr, sentence: str, **facts: Expr) -> Raise:
    import re

    values: list[Expr] = []

    def place(match: re.Match[str]) -> str:
        fact = facts[match[1]]
        if fact.op == "literal":
            return str(fact.params[0])
        values.append(fact)
        return "{}"

    return Raise(condition, "ValueError", re.sub(r"\{(\w+)\}", place, sentence), tuple(values))


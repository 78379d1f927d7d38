"""Groups in an emitted file: a function that calls the group's kernel where it can, and else computes the same in torch.

    def _norm_1(x, gamma, eps, n, c):
        if _kernels.fusible(x, gamma):
            return _Norm1.apply(x, gamma, eps, n, c)
        ... the same with torch's operations

`_Norm1` is an autograd.Function: its backward is a group of its own, or in torch's operations where it will be differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from archc.checker.types import LEADING, Axis, Layout, flat
from archc.codegen.cpp.form import Kernel
from archc.codegen.cpp.lower import lower, relabelled
from archc.codegen.torch import names
from archc.codegen.torch.form import Assign, Branch, Do, Expr, Function, Return, Statement, verify
from archc.codegen.torch.layout import name
from archc.codegen.torch.lower import Custom, Lowering, Scope
from archc.codegen.torch.names import Names
from archc.codegen.torch.prepare import prepared
from archc.ir.graph import Call, Graph, topological
from archc.passes.group import group_value

Written = list["Function | str"]


def write(call: Call, title: str, kernels: list[Kernel], functions: Callable[[Call, bool], Custom]
          ) -> tuple[Custom, list[Written]]:
    """What an emitted file holds for a group: how it is called, and its functions and classes in order."""
    axes = {axis for layout in _layouts(call.vjp, call.body) for axis in flat(layout)}
    rows = {axis: Axis(Names(a.name for a in axes).fresh("rows"), axis.size) for axis in axes if axis.name == LEADING}
    if rows:  # the caller has made them one
        call = replace(call, body=relabelled(call.body, rows), vjp=relabelled(call.vjp, rows))
    return _Group(call, title, kernels, functions).write()


class _Group:
    def __init__(self, call: Call, title: str, kernels: list[Kernel],
                 functions: Callable[[Call, bool], Custom]) -> None:
        self.call, self.title, self.kernels, self.functions = call, title, kernels, functions
        self.taken = {port.name: names.argument(port.name) for port in call.body.inputs}
        self.unique = Names([*self.taken.values(), "ctx", "output", "inputs"])
        self.symbols: dict[str, str] = {}
        known = {port.name for port in call.body.inputs}
        self.cotangents = {port.name: self.unique.fresh(port.name) for port in call.vjp.inputs if port.name not in known}
        self.inputs = [port for port in call.body.inputs if port.role == "input"]

    def write(self) -> tuple[Custom, list[Written]]:
        body = self.call.body
        kernel = self.kernel_call()
        for _ in range(2 if self.call.wrt else 0):  # the first time finds the sizes that all of it mentions
            derivative = self.backward()
        plain = self.lowered(prepared(body), {})
        arguments = (*((text, "Tensor" if port.role == "input" else "float", None)
                       for port, text in zip(body.inputs, self.taken.values(), strict=True)),
                     *((text, "int", None) for text in self.symbols.values()))
        everything = tuple(name(text) for text, _, _ in arguments)
        fits = Expr("function", tuple(name(self.taken[p.name]) for p in self.inputs), ("_kernels.fusible",))
        through = Expr("function", everything, (f"{self.class_name}.apply",)) if self.call.wrt else kernel
        doc = _sentence(body)
        main = Function(self.title, arguments, "Any", (Branch(fits, (Return((through,)),)), *plain), doc=doc)
        verify(Function(main.name, main.arguments, main.result, plain))
        written: list[Written] = [[main]]
        if self.call.wrt:
            texts = [text for text, _, _ in arguments]
            tensors = [self.taken[port.name] for port in self.inputs]
            others = [text for text in texts if text not in tensors]
            # `forward` takes the context itself: beside a `setup_context`, torch would look at its signature in every call.
            saved: list[Statement] = [Do(Expr("function", tuple(map(name, tensors)), ("ctx.save_for_backward",), None)),
                                      *([Assign(("ctx.others",), Expr("tuple", tuple(map(name, others))))] if others else [])]
            forward = Function("forward", (("ctx", "Any", None), *arguments), "Any", (*saved, Return((kernel,))),
                               decorators=("@staticmethod",))
            restore: list[Statement] = [Assign(_targets(tensors), name("ctx.saved_tensors")),
                                        *([Assign(_targets(others), name("ctx.others"))] if others else [])]
            cotangents = tuple((text, "Tensor", None) for text in self.cotangents.values())
            back = Function("backward", (("ctx", "Any", None), *cotangents), "Any", (*restore, *derivative),
                            decorators=("@staticmethod",))
            written.append([f"class {self.class_name}(torch.autograd.Function):", forward, back])
        return Custom(self.title, (), tuple(self.symbols)), written

    @property
    def class_name(self) -> str:
        return "_" + "".join(part[:1].upper() + part[1:] for part in self.title.strip("_").split("_"))

    def lowering(self, graph: Graph, more: dict[str, str]) -> Lowering:
        scope = Scope({**self.taken, **more}, {}, Names([*self.taken.values(), *more.values(), *self.symbols.values()]),
                      self.functions, symbols=self.symbols)
        return Lowering(graph, scope, False)

    def lowered(self, graph: Graph, more: dict[str, str]) -> tuple[Statement, ...]:
        low = self.lowering(graph, more)
        results = low.outputs()
        if len(results) > 1:
            results = tuple(low.bind(x, output.name) for x, output in zip(results, graph.outputs, strict=True))
        return (*low.block, Return(results))

    def kernel_call(self) -> Expr:
        body = self.call.body
        orders = {port.name: flat(port.layout) for port in body.inputs} | {out.name: flat(out.layout) for out in body.outputs}
        kernel = lower(body, f"{self.title.strip('_')}_kernel", orders, _sentence(body))
        self.kernels.append(kernel)
        low = self.lowering(body, {})
        shapes = tuple(Expr("tuple", tuple(low.size(axis.size) for axis in flat(o.layout))) for o in body.outputs)
        sizes = tuple(Expr("name", (), (low.symbol(symbol),), None, "int") for symbol, _ in kernel.symbols)
        tensors = tuple(name(self.taken[port.name]) for port in self.inputs)
        numbers = tuple(name(self.taken[port.name]) for port in body.inputs if port.role == "number")
        parts = (Expr("tuple", tensors), Expr("tuple", shapes), Expr("tuple", sizes), Expr("tuple", numbers))
        return Expr("function", (Expr("literal", (), (f'"{kernel.name}"',)), *parts), ("_kernels",))

    def backward(self) -> tuple[Statement, ...]:
        vjp = self.call.vjp
        plain = self.pulled(prepared(vjp))
        fused = self.pulled(prepared(group_value(vjp)))
        return (Branch(name("torch.is_grad_enabled()"), plain), *fused)

    def pulled(self, graph: Graph) -> tuple[Statement, ...]:
        low = self.lowering(graph, self.cotangents)
        results = low.outputs()
        by_name = {text: low.bind(x, f"d_{text}") for text, x in zip(self.call.wrt, results, strict=True)}
        nothing = name("None")
        values = [by_name.get(port.name, nothing) for port in self.call.body.inputs]
        return (*low.block, Return((*values, name(f"*[None] * {len(self.symbols)}"))))


def _layouts(*graphs: Graph) -> list[Layout]:
    return [layout for graph in graphs for layout in (*(p.layout for p in graph.inputs), *(o.layout for o in graph.outputs))]


def _targets(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(texts) if len(texts) > 1 else (f"({texts[0]},)",)


def _sentence(body: Graph) -> str:
    """Which lines of the source a group computes."""
    spans = [body.notes.spans[node] for node in topological(body.roots) if node in body.notes.spans]
    if not spans:
        return ""
    file = spans[0].file.replace("\\", "/").rsplit("/", 1)[-1]
    lines = sorted({span.line for span in spans if span.file == spans[0].file})
    listed = f"{lines[0]}" if len(lines) == 1 else f"{lines[0]}-{lines[-1]}"
    return f"{file}:{listed} in one kernel."

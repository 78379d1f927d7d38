"""Groups in an emitted file: a function that calls the group's kernel where it can, and else computes the same in torch.

    def _norm(x, gamma, eps, n, c):
        if _kernels.fit(x, gamma):
            if torch.is_grad_enabled() and (x.requires_grad or gamma.requires_grad):
                return _Norm.apply(x, gamma, (eps, n, c))
            return _norm_kernel(x, gamma, eps, n, c)
        if _kernels.traced(x, gamma):
            return _kernels.operations.norm(x, gamma, eps, n, c)
        ... the same with torch's operations

`_norm_kernel` makes room for the results and calls the kernel; how it does that is the target's (`cpp/fused.py`,
`triton/fused.py`). `_Norm` is an autograd.Function: its backward is a group of its own, or in torch's operations where it will be
differentiated. Where only some gradients are asked for, a kernel of these alone computes them, built when it is first called.
`norm` is the same as an operation of torch's, for `torch.compile`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, reduce
from typing import Generic, Protocol, TypeVar

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis, Layout, flat
from archc.codegen.groups import relabelled
from archc.codegen.torch import names
from archc.codegen.torch.form import Assign, Branch, Do, Expr, Function, Return, Statement, verify
from archc.codegen.torch.layout import name
from archc.codegen.torch.lower import Custom, Lowering, Scope
from archc.codegen.torch.names import Names
from archc.codegen.torch.prepare import prepared
from archc.ir.graph import Call, Graph, topological
from archc.passes.group import group_value

Written = list["Function | str"]


class Functions(Protocol):
    """The functions of a file; see `methods.Registry`."""

    def __call__(self, call: Call, native: bool) -> Custom: ...

    def rarely(self) -> AbstractContextManager[None]: ...


class Named(Protocol):
    """A kernel."""

    @property
    def name(self) -> str: ...

    @property
    def most(self) -> tuple[Size, int] | None: ...


K = TypeVar("K", bound=Named)


def write(call: Call, title: str, target: type[Group[K]], kernels: list[K],
          functions: Functions) -> tuple[Custom, list[Written]]:
    """What an emitted file holds for a group: how it is called, and its functions and classes in order."""
    axes = {axis for layout in _layouts(call.vjp, call.body) for axis in flat(layout)}
    rows = {axis: Axis(Names(a.name for a in axes).fresh("rows"), axis.size) for axis in axes if axis.name == LEADING}
    if rows:  # the caller has made them one
        call = replace(call, body=relabelled(call.body, rows), vjp=relabelled(call.vjp, rows))
    return target(call, title, kernels, functions).write()


class Group(ABC, Generic[K]):
    """A group of a target: how its kernel is made and called, and what stands around the call."""

    def __init__(self, call: Call, title: str, kernels: list[K], functions: Functions) -> None:
        self.call, self.title, self.kernels, self.functions = call, title, kernels, functions
        self.taken = {port.name: names.argument(port.name) for port in call.body.inputs}
        self.unique = Names([*self.taken.values(), "ctx", "output", "inputs"])
        self.symbols: dict[str, str] = {}
        known = {port.name for port in call.body.inputs}
        self.cotangents = {port.name: self.unique.fresh(port.name) for port in call.vjp.inputs if port.name not in known}
        self.inputs = [port for port in call.body.inputs if port.role == "input"]
        self.made: list[Expr] = []  # room for each result

    def write(self) -> tuple[Custom, list[Written]]:
        body = self.call.body
        for _ in range(2):  # the first time finds the sizes that all of it mentions
            kernel = self.kernel_function()
            derivative = self.backward() if self.call.wrt else ()
            plain = self.lowered(prepared(body), {})
        self.kernels.append(self.kernel)
        tensors = [self.taken[port.name] for port in self.inputs]
        others = [text for text, _, _ in self.arguments() if text not in tensors]
        fits = Expr("function", tuple(map(name, tensors)), ("_kernels.fit",))
        if self.kernel.most is not None:
            size, most = self.kernel.most
            few = Expr("le", (self.lowering(body, {}).size(size), Expr("literal", (), (most,), None, "int")), (), None, "bool")
            fits = Expr("and", (few, fits), (), None, "bool")
        compute: tuple[Statement, ...] = (Return((Expr("function", tuple(map(name, (*tensors, *others))), (kernel.name,)),)),)
        if self.call.wrt:
            given = Expr("tuple", tuple(map(name, others)))
            through = Expr("function", (*map(name, tensors), given), (f"{self.class_name}.apply",))
            asked = _any([name("torch.is_grad_enabled()")], [name(f"{self.taken[text]}.requires_grad") for text in self.call.wrt])
            compute = (Branch(asked, (Return((through,)),)), *compute)
        results = ", ".join(["Tensor"] * len(body.outputs))
        shown = results if len(body.outputs) == 1 else f"tuple[{results}]"
        choices = (Branch(fits, compute), *self.seen(others))
        main = Function(self.title, self.arguments(), shown, (*choices, *plain), doc=sentence(body), decorators=self.decorators)
        verify(Function(main.name, main.arguments, main.result, plain))
        written: list[Written] = [[kernel], [main]]
        if self.call.wrt:
            # `forward` takes the context itself: beside a `setup_context`, torch would look at its signature in every call.
            saved: list[Statement] = [Do(Expr("function", tuple(map(name, tensors)), ("ctx.save_for_backward",), None)),
                                      Assign(("ctx.others",), name("others"))]
            rest = [Expr("star", (name("others"),))] if others else []
            forward = Function("forward", (("ctx", "Any", None), *((text, "Tensor", None) for text in tensors),
                                           ("others", "tuple[Any, ...]", None)), "Any",
                               (*saved, Return((Expr("function", (*map(name, tensors), *rest), (kernel.name,)),))),
                               decorators=("@staticmethod",))
            restore: list[Statement] = [Assign(_targets(tensors), name("ctx.saved_tensors")),
                                        *([Assign(_targets(others), name("ctx.others"))] if others else [])]
            cotangents = tuple((text, "Tensor", None) for text in self.cotangents.values())
            back = Function("backward", (("ctx", "Any", None), *cotangents), "Any", (*restore, *derivative),
                            decorators=("@staticmethod",))
            written.append([f"class {self.class_name}(Fused):", forward, back])
        written += self.definition([*tensors, *others])
        return Custom(self.title, (), tuple(self.symbols)), written

    @abstractmethod
    def seen(self, others: list[str]) -> tuple[Statement, ...]:
        """What happens where torch looks at the operations."""

    @abstractmethod
    def definition(self, arguments: list[str]) -> list[Written]:
        """What stands below the functions."""

    @abstractmethod
    def kernel_function(self) -> Function:
        """Makes room for the results, and calls the kernel."""

    @abstractmethod
    def made_kernel(self, title: str) -> K: ...

    @property
    def decorators(self) -> tuple[str, ...]:
        """Of the function that chooses."""
        return ()

    def arguments(self) -> tuple[tuple[str, str, str | None], ...]:
        """Tensors, then numbers, then sizes."""
        numbers = [port for port in self.call.body.inputs if port.role == "number"]
        return (*((self.taken[port.name], "Tensor", None) for port in self.inputs),
                *((self.taken[port.name], "float", None) for port in numbers),
                *((text, "int", None) for text in self.symbols.values()))

    @property
    def class_name(self) -> str:
        return class_name(self.title)

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

    @cached_property
    def kernel(self) -> K:
        return self.made_kernel(f"{self.title.strip('_')}_kernel")

    def backward(self) -> tuple[Statement, ...]:
        """Plain where it will be differentiated, else in kernels: of all that has a derivative, or of what is asked for."""
        vjp = self.call.vjp
        block: list[Statement] = [Branch(name("torch.is_grad_enabled()"), self.pulled(prepared(vjp), self.call.wrt))]
        for wanted in self.parts():
            outputs = tuple(o for o, text in zip(vjp.outputs, self.call.wrt, strict=True) if text in wanted)
            part = replace(vjp, name=f"{vjp.name}_by_{'_'.join(wanted)}", outputs=outputs)
            places = [at for at, port in enumerate(self.inputs) if port.name in self.call.wrt and port.name not in wanted]
            others = _any([name(f"ctx.needs_input_grad[{at}]") for at in places])
            with self.functions.rarely():
                block.append(Branch(Expr("not", (others,)), self.pulled(prepared(group_value(part)), wanted)))
        return (*block, *self.pulled(prepared(group_value(vjp)), self.call.wrt))

    def parts(self) -> list[tuple[str, ...]]:
        """Inputs whose gradients are often asked for without the others': those with the most axes (params are frozen), and those
        with fewer (nothing before has a gradient)."""
        axes = {port.name: len(port.type.axes) for port in self.inputs if port.name in self.call.wrt}
        wide = tuple(text for text in self.call.wrt if axes[text] == max(axes.values()))
        narrow = tuple(text for text in self.call.wrt if text not in wide)
        return [wide, narrow] if narrow else []

    def pulled(self, graph: Graph, wanted: Sequence[str]) -> tuple[Statement, ...]:
        low = self.lowering(graph, self.cotangents)
        results = low.outputs()
        by_name = {text: low.bind(x, f"d_{text}") for text, x in zip(wanted, results, strict=True)}
        nothing = name("None")
        return (*low.block, Return((*(by_name.get(port.name, nothing) for port in self.inputs), nothing)))


def class_name(title: str) -> str:
    """The autograd.Function of a group's function."""
    return "_" + "".join(part[:1].upper() + part[1:] for part in title.strip("_").split("_"))


def _any(*every: Sequence[Expr]) -> Expr:
    """`(a or b) and (c or d)`."""
    def joined(op: str, parts: Sequence[Expr]) -> Expr:
        return reduce(lambda left, right: Expr(op, (left, right), (), None, "bool"), parts)

    return joined("and", [joined("or", parts) for parts in every])


def _layouts(*graphs: Graph) -> list[Layout]:
    return [layout for graph in graphs for layout in (*(p.layout for p in graph.inputs), *(o.layout for o in graph.outputs))]


def _targets(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(texts) if len(texts) > 1 else (f"({texts[0]},)",)


def sentence(body: Graph, how: str = "in one kernel") -> str:
    """Which lines of the source a group computes."""
    spans = [body.notes.spans[node] for node in topological(body.roots) if node in body.notes.spans]
    if not spans:
        return ""
    file = spans[0].file.replace("\\", "/").rsplit("/", 1)[-1]
    lines = sorted({span.line for span in spans if span.file == spans[0].file})
    listed = f"{lines[0]}" if len(lines) == 1 else f"{lines[0]}-{lines[-1]}"
    return f"{file}:{listed} {how}."

"""Groups for CPUs in an emitted file: how a kernel is called, and the operation of torch's that it is as well."""

from __future__ import annotations

from archc.checker.types import flat
from archc.codegen.cpp.form import Kernel
from archc.codegen.cpp.lower import lower
from archc.codegen.torch.form import Assign, Branch, Do, Expr, Function, Return, Statement
from archc.codegen.torch.fused import Group, Written, sentence
from archc.codegen.torch.layout import name
from archc.codegen.torch.print import WIDTH, expression


class CppGroup(Group[Kernel]):
    """In C++: a kernel is given addresses, and is an operation of torch's as well."""

    def made_kernel(self, title: str) -> Kernel:
        body = self.call.body
        orders = {port.name: flat(port.layout) for port in body.inputs} | {out.name: flat(out.layout) for out in body.outputs}
        return lower(body, title, orders, sentence(body))

    def seen(self, others: list[str]) -> tuple[Statement, ...]:
        tensors = [self.taken[port.name] for port in self.inputs]
        asked = Expr("function", tuple(map(name, tensors)), ("_kernels.traced",))
        operation = Expr("function", tuple(map(name, (*tensors, *others))), (f"_kernels.operations.{self.title.strip('_')}",))
        return (Branch(asked, (Return((operation,)),)),)

    def definition(self, arguments: list[str]) -> list[Written]:
        """The group as an operation of torch's."""
        made = [expression(x) for x in self.made]
        together = made[0] if len(made) == 1 else f"({', '.join(made)})"
        head = f"    lambda {', '.join(arguments)}: "
        line = f"{head}{together},"
        room = [line] if len(line) <= WIDTH else [f"{head}(", *(f"        {text}," for text in made), "    ),"]
        if len(line) > WIDTH and len(made) == 1:
            room = [f"{head}(", f"        {made[0]}", "    ),"]
        derivative = [f"    {self.class_name},"] if self.call.wrt else []
        return [["_kernels.define(", f"    {self.title},", *room, *derivative, ")"]]

    def kernel_function(self) -> Function:
        """Makes room for the results, and calls the kernel with the addresses of tensors."""
        body, kernel = self.call.body, self.kernel
        low = self.lowering(body, {})
        of = next(self.taken[port.name] for port in self.inputs if port.type.dtype == "float")
        made = [low.scope.names.fresh(output.name) for output in body.outputs]
        block: list[Statement] = [Assign((text,), Expr("method", (name(text),), ("contiguous",)))
                                  for port in self.inputs if port.layout for text in (self.taken[port.name],)]
        shapes = (tuple(low.size(axis.size) for axis in flat(output.layout)) or (Expr("tuple"),) for output in body.outputs)
        self.made = [Expr("method", (name(of), *shape), ("new_empty",)) for shape in shapes]
        block += [Assign((text,), x) for text, x in zip(made, self.made, strict=True)]
        sizes = tuple(Expr("name", (), (low.symbol(symbol),), None, "int") for symbol, _ in kernel.symbols)
        tensors = [*(self.taken[port.name] for port in self.inputs), *made]
        addresses = (Expr("method", (name(text),), ("data_ptr",)) for text in tensors)
        numbers = tuple(name(self.taken[port.name]) for port in body.inputs if port.role == "number")
        entry = f'_kernels.functions["{kernel.name}", {of}.dtype]'
        block.append(Do(Expr("function", (*addresses, *sizes, *numbers, name("torch.get_num_threads()")), (entry,))))
        block.append(Return(tuple(map(name, made))))
        return Function(f"_{kernel.name}", self.arguments(), "Any", tuple(block))

"""Groups for GPUs in an emitted file: as for C++ (`torch/fused.py`), but that a kernel is given tensors, and that what programs
have added up is added together in torch. A group that no Triton kernel can compute is a plain function of torch's operations."""

from __future__ import annotations

from archc.checker.types import flat
from archc.codegen.torch.form import Assign, Do, Expr, Function, Return, Statement, verify
from archc.codegen.torch.fused import Group, Written, sentence
from archc.codegen.torch.layout import name
from archc.codegen.torch.lower import Custom
from archc.codegen.torch.prepare import prepared
from archc.codegen.triton.form import Kernel
from archc.codegen.triton.lower import lower, takes


class TritonGroup(Group[Kernel]):
    def write(self) -> tuple[Custom, list[Written]]:
        body = self.call.body
        if takes(body):
            return super().write()
        for _ in range(2):
            plain = self.lowered(prepared(body), {})
        main = Function(self.title, self.arguments(), "Any", plain, doc=sentence(body, "in torch's operations"))
        verify(main)
        return Custom(self.title, (), tuple(self.symbols)), [[main]]

    def made_kernel(self, title: str) -> Kernel:
        body = self.call.body
        orders = {port.name: flat(port.layout) for port in body.inputs} | {out.name: flat(out.layout) for out in body.outputs}
        return lower(body, title, orders, sentence(body))

    def seen(self, others: list[str]) -> tuple[Statement, ...]:
        return ()  # torch.compile writes kernels for GPUs itself

    def definition(self, arguments: list[str]) -> list[Written]:
        return []

    @property
    def decorators(self) -> tuple[str, ...]:
        return ("@_kernels.tested",)

    def kernel_function(self) -> Function:
        """Makes room for the results, launches the kernel, and adds the parts of programs together."""
        body, kernel = self.call.body, self.kernel
        low = self.lowering(body, {})
        of = next(self.taken[port.name] for port in self.inputs if port.type.dtype == "float")
        finish = kernel.finish
        late = {output.name for output in finish.graph.outputs} if finish else set()
        pairs = list(zip(body.outputs, self.renamed(kernel), strict=True))
        made = {output.name: low.scope.names.fresh(output.name) for output in body.outputs}
        block: list[Statement] = [Assign((text,), Expr("method", (name(text),), ("contiguous",)))
                                  for port in self.inputs if port.layout for text in (self.taken[port.name],)]
        early = [output for output, renamed in pairs if renamed not in late]
        for output in early:
            shape = tuple(low.size(axis.size) for axis in flat(output.layout)) or (Expr("tuple"),)
            block.append(Assign((made[output.name],), Expr("method", (name(of), *shape), ("new_empty",))))
        sizes = tuple(Expr("name", (), (low.symbol(symbol),), None, "int") for symbol, _ in kernel.symbols)
        tensors = [name(self.taken[port.name]) for port in self.inputs] + [name(made[output.name]) for output in early]
        numbers = tuple(name(self.taken[port.name]) for port in body.inputs if port.role == "number")
        launch = Expr("function", (*tensors, *sizes, *numbers), (f'_kernels.functions["{kernel.name}"]',))
        if finish is None:
            block.append(Do(launch))
        else:
            parts = {text: low.scope.names.fresh(text) for text in finish.parts}
            targets = tuple(parts.values())
            block.append(Assign(targets if len(targets) > 1 else (f"({targets[0]},)",), launch))
            given = zip(body.inputs, finish.graph.inputs, strict=False)
            after = self.lowering(finish.graph, {new.name: self.taken[old.name] for old, new in given} | parts)
            for text in (*made.values(), *parts.values()):
                after.scope.names.fresh(text)
            results = after.outputs()
            block += after.block
            lasting = [output for output, renamed in pairs if renamed in late]
            block += [Assign((made[output.name],), Expr("method", (x, name(f"{of}.dtype")), ("to",)))
                      for output, x in zip(lasting, results, strict=True)]
        block.append(Return(tuple(name(made[output.name]) for output in body.outputs)))
        return Function(f"_{kernel.name}", self.arguments(), "Any", tuple(block))

    def renamed(self, kernel: Kernel) -> list[str]:
        """How the kernel calls the results, in order."""
        return list(kernel.results)

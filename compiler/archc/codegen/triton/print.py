"""Kernels as Triton text, and the functions that launch them. Nothing is decided here."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from archc.checker.sizes import Size
from archc.codegen.triton.form import Add, Barrier, Body, Expr, Index, Kernel, Let, Loop, Reduce, Start, Statement, Store
from archc.codegen.triton.prelude import PRELUDE
from archc.codegen.triton.spelling import COMBINE, MASKED, NEUTRAL, REDUCTIONS, SPELLING, TIGHT, TYPES

OPERANDS = ("x", "y", "z")
WIDTH = 120
STEP = "    "
HEAD = '''"""{head}

Each kernel has two forms: `resident`, where the inner axes of a place fit into a tile, and `looped`, which walks them. `UNIT`
divides the innermost size, `REAL` is the type of the arithmetic, `INDEX` that of places in memory.
"""

import triton
import triton.language as tl

from .gpu import Plan
'''


def text(kernels: Sequence[Kernel], head: str) -> str:
    """One file with all kernels."""
    lines = [HEAD.format(head=head), PRELUDE]
    for kernel in kernels:
        lines += ["", *_Printer(kernel).lines()]
    return "\n".join(lines).rstrip() + "\n"


class _Printer:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.symbols = dict(kernel.symbols)
        self.rank = 1 + len(kernel.inner)

    def lines(self) -> list[str]:
        lines: list[str] = []
        for form, body in self.kernel.bodies:
            lines += [*self.function(form, body), "", ""]
        return [*lines, *self.launch(), ""]

    # -- functions -----------------------------------------------------------------------------------------------
    @property
    def tensors(self) -> list[str]:
        return [array.name for array in (*self.kernel.inputs, *self.kernel.outputs)]

    @property
    def written(self) -> list[str]:
        """The sizes that come as arguments."""
        return [written for _, written in self.kernel.symbols]

    @property
    def kept(self) -> list[str]:
        return [*(partial.name for partial in self.kernel.partials), *(memory.name for memory in self.kernel.scratch)]

    @property
    def split(self) -> list[str]:
        """How the places are cut into chunks, where parts are added up."""
        return ["chunks", "length"] if self.kernel.partials else []

    def function(self, form: str, body: Body) -> list[str]:
        kernel = self.kernel
        numbers = [text for number in kernel.numbers for text in (number, f"{number}_rest")]
        tiles = [f"{inner.tile}: tl.constexpr" for inner in kernel.inner]
        arguments = [*self.tensors, *self.kept, *self.written, *self.split, *numbers, "PLACES: tl.constexpr", *tiles,
                     "UNIT: tl.constexpr", "REAL: tl.constexpr", "INDEX: tl.constexpr"]
        fixed = ", ".join(f'"{written}"' for written in (*self.written, *self.split))
        read, written = (", ".join(f"{a.name}[{', '.join(a.axes)}]" for a in side) for side in (kernel.inputs, kernel.outputs))
        doc = " ".join([*kernel.doc.splitlines(), f"{read} -> {written or 'parts'}"]).strip()
        lines = [f"@triton.jit(do_not_specialize=[{fixed}])", *_call(f"def {kernel.name}_{form}", arguments, ":"),
                 *textwrap.wrap(f'"""{doc}"""', WIDTH, initial_indent=STEP, subsequent_indent=STEP)]
        lines += [f"{STEP}{number} = tl.full([], {number}, REAL) + tl.full([], {number}_rest, REAL)" for number in kernel.numbers]
        for name, size, unit in kernel.sizes:
            spelled = self.size(size)
            lines.append(f"{STEP}{name} = {spelled if not unit else f'{self.bracket(spelled)} // UNIT * UNIT'}")
        lines += self.places(form, body)
        return lines

    def places(self, form: str, body: Body) -> list[str]:
        kernel = self.kernel
        count = " * ".join(extent for _, extent in kernel.along) or "1"
        lines = ["program = tl.program_id(0).to(INDEX)", f"places = {count}"]
        if kernel.partials:
            lines += [f"here = program + tl.zeros([{', '.join(['1'] * self.rank)}], INDEX)", "chunk = program % chunks",
                      *self.unravel("here // chunks", kernel.across)]
        if form == "resident":
            for at, inner in enumerate(kernel.inner):
                lines += [f"{inner.variable} = tl.arange(0, {inner.tile}){self.beside(at + 1)}",
                          f"{inner.mask} = {inner.variable} < {inner.extent}"]
        lines += self.block(body.head)
        start = "program * PLACES"
        indent = ""
        if kernel.partials:
            lines.append("for first in range(chunk * length, tl.minimum((chunk + 1) * length, places), PLACES):")
            start, indent = "first", STEP
        inside = [f"place = ({start} + tl.arange(0, PLACES)){self.beside(0)}", "in_places = place < places",
                  *self.unravel("place", kernel.along), *self.block(body.body)]
        if kernel.partials and form == "looped":  # a program has one tile of places
            lines.pop()
            inside[0] = f"place = (chunk * PLACES + tl.arange(0, PLACES)){self.beside(0)}"
            indent = ""
        lines += [f"{indent}{line}" for line in inside]
        lines += self.block(body.tail)
        return [f"{STEP}{line}" for line in lines]

    def beside(self, dim: int) -> str:
        """A row of numbers as a block that varies along one dimension."""
        if self.rank == 1:
            return ""
        return f"[{', '.join(':' if at == dim else 'None' for at in range(self.rank))}]"

    def unravel(self, whole: str, axes: Sequence[tuple[str, str]]) -> list[str]:
        """The variables of axes at a place."""
        lines: list[str] = []
        for at in range(len(axes) - 1, -1, -1):
            variable, extent = axes[at]
            if at == 0:
                lines.append(f"{variable} = {whole}")
                continue
            lines.append(f"{variable} = {self.bracket(whole)} % {extent}")
            rest = f"place_{at}" if at > 1 else ""
            if rest:
                lines.append(f"{rest} = {self.bracket(whole)} // {extent}")
                whole = rest
            else:
                whole = f"{self.bracket(whole)} // {extent}"
        return lines

    # -- launches ------------------------------------------------------------------------------------------------
    def launch(self) -> list[str]:
        kernel = self.kernel
        along, across, inner = kernel.extents
        tensors = [*self.tensors]
        lines = _call(f"def {kernel.name}", [*tensors, *self.written, *kernel.numbers], ":")
        given = [f"({', '.join(tensors)}{',' * (len(tensors) == 1)})", f"places={self.product(along)}",
                 f"inner=({''.join(f'{self.size(size)}, ' for size in inner).rstrip()})"]
        given += [f"row={self.size(size)}" for _, size, unit in kernel.sizes if unit]
        given += [f"across={self.product(across)}"] if across else []
        given += [f"least={kernel.least}"] if kernel.least > 1 else []
        given += [f"held={kernel.held}"]
        given += ["parts=True"] if kernel.partials else []
        body = _call("plan = Plan", given, "")
        for partial in kernel.partials:
            shape = [*map(self.size, partial.before), "plan.chunks", *map(self.size, partial.after)]
            body += _call(f"{partial.name} = plan.empty", [f'"{partial.dtype}"', *shape], "")
        for memory in kernel.scratch:
            body += _call(f"{memory.name} = plan.empty", [f'"{memory.dtype}"', *map(self.size, memory.shape)], "")
        kinds = [form for form, _ in kernel.bodies]
        which = f"{kernel.name}_resident"
        if "looped" in kinds:
            body.append(f"kernel = {kernel.name}_resident if plan.resident else {kernel.name}_looped")
            which = "kernel"
        split = ["plan.chunks", "plan.length"] if kernel.partials else []
        numbers = [f"*plan.number({number})" for number in kernel.numbers]
        body += _call(f"{which}[plan.grid]", [*tensors, *self.kept, *self.written, *split, *numbers, "*plan.tiles",
                                              "num_warps=plan.warps"], "")
        body += [f"return {', '.join(partial.name for partial in kernel.partials)}" + "," * (len(kernel.partials) == 1)
                 ] if kernel.partials else []
        return [*lines, *(f"{STEP}{line}" for line in body)]

    def product(self, sizes: Sequence[Size]) -> str:
        return " * ".join(self.bracket(self.size(size)) if len(sizes) > 1 else self.size(size) for size in sizes) or "1"

    # -- statements ----------------------------------------------------------------------------------------------
    def block(self, body: Sequence[Statement]) -> list[str]:
        lines: list[str] = []
        for statement in body:
            if isinstance(statement, Let):
                lines.append(f"{statement.name} = {self.expr(statement.value)}")
            elif isinstance(statement, Start):
                shape = f"[{', '.join(statement.tiles)}]"
                neutral = NEUTRAL[statement.dtype][statement.op]
                lines.append(f"{statement.name} = tl.full({shape}, {neutral}, {TYPES[statement.dtype]})")
            elif isinstance(statement, Add):
                value = self.masked(statement.op, statement.value, statement.mask)
                lines.append(f"{statement.name} = {COMBINE[statement.op].format(x=statement.name, y=value)}")
            elif isinstance(statement, Reduce):
                value = self.masked(statement.op, statement.value, statement.mask)
                for dim in reversed(statement.over):
                    value = REDUCTIONS[statement.op].format(x=value, dim=dim)
                lines.append(f"{statement.name} = {value}")
            elif isinstance(statement, Store):
                mask = f", mask={' & '.join(statement.mask)}" if statement.mask else ""
                at = self.index(statement.at)
                value = self.expr(statement.value)
                lines.append(f"tl.store({statement.array}{at and f' + {self.bracket(at)}'}, {value}{mask})")
            elif isinstance(statement, Barrier):
                lines.append("tl.debug_barrier()")
            else:
                lines += self.loop(statement)
        return lines

    def loop(self, loop: Loop) -> list[str]:
        at, inner = next((at, inner) for at, inner in enumerate(self.kernel.inner) if inner.variable == loop.variable)
        lines = [f"{inner.variable} = {inner.variable}_first + tl.arange(0, {inner.tile}){self.beside(at + 1)}",
                 f"{inner.mask} = {inner.variable} < {inner.extent}", *self.block(loop.body)]
        return [f"for {inner.variable}_first in range(0, {inner.extent}, {inner.tile}):", *(f"{STEP}{line}" for line in lines)]

    def masked(self, op: str, value: Expr, mask: Sequence[str]) -> str:
        text = self.expr(value)
        if not mask:
            return text
        whole = " & ".join(mask)
        if op in MASKED:
            return "(" + MASKED[op].format(x=self.bracket(text), mask=whole) + ")"
        return f"tl.where({whole}, {text}, {NEUTRAL[value.dtype][op]})"

    # -- expressions ---------------------------------------------------------------------------------------------
    def expr(self, expr: Expr) -> str:
        if expr.op == "name":
            return str(expr.value)
        if expr.op == "load":
            at = self.index(expr.at)
            mask = f", mask={' & '.join(expr.mask)}, other=0" if expr.mask else ""
            return f"tl.load({expr.value}{at and f' + {self.bracket(at)}'}{mask}).to({TYPES[expr.dtype]})"
        if expr.op == "place":
            return f"({self.index(expr.at)}).to(tl.int64)"
        if expr.op == "size":
            assert isinstance(expr.value, Size)
            return self.bracket(self.size(expr.value))
        if expr.op == "const":
            return _constant(expr.value)
        if expr.op == "full":
            return f"tl.full([], {_constant(expr.value)}, {TYPES[expr.dtype]})"
        return SPELLING[expr.op].format(**dict(zip(OPERANDS, map(self.operand, expr.args), strict=False)))

    def operand(self, expr: Expr) -> str:
        """An expression inside another: in brackets, unless it is one word or one call."""
        text = self.expr(expr)
        spelled = SPELLING.get(expr.op, "")
        call = spelled.endswith(")") and spelled[0].isalpha() and spelled.count("{x}.") == 0
        return text if expr.op in TIGHT or call or text.isidentifier() or text.isdigit() else f"({text})"

    def index(self, at: Index) -> str:
        return " + ".join(" * ".join((variable, *stride)) for variable, stride in at if variable != "0")

    def size(self, size: Size) -> str:
        return size.spell(self.symbols.__getitem__, floor_div="({a} // {b})").replace("*", " * ")

    def bracket(self, text: str) -> str:
        return text if text.isidentifier() or text.isdigit() else f"({text})"


def _constant(value: object) -> str:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f'float("{value}")'
    return repr(value)


def _call(head: str, arguments: Sequence[str], tail: str) -> list[str]:
    """`head(arguments)tail`, on several lines where one is too long."""
    line = f"{head}({', '.join(arguments)}){tail}"
    if len(line) <= WIDTH:
        return [line]
    inside = textwrap.wrap(", ".join(argument.replace(" ", "\0") for argument in arguments), WIDTH - 8 - len(tail) - 1)
    inside = [STEP * 2 + part.replace("\0", " ") for part in inside]
    return [f"{head}(", *inside[:-1], f"{inside[-1]}){tail}"]

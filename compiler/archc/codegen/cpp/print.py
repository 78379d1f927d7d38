"""Kernels as C++ text. Nothing is decided here."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from archc.checker.sizes import Size
from archc.codegen.cpp.form import (
    JOINED,
    LANE,
    Array,
    Blocks,
    Expr,
    Extent,
    Fill,
    For,
    Index,
    Kernel,
    Lanes,
    Let,
    Local,
    Product,
    Start,
    Statement,
    Store,
    Sums,
    Window,
    parts,
)
from archc.codegen.cpp.multiply import MULTIPLY, VECTORS
from archc.codegen.cpp.prelude import PRELUDE
from archc.codegen.cpp.spelling import NEUTRAL, PRAGMAS, REDUCTIONS, SPELLING, TIGHT
from archc.codegen.cpp.vectors import vectors
from archc.codegen.cpp.windows_prelude import WINDOWS
from archc.ops.table import DType

TYPES: dict[DType, str] = {"float": "T", "int": "int64_t", "bool": "bool"}
STORED: dict[DType, str] = TYPES | {"float": "Stored"}
OPERANDS = ("x", "y", "z")
WIDTH = 120
STEP = "    "
RULE = f"// {'-' * 80}"
SELDOM = ", built when it is first called"


def text(kernels: Sequence[Kernel], head: str, rare: Sequence[Kernel] = ()) -> str:
    """One file with all kernels, each below a line of its own. Those that are `rare` are built when they are first called."""
    lines: list[str] = []
    for kernel in (*kernels, *rare):
        lines += [f"{RULE} {kernel.name}{SELDOM * (kernel in rare)}", *_Printer(kernel).lines(), ""]
    body = "\n".join(lines)
    every = [part for kernel in (*kernels, *rare) for part in (*kernel.before, *parts(kernel.body))]
    multiplies, windows = (any(isinstance(part, kind) for part in every) for kind in (Product, Sums))
    more = [*[VECTORS] * (multiplies or windows), *[MULTIPLY] * multiplies, *[WINDOWS] * windows]
    return "\n".join([f"// {head}", vectors(body), PRELUDE, *more, body])


class _Printer:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.symbols = dict(kernel.symbols)
        self.stored = {a.name for a in (*kernel.inputs, *kernel.outputs) if a.dtype == "float"} - kernel.wide

    # -- functions -----------------------------------------------------------------------------------------------
    def lines(self) -> list[str]:
        kernel = self.kernel
        read, written = (", ".join(f"{a.name}[{', '.join(a.axes)}]" for a in side) for side in (kernel.inputs, kernel.outputs))
        doc = [*kernel.doc.splitlines(), *textwrap.wrap(f"{read} -> {written}", WIDTH - 3)]
        head = _call(f"static void {kernel.name}", self.arguments("__restrict ", "_stored", "_given"), " {")
        body = [f"{STEP}const T {number} = T({number}_given);" for number in kernel.numbers]
        body += [f"{STEP}{line}" for line in self.widened()]
        lines = [*(f"// {line}" for line in doc), "template <typename T, typename Stored>", *head, *body]
        lines += self.block(kernel.before, STEP)
        lines += [*self.parallel(), *self.combined()] if kernel.body else []
        return [*lines, *self.memory(kernel.after_scratch, STEP), *self.block(kernel.after, STEP), "}", "", *self.entry()]

    def arguments(self, restrict: str = "", wide: str = "", number: str = "") -> list[str]:
        """`wide` and `number` end the names of what the function gives the plain name to."""
        kernel = self.kernel
        return [*(f"const {STORED[a.dtype]}* {restrict}{a.name}{wide * (a.name in kernel.wide)}" for a in kernel.inputs),
                *(f"{STORED[a.dtype]}* {restrict}{a.name}{wide * (a.name in kernel.wide)}" for a in kernel.outputs),
                *(f"int64_t {written}" for _, written in kernel.symbols),
                *(f"double {name}{number}" for name in kernel.numbers), "int threads"]

    def widened(self) -> Iterator[str]:
        """The tensors that are needed as T."""
        for kind, const, arrays in (("Widened", "const ", self.kernel.inputs), ("Rounded", "", self.kernel.outputs)):
            for array in arrays:
                if array.name in self.kernel.wide:
                    made = f"{array.name}_stored, {self.size(array.count)}, threads"
                    yield f"const {kind}<T, Stored> {array.name}_wide({made});"
                    yield f"{const}T* __restrict {array.name} = {array.name}_wide.data();"

    def entry(self) -> list[str]:
        """Plain C functions, one for each type."""
        arguments = self.arguments()
        lines = ["#define ENTRY(T, Stored)", *_call(f'{STEP}extern "C" void {self.kernel.name}_##Stored', arguments, " {"),
                 *_call(f"{STEP * 2}{self.kernel.name}<T, Stored>", [argument.split()[-1] for argument in arguments], ";")]
        return [*(f"{line} \\" for line in lines), f"{STEP}}}", "EACH_TYPE(ENTRY)", "#undef ENTRY"]

    def parallel(self) -> list[str]:
        """The places of the parallel axes, cut into chunks that threads take."""
        kernel = self.kernel
        count = " * ".join(self.tight(size) for _, size in kernel.parallel) or "1"
        chunks = "threads" if kernel.chunks is None else str(kernel.chunks)
        lines = [f"const int64_t places = {count};",
                 f"const int64_t chunks = std::max<int64_t>(1, std::min<int64_t>(places, {chunks}));"]
        for op, array in kernel.partial:
            kind = TYPES[array.dtype]
            lines.append(f"Memory<{kind}> {array.name}_parts(chunks * {self.tight(array.count)}, {_neutral(op, array.dtype)});")
        lines += [f"const int team = {self.size(kernel.work)} < {kernel.alone} ? 1 : threads;",
                  "#pragma omp parallel num_threads(team) if (team > 1)", "{", *self.memory(kernel.scratch, STEP),
                  f"{STEP}#pragma omp for schedule(static{', 1' * kernel.uneven})",
                  f"{STEP}for (int64_t chunk = 0; chunk < chunks; ++chunk) {{"]
        for _, array in kernel.partial:
            start = f"{array.name}_parts.data() + chunk * {self.tight(array.count)}"
            lines.append(f"{STEP * 2}{TYPES[array.dtype]}* __restrict {array.name} = {start};")
        lines += [f"{STEP * 2}for (int64_t place = chunk * places / chunks; place < (chunk + 1) * places / chunks; ++place) {{",
                  *self.places(STEP * 3), *self.block(kernel.body, STEP * 3), f"{STEP * 2}}}", f"{STEP}}}", "}"]
        return [f"{STEP}{line}" for line in lines]

    def places(self, indent: str) -> list[str]:
        """The loop variables of the parallel axes at one place."""
        kernel = self.kernel
        lines: list[str] = []
        rest = "place"
        for at, (variable, size) in enumerate(reversed(kernel.parallel)):
            if at == len(kernel.parallel) - 1:
                lines.append(f"const int64_t {variable} = {rest};")
            else:
                lines += [f"const int64_t {variable} = {rest} % {self.tight(size)};",
                          f"const int64_t place_{at + 1} = {rest} / {self.tight(size)};"]
                rest = f"place_{at + 1}"
        if kernel.block:
            v, width = kernel.block.variable, kernel.block.width
            lines += [f"const int64_t {v}_first = {v}_block * {width};",
                      f"const int64_t {v}_count = std::min<int64_t>({width}, {self.size(kernel.block.size)} - {v}_first);"]
        return [f"{indent}{line}" for line in lines]

    def combined(self) -> list[str]:
        """What the chunks have added up, together."""
        lines: list[str] = []
        for op, array in self.kernel.partial:
            name, count = array.name, self.tight(array.count)
            step = REDUCTIONS[op].format(x=f"{name}[at]", y=f"{name}[chunk * {count} + at]")
            lines += [f"{TYPES[array.dtype]}* __restrict {name} = {name}_parts.data();",
                      "for (int64_t chunk = 1; chunk < chunks; ++chunk)",
                      f"{STEP}for (int64_t at = 0; at < {self.size(array.count)}; ++at) {name}[at] = {step};"]
        return [f"{STEP}{line}" for line in lines]

    def memory(self, arrays: Iterable[Array], indent: str) -> list[str]:
        lines: list[str] = []
        for array in arrays:
            kind = TYPES[array.dtype]
            lines += [f"Memory<{kind}> {array.name}_memory({self.size(array.count)});",
                      f"{kind}* __restrict {array.name} = {array.name}_memory.data();"]
        return [f"{indent}{line}" for line in lines]

    # -- statements ----------------------------------------------------------------------------------------------
    def block(self, body: Sequence[Statement], indent: str) -> list[str]:
        lines: list[str] = []
        for statement in body:
            if isinstance(statement, Let):
                lines.append(f"{indent}const {TYPES[statement.value.dtype]} {statement.name} = {self.expr(statement.value)};")
            elif isinstance(statement, Start):
                kind, neutral = TYPES[statement.dtype], _neutral(statement.op, statement.dtype)
                if statement.lanes:
                    lines += [f"{indent}{kind} {statement.name}[{statement.lanes}];",
                              f"{indent}std::fill_n({statement.name}, {statement.lanes}, {neutral});"]
                else:
                    lines.append(f"{indent}{kind} {statement.name} = {neutral};")
            elif isinstance(statement, Fill):
                neutral = _neutral(statement.op, statement.dtype)
                count = self.size(statement.count) if isinstance(statement.count, Size) else self.extent(statement.count)
                where = f"{statement.array} + {self.index(statement.at)}" if statement.at else statement.array
                lines.append(f"{indent}std::fill_n({where}, {count}, {neutral});")
            elif isinstance(statement, Store):
                lines.append(f"{indent}{self.store(statement)}")
            elif isinstance(statement, Local):
                array = statement.array
                lines.append(f"{indent}{TYPES[array.dtype]} {array.name}[{self.size(array.count)}];")
            elif isinstance(statement, Lanes):
                lines += self.lanes(statement, indent)
            elif isinstance(statement, Product):
                lines += self.product(statement, indent)
            elif isinstance(statement, Blocks):
                lines += self.blocks(statement, indent)
            elif isinstance(statement, Sums):
                lines += self.sums(statement, indent)
            else:
                lines += self.loop(statement, indent)
        return lines

    def store(self, statement: Store) -> str:
        target = statement.array if statement.at is None else f"{statement.array}[{self.index(statement.at)}]"
        if statement.op is None:
            return f"{target} = {self.expr(statement.value)};"
        if statement.op == "sum":
            return f"{target} += {self.expr(statement.value)};"
        return f"{target} = {REDUCTIONS[statement.op].format(x=target, y=self.operand(statement.value))};"

    def loop(self, loop: For, indent: str) -> list[str]:
        lines: list[str] = []
        v = loop.variable
        extent = loop.extent if isinstance(loop.extent, str) else self.size(loop.extent)
        if loop.lanes:
            head = f"{indent}in_lanes<{loop.lanes}>({extent}, [&](int64_t {v}, int64_t {LANE}) INLINED {{"
            return [head, *self.block(loop.body, indent + STEP), f"{indent}}});"]
        if loop.simd:
            sums = "".join(f" reduction({PRAGMAS.get(op, f'{op}_of')}:{name})" for op, name in loop.sums)
            lines.append(f"{indent}#pragma omp simd{sums}")
        head = f"{indent}for (int64_t {v} = {loop.start}; {v} < {extent}; ++{v}) {{"
        if loop.reverse:
            head = f"{indent}for (int64_t {v} = {extent} - 1; {v} >= 0; --{v}) {{"
        return [*lines, head, *self.block(loop.body, indent + STEP), f"{indent}}}"]

    def sums(self, sums: Sums, indent: str) -> list[str]:
        lines = [f"const Along along[] = {{  // {', '.join(name.replace('_', ' ') for name in Window.__dataclass_fields__)}"]
        for window in sums.along:
            values = (getattr(window, name) for name in Window.__dataclass_fields__)
            lines.append(f"{STEP}{{{', '.join(self.size(v) if isinstance(v, Size) else str(v) for v in values)}}},")
        lines.append("};")
        tables = {f"{what}_{where}": strided for what, wheres, pair in (
            ("batch", "xy", sums.batch), ("channel", "xw", sums.channels), ("filter", "wy", sums.filters))
            for where, strided in zip(wheres, pair, strict=True)}
        for table, strided in tables.items():
            pairs = ", ".join(f"{{{self.size(size)}, {self.size(stride)}}}" for size, stride in strided) or "{1, 0}"
            lines.append(f"const Places {table}({{{pairs}}});")
        lines.append(f"const int team = {self.size(self.kernel.work)} < {self.kernel.alone} ? 1 : threads;")
        arguments = [sums.x, sums.other, sums.into, *tables, "along", str(len(sums.along)), "team"]
        lines += _call(f"window_{'weights' if sums.weights else 'sums'}<T>", arguments, ";")
        return [f"{indent}{line}" for line in lines]

    def lanes(self, block: Lanes, indent: str) -> list[str]:
        """The body twice: compilers unroll the one with a constant number of lanes, and keep sums in registers. It has copies of
        the addresses: where it knew places of theirs, it would look them up again after each store."""
        if block.narrow:
            return self.constant_lanes(block, indent)
        v, width, size = block.variable, block.width, self.size(block.size)
        inner = indent + STEP * block.loop
        blocks = f"({size} + {width - 1}) / {width}"
        head = [f"{indent}for (int64_t {v}_block = 0; {v}_block < {blocks}; ++{v}_block) {{"] * block.loop
        lines = [f"const int64_t {v}_first = {v}_block * {width};",
                 f"const int64_t {v}_left = {size} - {v}_first;",
                 f"const auto lanes = [=](const auto {v}_count) {{", *self.block(block.body, STEP), "};",
                 f"if ({v}_left >= {width}) lanes(std::integral_constant<int64_t, {width}>());",
                 f"else lanes({v}_left);"]
        return [*head, *(f"{inner}{line}" for line in lines), *[f"{indent}}}"] * block.loop]

    def constant_lanes(self, block: Lanes, indent: str) -> list[str]:
        """The body for blocks that are full, and for narrower ones, of whose lanes some may be left over. It is inlined: what it
        captures would be read again after each store."""
        v, size, width = block.variable, self.size(block.size), block.width
        first, lanes, count = (f"{v}_{end}" for end in ("first", "lanes", "count"))
        self.symbols[lanes] = lanes
        wide, narrow = (f"std::integral_constant<int64_t, {count}>()" for count in (width, block.narrow))
        begin, end = "0", size
        if not block.loop:
            begin, end = f"{v}_block * {width}", f"std::min<int64_t>({size}, ({v}_block + 1) * {width})"
        lines = [f"const auto lanes = [=](const int64_t {first}, const auto {lanes}, const auto {count}) INLINED {{",
                 *self.block(block.body, STEP), "};",
                 f"int64_t {v}_done = {begin};",
                 f"const int64_t {v}_end = {end};",
                 f"for (; {v}_done + {width} <= {v}_end; {v}_done += {width}) lanes({v}_done, {wide}, {wide});",
                 f"for (; {v}_done < {v}_end; {v}_done += {block.narrow})",
                 f"{STEP}lanes({v}_done, {narrow}, std::min<int64_t>({block.narrow}, {v}_end - {v}_done));"]
        return [f"{indent}{line}" for line in lines]

    def blocks(self, loop: Blocks, indent: str) -> list[str]:
        v, width = loop.variable, loop.width
        start, end = (self.size(end) if isinstance(end, Size) else self.expr(end) for end in (loop.start, loop.end))
        first = f"{v}_first = {start}"
        if isinstance(loop.end, Expr):
            first, end = f"{first}, {v}_end = {end}", f"{v}_end"
        return [f"{indent}for (int64_t {first}; {v}_first < {end}; {v}_first += {width}) {{",
                f"{indent}{STEP}const int64_t {v}_count = std::min<int64_t>({width}, {end} - {v}_first);",
                *self.block(loop.body, indent + STEP), f"{indent}}}"]

    def product(self, made: Product, indent: str) -> list[str]:
        target, left, right = (f"{array} + {self.index(at)}" if at else array for array, at in (
            (made.target, made.target_at), (made.left, made.left_at), (made.right, made.right_at)))
        c_row, a_row, a_k, b_k = map(self.size, made.strides)
        return _call(f"{indent}multiply_add<T>",
                     [target, c_row, left, a_row, a_k, right, b_k, *map(self.extent, made.extents)], ";")

    def extent(self, extent: Extent) -> str:
        return " * ".join(factor if isinstance(factor, str) else self.tight(factor) for factor in extent) or "1"

    # -- expressions ---------------------------------------------------------------------------------------------
    def expr(self, expr: Expr) -> str:
        if expr.op == "name":
            return str(expr.value)
        if expr.op == "load":
            return f"{expr.value}[{self.index(expr.at)}]"
        if expr.op in JOINED:
            return f"{expr.op}({', '.join((str(expr.value), *map(self.expr, expr.args)))})"
        if expr.op == "place":
            return f"({self.index(expr.at)})"
        if expr.op == "size":
            assert isinstance(expr.value, Size)
            return self.tight(expr.value)
        if expr.op == "const":
            return _constant(expr.value)
        return SPELLING[expr.op].format(**dict(zip(OPERANDS, map(self.operand, expr.args), strict=False)))

    def operand(self, expr: Expr) -> str:
        """An expression inside another: in brackets, unless it is one word or one call."""
        text = self.expr(expr)
        if expr.op == "load" and expr.value in self.stored:
            return f"T({text})"
        spelled = SPELLING.get(expr.op, "")
        return text if expr.op in TIGHT or (spelled.endswith(")") and spelled[0].isalpha()) else f"({text})"

    def index(self, at: Index) -> str:
        """Places in memory, the outermost factor of all strides first: ((n * c + k) * h_w) reads worse than a sum."""
        parts = [variable if stride.constant == 1 else f"{variable} * {self.tight(stride)}".removeprefix("1 * ")
                 for variable, stride in at]
        return " + ".join(parts) or "0"

    def size(self, size: Size) -> str:
        text = size.spell(self.symbols.__getitem__, floor_div="floor_divide({a}, {b})", largest="std::max<int64_t>({a}, {b})")
        return text.replace("*", " * ")

    def tight(self, size: Size) -> str:
        text = self.size(size)
        return text if text.isidentifier() or text.isdigit() else f"({text})"


def _neutral(op: str, dtype: DType) -> str:
    return NEUTRAL[op].format(T=TYPES[dtype])


def _constant(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"int64_t({value})"
    assert isinstance(value, float)
    if value != value:
        return "not_a_number<T>()"
    if value in (float("inf"), float("-inf")):
        return "infinity<T>()" if value > 0 else "(-infinity<T>())"
    return f"T({value!r})"


def _call(head: str, arguments: Sequence[str], tail: str) -> list[str]:
    """`head(arguments)tail`, on several lines where one is too long."""
    line = f"{head}({', '.join(arguments)}){tail}"
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(head) - len(head.lstrip())) + STEP * 2
    inside = textwrap.wrap(", ".join(argument.replace(" ", "\0") for argument in arguments), WIDTH - len(indent) - len(tail) - 1,
                           break_long_words=False, break_on_hyphens=False)
    inside = [indent + part.replace("\0", " ") for part in inside]
    return [f"{head}(", *inside[:-1], f"{inside[-1]}){tail}"]

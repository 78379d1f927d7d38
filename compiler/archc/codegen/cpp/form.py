"""What a C++ kernel does, as loops: the small form between lowering and printing.

A kernel is one function of tensors, sizes and numbers. Its work along the parallel axes is cut into chunks; what happens at one
place of them is a list of statements. `T` is the type that floats are computed in, `Stored` the one that tensors hold: another
where that is a half type.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Union

from archc.checker.sizes import Size
from archc.diagnostics.model import CompilerBug
from archc.ops.table import DType

Index = tuple[tuple[str, Size], ...]
"""Loop variables, or 1, times strides, added up."""

Extent = tuple["Size | str", ...]
"""Numbers of elements, multiplied."""


@dataclass(frozen=True)
class Expr:
    """An operation of the table on other expressions; or `const` (value: the number), `size` (a Size), `name` (a variable),
    `load` (value: the array; at: where), `place` (at: an index as a number); or `sum_of`, ... (value: the variable whose lanes
    become one; the argument: how many of them count)."""

    op: str
    args: tuple[Expr, ...] = ()
    value: bool | int | float | str | Size | None = None
    at: Index = ()
    dtype: DType = "float"


@dataclass(frozen=True)
class Let:
    name: str
    value: Expr


@dataclass(frozen=True)
class Start:
    """A variable that a reduction adds to, with its neutral value; `lanes`: one for each lane of a loop, or of a block's name."""

    name: str
    op: str
    dtype: DType
    lanes: int | str = 0


@dataclass(frozen=True)
class Fill:
    """`count` elements of an array with the neutral value of a reduction."""

    array: str
    op: str
    count: Size | Extent
    dtype: DType
    at: Index = ()


@dataclass(frozen=True)
class Store:
    """`array[at] = value`, or `op(array[at], value)`; the array may be a variable, without a place."""

    array: str
    at: Index | None
    value: Expr
    op: str | None = None


@dataclass(frozen=True)
class For:
    """A loop from 0, or `start`, up to a size, or to the elements that a block has left; `reverse`: from the last one down.
    `simd`: its steps are independent but for `sums`. `lanes`: so many steps at a time, and the number of each among them is the
    variable `lane`."""

    variable: str
    extent: Size | str
    body: tuple[Statement, ...]
    simd: bool = False
    sums: tuple[tuple[str, str], ...] = ()  # operation and variable
    reverse: bool = False
    lanes: int = 0
    start: str = "0"


@dataclass(frozen=True)
class Lanes:
    """What is done for one block of an axis: elements `variable_first` + 0 up to `variable_count`, which is `width` but in the
    last block. `loop`: for all blocks, one after the other; else the block is one of the kernel's places. `narrow`: what is left
    in the last block is done in blocks of so many, and `variable_lanes` is a constant, `width` or `narrow`."""

    variable: str
    size: Size
    width: int
    body: tuple[Statement, ...]
    loop: bool
    narrow: int = 0


@dataclass(frozen=True)
class Local:
    """Memory of constant size, of the block of statements around it."""

    array: Array


LANE = "lane"
JOINED = frozenset(f"{op}_of" for op in ("sum", "max", "min", "any", "all"))


@dataclass(frozen=True)
class Blocks:
    """A loop from `start` to before `end` along an axis, `width` elements at a time; inside, `variable_first` and
    `variable_count` say which ones."""

    variable: str
    start: Size | Expr
    end: Size | Expr
    width: int
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Product:
    """`target[m, n] += sum over k of left[m, k] * right[k, n]`: where each begins, the extents of m, n and k as factors, and the
    strides of the rows of the target, of left's rows and k, and of right's k. Along n, target and right are dense."""

    target: str
    target_at: Index
    left: str
    left_at: Index
    right: str
    right_at: Index
    extents: tuple[Extent, Extent, Extent]
    strides: tuple[Size, Size, Size, Size]




@dataclass(frozen=True)
class Window:
    """Windows along one axis of x, as `Along` of the printed file says: sizes of x, of the places and of a window; strides in x,
    in the tensor of places and in the weights; and the index."""

    size: Size
    places: Size
    taps: Size
    x_stride: Size
    place_stride: Size
    tap_stride: Size
    step: int
    dilation: int
    offset: Size
    divide: int
    border: str


Strided = tuple[tuple[Size, Size], ...]
"""Axes as sizes and strides, the last one fastest."""


@dataclass(frozen=True)
class Sums:
    """A sum over windows of `x`, or with `weights` its gradient by the weights: `function(x, other, into, ...)` of the printed
    file. Where batch, channels and filters lie: in x and y, in x and the weights, in the weights and y."""

    x: str
    other: str
    into: str
    weights: bool
    batch: tuple[Strided, Strided]
    channels: tuple[Strided, Strided]
    filters: tuple[Strided, Strided]
    along: tuple[Window, ...]


Statement = Union[Let, Start, Fill, Store, For, Lanes, Local, Blocks, Product, Sums]


@dataclass(frozen=True)
class Array:
    """A tensor that comes in or goes out, or memory of a thread (`count` elements) or of a chunk."""

    name: str
    dtype: DType
    count: Size
    axes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """A parallel axis that is walked innermost, `width` elements at a time."""

    variable: str
    size: Size
    width: int


@dataclass(frozen=True)
class Kernel:
    """`parallel`: loop variables and extents, outermost first, the block's number last. `partial`: arrays that each chunk adds up
    for itself, added together in order of the chunks when all are done; then comes `after`. `chunks` says how many there are
    where the result depends on it, so that it does not depend on the number of threads. One thread does it `alone` where `work`
    is less. `before` comes first, in one thread or with threads of its own. `uneven`: some places have more to do than others,
    so that each thread takes chunks from all over.
    """

    name: str
    doc: str
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    symbols: tuple[tuple[str, str], ...]  # of sizes, and how each is written
    numbers: tuple[str, ...]
    parallel: tuple[tuple[str, Size], ...]
    block: Block | None
    body: tuple[Statement, ...]
    work: Size
    alone: int
    chunks: int | None = None
    scratch: tuple[Array, ...] = ()
    partial: tuple[tuple[str, Array], ...] = ()  # the reduction, the array
    after: tuple[Statement, ...] = ()
    after_scratch: tuple[Array, ...] = ()
    before: tuple[Fill | Sums, ...] = ()
    most: tuple[Size, int] | None = None  # where a size is larger than a number, a library is faster
    uneven: bool = False

    @property
    def wide(self) -> frozenset[str]:
        """Tensors that must be of type T, as they are multiplied whole, added to, or read after they were written: what comes in
        is widened before, what goes out rounded when it is done. Others are widened and rounded element by element."""
        given = {array.name for array in (*self.inputs, *self.outputs) if array.dtype == "float"}
        outputs = {array.name for array in self.outputs}
        found: set[str] = set()
        for statement in parts((*self.before, *self.body, *self.after)):
            if isinstance(statement, (Let, Store)):
                found |= {str(e.value) for e in walk(statement.value) if e.op == "load" and e.value in outputs}
                found |= {statement.array} if isinstance(statement, Store) and statement.op else set()
            elif not isinstance(statement, Sums):  # which widens as it copies
                found |= {name for name in vars(statement).values() if isinstance(name, str)}
        return frozenset(found & given)


def verify(kernel: Kernel) -> None:
    """Every name is known where it is read, and nothing that comes in is written. Raises CompilerBug."""
    told = {array.name for array in kernel.inputs} | set(kernel.numbers)
    written = {array.name for array in kernel.outputs}
    partial = {array.name for _, array in kernel.partial}
    loops = {variable for variable, _ in kernel.parallel}
    block = {kernel.block.variable + end for end in ("", "_first", "_count")} if kernel.block else set()
    scratch = {array.name for array in kernel.scratch}
    _verify(kernel.before, told, written, kernel)
    _verify(kernel.body, told | loops | block | scratch, scratch | written | partial, kernel)
    after = {array.name for array in kernel.after_scratch}
    _verify(kernel.after, told | partial | after, after | written, kernel)


def _verify(body: tuple[Statement, ...], known: set[str], writable: set[str], kernel: Kernel) -> None:
    known, writable = set(known), set(writable)
    for statement in body:
        if isinstance(statement, For):
            _verify(statement.body, known | {statement.variable} | ({LANE} if statement.lanes else set()), writable, kernel)
            continue
        if isinstance(statement, Lanes):
            _demand(statement.loop or f"{statement.variable}_block" in known, statement.variable, kernel)
            names = {f"{statement.variable}{end}" for end in ("_first", "_count", "_lanes")}
            _verify(statement.body, known | names, writable, kernel)
            continue
        if isinstance(statement, Blocks):
            names = {f"{statement.variable}_first", f"{statement.variable}_count"}
            ends = [part for end in (statement.start, statement.end) if isinstance(end, Expr) for part in walk(end)]
            for name in (str(part.value) for part in ends if part.op == "name"):
                _demand(name in known, name, kernel)
            _verify(statement.body, known | names, writable, kernel)
            continue
        if isinstance(statement, Product):
            _demand(statement.target in writable, statement.target, kernel)
            for name in (statement.left, statement.right):
                _demand(name in known | writable, name, kernel)
            for at in (statement.target_at, statement.left_at, statement.right_at):
                for variable, _ in at:
                    _demand(variable in known, variable, kernel)
            for factor in (f for extent in statement.extents for f in extent if isinstance(f, str)):
                _demand(factor in known, factor, kernel)
        if isinstance(statement, Sums):
            _demand(statement.x in known and statement.other in known, statement.x, kernel)
            _demand(statement.into in writable, statement.into, kernel)
            _demand(bool(statement.along), statement.into, kernel)
            continue
        if isinstance(statement, Fill):
            for variable, _ in statement.at:
                _demand(variable in known, variable, kernel)
        if isinstance(statement, (Fill, Store)):
            _demand(statement.array in writable, statement.array, kernel)
        if isinstance(statement, Store):
            for variable, _ in statement.at or ():
                _demand(variable in known, variable, kernel)
        if isinstance(statement, (Let, Store)):
            for part in walk(statement.value):
                if part.op in ("name", "load") or part.op in JOINED:
                    _demand(str(part.value) in known | writable, str(part.value), kernel)
                for variable, _ in part.at:
                    _demand(variable in known, variable, kernel)
        if isinstance(statement, (Let, Start)):
            known.add(statement.name)
        if isinstance(statement, Start):
            writable.add(statement.name)
        if isinstance(statement, Local):
            writable.add(statement.array.name)


def _demand(holds: bool, name: str, kernel: Kernel) -> None:
    if not holds and name != "1":
        raise CompilerBug(f"kernel {kernel.name} uses {name} where it is not known")


def walk(expr: Expr) -> Iterator[Expr]:
    yield expr
    for arg in expr.args:
        yield from walk(arg)


def parts(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """All statements, those inside others too."""
    for statement in body:
        yield statement
        if isinstance(statement, (For, Lanes, Blocks)):
            yield from parts(statement.body)

"""What a Triton kernel does, on tiles: the small form between lowering and printing.

A program works on a tile: `PLACES` places along the parallel axes, and a part of each inner axis. Every value is a block with one
dimension for the places and one for each inner axis, of size 1 where it does not vary. A kernel has two bodies. In `resident` the
inner axes fit into a tile, so that every input is read once and stays in registers; `looped` walks them tile by tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Union

from archc.checker.sizes import Size
from archc.codegen.groups import Finish
from archc.diagnostics.model import CompilerBug
from archc.ops.table import DType

Index = tuple[tuple[str, tuple[str, ...]], ...]
"""Variables of axes times their strides, added up; a stride is a product of sizes of axes."""


@dataclass(frozen=True)
class Expr:
    """An operation of the table on other expressions; or `const` (value: the number), `full` (a constant as a block), `size` (a
    Size), `name` (a variable), `load` (value: the array; at: where; mask: what of it is there), `place` (at: as a number)."""

    op: str
    args: tuple[Expr, ...] = ()
    value: bool | int | float | str | Size | None = None
    at: Index = ()
    mask: tuple[str, ...] = ()
    dtype: DType = "float"


@dataclass(frozen=True)
class Let:
    name: str
    value: Expr


@dataclass(frozen=True)
class Start:
    """A block with the neutral value of a reduction; `tiles`: its extents."""

    name: str
    op: str
    dtype: DType
    tiles: tuple[str, ...]


@dataclass(frozen=True)
class Add:
    """`name = op(name, value)`, where the mask holds."""

    name: str
    op: str
    value: Expr
    mask: tuple[str, ...]


@dataclass(frozen=True)
class Reduce:
    """`name` is the reduction of a value over dimensions of the block, where the mask holds."""

    name: str
    op: str
    value: Expr
    mask: tuple[str, ...]
    over: tuple[int, ...]


@dataclass(frozen=True)
class Store:
    array: str
    at: Index
    value: Expr
    mask: tuple[str, ...]


@dataclass(frozen=True)
class Loop:
    """The tiles of an inner axis, one after the other."""

    variable: str
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Barrier:
    """What the threads of a program have stored can be loaded by all of them."""


Statement = Union[Let, Start, Add, Reduce, Store, Loop, Barrier]


@dataclass(frozen=True)
class Array:
    """A tensor that comes in or goes out."""

    name: str
    dtype: DType
    axes: tuple[str, ...]


@dataclass(frozen=True)
class Memory:
    """An array that the launch makes room for: its extents, as sizes."""

    name: str
    dtype: DType
    shape: tuple[Size, ...]


@dataclass(frozen=True)
class Partial:
    """What each program adds up for itself. The array lies as the axes in `before`, one element for each chunk of the places,
    then the axes in `after`."""

    name: str
    dtype: DType
    before: tuple[Size, ...]
    after: tuple[Size, ...]


@dataclass(frozen=True)
class Inner:
    """An inner axis: its variable, its extent, the name of its mask, and the constant that is the width of its tile."""

    variable: str
    extent: str
    mask: str
    tile: str


@dataclass(frozen=True)
class Body:
    """`head` comes before the places of the program, `tail` after them."""

    head: tuple[Statement, ...]
    body: tuple[Statement, ...]
    tail: tuple[Statement, ...] = ()


@dataclass(frozen=True)
class Kernel:
    """`along`: parallel axes whose places a program takes one tile after the other; `across`: parallel axes of which a program
    has one place; both as variables and extents, outermost first. `sizes`: extents by name, and whether one is that of rows.
    `least`: places of a tile where neighbours in memory are places. `held`: blocks that live at the same time.
    """

    name: str
    doc: str
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    symbols: tuple[tuple[str, str], ...]
    numbers: tuple[str, ...]
    sizes: tuple[tuple[str, Size, bool], ...]
    along: tuple[tuple[str, str], ...]
    across: tuple[tuple[str, str], ...]
    inner: tuple[Inner, ...]
    resident: Body
    looped: Body | None
    least: int
    held: int
    extents: tuple[tuple[Size, ...], tuple[Size, ...], tuple[Size, ...]]  # of along, across, inner
    partials: tuple[Partial, ...] = ()
    scratch: tuple[Memory, ...] = ()
    finish: Finish | None = None
    results: tuple[str, ...] = ()  # of the group, in order, those of `finish` as well
    most: tuple[Size, int] | None = None  # where a size is larger than a number, a library is faster

    @property
    def bodies(self) -> tuple[tuple[str, Body], ...]:
        """By name: what is printed as a function each."""
        return (("resident", self.resident), *((("looped", self.looped),) if self.looped else ()))


def verify(kernel: Kernel) -> None:
    """Every name is known where it is read, nothing that comes in is written, and masks are those of the block. Raises
    CompilerBug."""
    told = {array.name for array in kernel.inputs} | set(kernel.numbers)
    told |= {variable for variable, _ in (*kernel.along, *kernel.across)}
    masks = {"in_places", *(inner.mask for inner in kernel.inner)}
    scratch = {memory.name for memory in kernel.scratch}
    writable = {array.name for array in kernel.outputs} | {partial.name for partial in kernel.partials} | scratch
    for name, body in kernel.bodies:
        inner = {axis.variable for axis in kernel.inner} if name == "resident" else set()
        known = told | inner | scratch | {"here"}
        known = _verify(body.head, known, writable, masks, kernel)
        known = _verify(body.body, known, writable, masks, kernel)
        _verify(body.tail, known, writable, masks, kernel)


def _verify(body: Sequence[Statement], known: set[str], writable: set[str], masks: set[str], kernel: Kernel) -> set[str]:
    known = set(known)

    def demand(holds: bool, name: str) -> None:
        if not holds and not name.isdigit():
            raise CompilerBug(f"kernel {kernel.name} uses {name} where it is not known")

    for statement in body:
        if isinstance(statement, Loop):
            _verify(statement.body, known | {statement.variable}, writable, masks, kernel)
            # accumulators of this depth were started before the loop
            continue
        if isinstance(statement, (Let, Add, Reduce, Store)):
            for part in walk(statement.value):
                if part.op in ("name", "load"):
                    demand(str(part.value) in known, str(part.value))
                for variable, _ in part.at:
                    demand(variable in known, variable)
                demand(set(part.mask) <= masks, ", ".join(part.mask))
        if isinstance(statement, Store):
            demand(statement.array in writable, statement.array)
            for variable, _ in statement.at:
                demand(variable in known, variable)
        if isinstance(statement, Add):
            demand(statement.name in known, statement.name)
        if isinstance(statement, (Let, Start, Reduce)):
            known.add(statement.name)
    return known


def walk(expr: Expr) -> Iterator[Expr]:
    yield expr
    for arg in expr.args:
        yield from walk(arg)


def loads(body: Sequence[Statement]) -> Iterator[Expr]:
    """Each load of an array, once for each place in the text."""
    for statement in body:
        if isinstance(statement, Loop):
            yield from loads(statement.body)
        elif isinstance(statement, (Let, Add, Reduce, Store)):
            yield from (part for part in walk(statement.value) if part.op == "load")

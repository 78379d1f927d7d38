"""The syntax tree: one frozen node for each construct of the language, with the place it was read from.

Every node carries `span`. The tree holds what was written and nothing of what it means: names are not resolved,
`sum[k](x)` is a call of an indexed name like any other, a parameter's kind is a word.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, Union


@dataclass(frozen=True)
class Span:
    """A stretch of source text. Lines and columns count from 1; `end` is exclusive. `start`/`end` are offsets."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def to(self, other: Span) -> Span:
        """From the start of this span to the end of the other."""
        return Span(self.file, self.line, self.column, other.end_line, other.end_column, self.start, other.end)

    def within(self, around: Span) -> Span:
        """This span where it lies in another, else the other: what was made elsewhere is shown where it is used."""
        inside = self.file == around.file and around.start <= self.start and self.end <= around.end
        return self if inside else around


@dataclass(frozen=True)
class Ident:
    """A name as it was written at one place."""

    name: str
    span: Span

    def __str__(self) -> str:
        return self.name


# ---------------------------------------------------------------------------------------------- expressions
@dataclass(frozen=True)
class Number:
    """`1`, `2.5`, `1e-5`, `inf`. An int stays an int."""

    value: int | float
    span: Span


@dataclass(frozen=True)
class Bool:
    value: bool
    span: Span


@dataclass(frozen=True)
class String:
    value: str
    span: Span


@dataclass(frozen=True)
class Name:
    name: str
    span: Span


@dataclass(frozen=True)
class SizeOf:
    """`|d|`: the size of an axis."""

    axis: Ident
    span: Span


@dataclass(frozen=True)
class ListOf:
    """`[1, 2, 3]`: a table of constants, or a static list."""

    items: tuple[Expr, ...]
    span: Span


@dataclass(frozen=True)
class Unary:
    op: Literal["-", "not"]
    operand: Expr
    span: Span


@dataclass(frozen=True)
class Binary:
    op: Literal["+", "-", "*", "/", "//", "%", "^", "==", "!=", "<", "<=", ">", ">=", "and", "or"]
    left: Expr
    right: Expr
    span: Span


@dataclass(frozen=True)
class Border:
    """What an index outside the operand reads: `else 0`, `edge`, `reflect`, `wrap`, `by border`."""

    kind: Literal["else", "edge", "reflect", "wrap", "by"]
    value: Expr | None  # the scalar of `else`, the name after `by`
    span: Span


@dataclass(frozen=True)
class BracketItem:
    """One entry of `x[...]`: `k`, `k = s`, `t = t - 1 else 0`, `...` or a number alone (then axis.name is that)."""

    axis: Ident
    value: Expr | None
    border: Border | None
    span: Span


@dataclass(frozen=True)
class Bracketed:
    """`base[items]`: an indexed read, the axes of a reduction, or the bindings of a call."""

    base: Expr
    items: tuple[BracketItem, ...]
    span: Span


@dataclass(frozen=True)
class Argument:
    """An argument of a call; `name` is None where it is positional."""

    name: Ident | None
    value: Expr
    span: Span


@dataclass(frozen=True)
class Call:
    """`callee(arguments)`, perhaps `with { param: value }`."""

    callee: Expr
    arguments: tuple[Argument, ...]
    overrides: tuple[tuple[Ident, Expr], ...]
    span: Span


@dataclass(frozen=True)
class Member:
    """`blocks.first`: a sub-layer's or module's part."""

    base: Expr
    name: Ident
    span: Span


@dataclass(frozen=True)
class Repeat:
    """`repeat count as index { body }`: a list of sub-layers."""

    count: Expr
    index: Ident | None
    body: Expr
    span: Span


Expr = Union[Number, Bool, String, Name, SizeOf, ListOf, Unary, Binary, Bracketed, Call, Member, Repeat]


# ----------------------------------------------------------------------------------------------- signatures
@dataclass(frozen=True)
class Dim:
    """An entry of a tensor's axes: `n`; `k = grid + order`; `(g=groups k) = channels`; `...` (name is "...").

    `parts` is not empty where the dimension is split; `name` is then the whole, or None for `(g k)`.
    """

    name: Ident | None
    size: Expr | None
    parts: tuple[Dim, ...]
    span: Span


@dataclass(frozen=True)
class Parameter:
    """`c: axis`, `static order: int = 3`, `act: fn(x) = silu`, `mlp: layer = Inner`, `score: Score`.

    `kind` is the word after the colon: axis int float bool str layer fn border ints layers choice, or the name of a layer.
    """

    name: Ident
    static: bool
    kind: Ident
    arity: int  # of a `fn(x, y)` kind; 0 otherwise
    choices: tuple[str, ...]  # of a choice kind: `static mode: "same" | "valid"`
    default: Expr | None
    span: Span


@dataclass(frozen=True)
class Input:
    """A tensor among the inputs. `dims` is None for `x` without brackets: any axes, pointwise."""

    name: Ident
    dims: tuple[Dim, ...] | None
    dtype: Ident | None
    default: Expr | None
    span: Span


@dataclass(frozen=True)
class Result:
    """`-> [n, o]`, `-> like x`, or one of `-> (y[...], last[...])`. `dims` is None for `like`."""

    name: Ident | None
    dims: tuple[Dim, ...] | None
    like: Ident | None
    dtype: Ident | None
    span: Span


# ----------------------------------------------------------------------------------------------- statements
@dataclass(frozen=True)
class Assign:
    """`a, b = value`. In the body of a layer this declares a sub-layer."""

    targets: tuple[Ident, ...]
    value: Expr
    span: Span


@dataclass(frozen=True)
class Return:
    values: tuple[Expr, ...]
    span: Span


@dataclass(frozen=True)
class AxisDecl:
    """`axis z = size`, `axis c = (g=8 k)`, `axis z = a + b`: the right side is an expression or a split."""

    name: Ident
    size: Expr | None
    parts: tuple[Dim, ...]
    span: Span


@dataclass(frozen=True)
class If:
    """A static choice. `otherwise` is None where there is no `else`; `else if` is an If in a tuple of one."""

    condition: Expr
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] | None
    span: Span


@dataclass(frozen=True)
class When:
    """`when training { } else { }`."""

    mode: Ident
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] | None
    span: Span


@dataclass(frozen=True)
class For:
    """`for block in blocks { }` over a static list, or `for j { }` over an axis inside a scan (`items` is None)."""

    target: Ident
    items: Expr | None
    body: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True)
class Scan:
    axis: Ident
    reverse: bool
    body: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True)
class State:
    """`state S[..., k, v] = start` inside a scan; with a dtype where it is not the module's float."""

    name: Ident
    dims: tuple[Dim, ...]
    dtype: Ident | None
    value: Expr
    span: Span


@dataclass(frozen=True)
class Yield:
    name: Ident
    value: Expr
    span: Span


@dataclass(frozen=True)
class Finally:
    name: Ident
    value: Expr
    span: Span


@dataclass(frozen=True)
class Update:
    """`update running_mean = value`."""

    name: Ident
    value: Expr
    span: Span


@dataclass(frozen=True)
class Penalty:
    name: Ident
    value: Expr
    span: Span


@dataclass(frozen=True)
class Store:
    """`param gamma[c] = 1`, `buffer mean[c] = 0`, `init w0[o, d] = normal(1)`. `value` is None for `given`."""

    kind: Literal["param", "buffer", "init"]
    name: Ident
    dims: tuple[Dim, ...]
    dtype: Ident | None
    value: Expr | None
    span: Span


Statement = Union[Assign, Return, AxisDecl, If, When, For, Scan, State, Yield, Finally, Update, Penalty, Store]


# --------------------------------------------------------------------------------------------- declarations
@dataclass(frozen=True)
class Gradient:
    """`grad(dy) { x: dy * k, freq: none }`. A value of None is the `none` that stops a gradient."""

    names: tuple[Ident, ...]  # one for each result
    surrogate: bool
    rows: tuple[tuple[Ident, Expr | None], ...]
    span: Span


@dataclass(frozen=True)
class Fn:
    """A function, or a method of a layer. `results` is empty where the signature does not say."""

    name: Ident
    signature: tuple[Parameter | Input, ...]
    results: tuple[Result, ...]
    gradient: Gradient | None
    body: tuple[Statement, ...]
    doc: str
    span: Span


@dataclass(frozen=True)
class Layer:
    """`forward` is the method of that name; `body` holds stores, sub-layers, axes and static choices among them."""

    name: Ident
    parameters: tuple[Parameter, ...]
    body: tuple[Statement, ...]
    methods: tuple[Fn, ...]  # forward first
    doc: str
    span: Span


@dataclass(frozen=True)
class Import:
    """`import std.kan`."""

    path: tuple[Ident, ...]
    span: Span

    @property
    def dotted(self) -> str:
        return ".".join(part.name for part in self.path)


@dataclass(frozen=True)
class Hole:
    """`hole layer Act(...) { ... space { ... } }`: a declaration whose body is a space."""

    layer: Layer
    space: tuple[Clause, ...]
    span: Span


@dataclass(frozen=True)
class Clause:
    """A line of a search: a word, then words, expressions and axis lists, kept as written until search reads them."""

    word: Ident
    items: tuple[Expr | Ident, ...]
    span: Span


@dataclass(frozen=True)
class Search:
    name: Ident
    holes: tuple[Hole, ...]
    clauses: tuple[Clause, ...]
    doc: str
    span: Span


Declaration = Union[Fn, Layer, Import, Search]


@dataclass(frozen=True)
class File:
    """A whole source file. `comments` are kept for the formatter, in order of place."""

    path: str
    declarations: tuple[Declaration, ...]
    comments: tuple[tuple[str, Span], ...]
    span: Span


Node = Union[
    Expr,
    Statement,
    Declaration,
    Dim,
    Parameter,
    Input,
    Result,
    Argument,
    BracketItem,
    Border,
    Gradient,
    Hole,
    Clause,
    File,
    Ident,
]


_FIELDS: dict[type, tuple[str, ...]] = {}  # of each kind of node, the fields that may hold nodes


def children(node: object) -> list[object]:
    """The nodes directly below a node, in the order of its fields."""
    kind = type(node)
    names = _FIELDS.get(kind)
    if names is None:
        names = _FIELDS[kind] = tuple(field.name for field in fields(node) if field.name != "span")  # type: ignore[arg-type]
    found: list[object] = []
    for name in names:
        _collect(getattr(node, name), found)
    return found


def _collect(value: object, found: list[object]) -> None:
    if isinstance(value, tuple):
        for item in value:
            _collect(item, found)
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, Span):
        found.append(value)

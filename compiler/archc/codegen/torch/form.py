"""What a torch method does, as statements: the small form between lowering and printing.

An expression is an operation of `spelling.SPELLING` on other expressions. One that gives a tensor says its dimensions in
memory order; a dimension of size one that only broadcasts is None; the axis named `...`, always first, stands for any number
of leading dimensions. An expression whose `dims` is None is a value of the host (a Python number).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Union

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis
from archc.codegen.torch.helpers import HELPERS
from archc.codegen.torch.spelling import SPELLING
from archc.ops.table import DType

_FIRST = re.compile(r"[A-Za-z_]\w*")
_GLOBAL = frozenset({"torch", "max", "getattr", "self", "None", "math", "nn", "F", "device", "dtype"})
Dims = tuple[Union[Axis, None], ...]
Param = Union[bool, int, float, str, Size, tuple["Param", ...]]


@dataclass(frozen=True)
class Expr:
    """`op(args; params)`. Params are what the operation is told beside its operands: dimensions, flags, names."""

    op: str
    args: tuple[Expr, ...] = ()
    params: tuple[Param, ...] = ()
    dims: Dims | None = None
    dtype: DType = "float"

    @property
    def is_host(self) -> bool:
        return self.dims is None

    @property
    def axes(self) -> frozenset[Axis]:
        return frozenset(dim for dim in self.dims or () if dim is not None)

    @property
    def is_leading(self) -> bool:
        """Whether an unknown number of leading dimensions comes first."""
        return bool(self.dims) and self.dims[0] is not None and self.dims[0].name == LEADING  # type: ignore[index]

    def position(self, axis: Axis) -> int:
        """The dimension of an axis as torch is told it: from the end where leading dimensions may come first."""
        assert self.dims is not None
        at = self.dims.index(axis)
        return at - len(self.dims) if self.is_leading or at == len(self.dims) - 1 else at


@dataclass(frozen=True)
class Assign:
    """`a, b = value`. The types of the targets are the value's, or `types` where it gives several."""

    targets: tuple[str, ...]
    value: Expr
    comment: str = ""


@dataclass(frozen=True)
class Do:
    """An expression for its effect."""

    value: Expr


@dataclass(frozen=True)
class Return:
    values: tuple[Expr, ...]


@dataclass(frozen=True)
class Raise:
    """`if condition: raise error(message)`. The message is a template: `{}` is filled with the values, in order."""

    condition: Expr
    error: str
    message: str
    values: tuple[Expr, ...] = ()


@dataclass(frozen=True)
class Branch:
    condition: Expr
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] = ()


@dataclass(frozen=True)
class NoGrad:
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class For:
    """`for a, b in source:`."""

    targets: tuple[str, ...]
    source: Expr
    body: tuple[Statement, ...]


Statement = Union[Assign, Do, Return, Raise, Branch, NoGrad, For]


@dataclass(frozen=True)
class Function:
    """A method or function: its arguments with their annotations and defaults, and what it does."""

    name: str
    arguments: tuple[tuple[str, str, str | None], ...]
    result: str
    body: tuple[Statement, ...]
    doc: str = ""
    decorators: tuple[str, ...] = ()
    assumed: frozenset[str] = field(default_factory=frozenset)  # names that the module around it defines


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and all below it."""
    yield expr
    for arg in expr.args:
        yield from walk(arg)


class Malformed(Exception):
    """The form breaks one of its own rules: a defect of the lowering."""


def verify(function: Function) -> None:
    """Names are assigned before they are read, operations are spelled, elementwise operands broadcast to the result."""
    known = {name for name, _, _ in function.arguments} | set(function.assumed)
    _verify_block(function.body, known)


def _verify_block(body: tuple[Statement, ...], known: set[str]) -> set[str]:
    for statement in body:
        if isinstance(statement, Assign):
            _verify_expr(statement.value, known)
            known.update(statement.targets)
        elif isinstance(statement, Do):
            _verify_expr(statement.value, known)
        elif isinstance(statement, Return):
            for value in statement.values:
                _verify_expr(value, known)
        elif isinstance(statement, Raise):
            for value in (statement.condition, *statement.values):
                _verify_expr(value, known)
            if statement.message.replace("{{", "").replace("}}", "").count("{}") != len(statement.values):
                raise Malformed(f"the message {statement.message!r} does not have {len(statement.values)} places")
        elif isinstance(statement, For):
            _verify_expr(statement.source, known)
            _verify_block(statement.body, known | set(statement.targets))
        elif isinstance(statement, Branch):
            _verify_expr(statement.condition, known)
            then, otherwise = _verify_block(statement.then, set(known)), _verify_block(statement.otherwise, set(known))
            known |= then & otherwise
        else:
            _verify_block(statement.body, set(known))
    return known


def _verify_expr(expr: Expr, known: set[str]) -> None:
    for part in walk(expr):
        if part.op == "function" and str(part.params[0]) in HELPERS:
            continue
        if part.op not in SPELLING:
            raise Malformed(f"{part.op} has no spelling")
        first = _FIRST.match(str(part.params[0])) if part.op == "name" else None
        if first and first[0] not in known | _GLOBAL | HELPERS.keys():
            raise Malformed(f"{part.params[0]} is read before it is assigned")
        if SPELLING[part.op].broadcasts and part.dims is not None:
            _verify_broadcast(part)


def _verify_broadcast(expr: Expr) -> None:
    """Each operand's dimensions, aligned at the right, are the result's or of size one, and together they give it."""
    assert expr.dims is not None
    rank = len(expr.dims)
    covered: list[Axis | None] = [None] * rank
    for arg in expr.args:
        dims = arg.dims or ()
        if len(dims) > rank:
            raise Malformed(f"{text_of(expr)}: an operand has more dimensions than the result")
        for place, dim in enumerate(dims, rank - len(dims)):
            if dim is not None and dim != expr.dims[place]:
                raise Malformed(f"{text_of(expr)}: an operand has {dim} where the result has {expr.dims[place]}")
            covered[place] = covered[place] or dim
    if tuple(covered) != expr.dims:
        raise Malformed(f"{text_of(expr)}: the operands do not make up the dimensions {_dims(expr.dims)}")


def text(function: Function) -> str:
    """The text form: `h: float[n, c] = mul(x, sigmoid(v))`, for tests and for people."""
    head = f"function {function.name}({', '.join(name for name, _, _ in function.arguments)})"
    return "\n".join([head, *_lines(function.body, "  ")]) + "\n"


def _lines(body: tuple[Statement, ...], indent: str) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, Assign):
            yield f"{indent}{', '.join(statement.targets)}: {_type(statement.value)} = {text_of(statement.value)}"
        elif isinstance(statement, Do):
            yield f"{indent}do {text_of(statement.value)}"
        elif isinstance(statement, Return):
            yield f"{indent}return {', '.join(map(text_of, statement.values))}"
        elif isinstance(statement, Raise):
            yield f"{indent}raise {statement.error} {statement.message!r} if {text_of(statement.condition)}"
        elif isinstance(statement, Branch):
            yield f"{indent}if {text_of(statement.condition)}"
            yield from _lines(statement.then, indent + "  ")
            if statement.otherwise:
                yield f"{indent}else"
                yield from _lines(statement.otherwise, indent + "  ")
        elif isinstance(statement, For):
            yield f"{indent}for {', '.join(statement.targets)} in {text_of(statement.source)}"
            yield from _lines(statement.body, indent + "  ")
        else:
            yield f"{indent}without gradient"
            yield from _lines(statement.body, indent + "  ")


def text_of(expr: Expr) -> str:
    if expr.op == "name":
        return str(expr.params[0])
    if expr.op in ("literal", "size"):
        return str(expr.params[0])
    inner = ", ".join(map(text_of, expr.args))
    params = ", ".join(map(_param, expr.params))
    return f"{expr.op}({inner}{'; ' * bool(params)}{params})"


def _param(param: Param) -> str:
    return f"({', '.join(map(_param, param))})" if isinstance(param, tuple) else str(param)


def _type(expr: Expr) -> str:
    return f"{expr.dtype}[{_dims(expr.dims)}]" if expr.dims is not None else f"host {expr.dtype}"


def _dims(dims: Dims) -> str:
    return ", ".join("1" if dim is None else dim.name for dim in dims)

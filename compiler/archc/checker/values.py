"""What an expression is while checking: a term of the graph to be, or something that exists only now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Union

from archc.checker.sizes import Size
from archc.checker.typed import Term
from archc.checker.types import Axis, Dim
from archc.ops.table import Op
from archc.syntax import tree
from archc.syntax.tree import Span

if TYPE_CHECKING:
    from archc.checker.frame import Frame
    from archc.checker.program import Declared


RUN_TIME = ("axis", "int", "float", "bool")  # kinds of parameters that are given when a module is constructed


@dataclass(frozen=True)
class AxisRef:
    """An axis by name. `chain` has more than one axis where it is split, the outermost first."""

    name: str
    chain: Dim


@dataclass(frozen=True)
class SizeVal:
    """An int made of sizes: `|d|`, an int parameter, and their sums, products and quotients."""

    size: Size


@dataclass(frozen=True)
class OpRef:
    """A row of the op table by its name in the language, not called yet."""

    row: Op


@dataclass(frozen=True)
class BuiltinRef:
    """A construct with the syntax of a call that is not a row: `dropout`, `range`, `cat`, an initialiser."""

    name: str


@dataclass(frozen=True, eq=False)
class FnRef:
    """A fn, or a method together with the frame of its layer."""

    declared: Declared
    fn: tree.Fn
    owner: Frame | None = None


@dataclass(frozen=True, eq=False)
class LayerClass:
    """A layer not yet given its arguments."""

    declared: Declared

    @property
    def layer(self) -> tree.Layer:
        assert isinstance(self.declared.node, tree.Layer)
        return self.declared.node

    @property
    def key(self) -> str:
        return self.declared.key


@dataclass(frozen=True, eq=False)
class Instance:
    """A sub-layer with its arguments, in the axes and sizes of the layer that holds it. `path` is from that layer."""

    of: LayerClass
    path: str
    axes: Mapping[str, Dim]
    ints: Mapping[str, Size]
    numbers: Mapping[str, Term]
    statics: Mapping[str, Static]
    given: frozenset[str]  # the parameters that were written, not defaulted
    span: Span
    absent: frozenset[str] = frozenset()  # params that every call supplies, so that they are not made


@dataclass(frozen=True)
class Bound:
    """An expression with bindings in brackets, waiting to be called: `conv[u = h2]`, `sum[k]`."""

    value: Union[OpRef, BuiltinRef, FnRef, Instance]
    items: tuple[tree.BracketItem, ...]
    span: Span = field(compare=False)


class Poison:
    """The value of what was already reported."""


POISON = Poison()

Static = Union[int, float, bool, str, tuple["Value", ...], LayerClass, Instance, FnRef, OpRef]
Value = Union[Term, AxisRef, SizeVal, Static, BuiltinRef, Bound, Poison]


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def chain_size(chain: tuple[Axis, ...]) -> Size:
    total = Size.of(1)
    for axis in chain:
        total = total * axis.size
    return total

"""Where names are looked up: a frame for each declaration being checked, and what all frames of one graph share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from archc.checker.program import SourceFile
from archc.checker.sizes import Size
from archc.checker.typed import EntryCheck, Ref, SplitSize, Step, Term
from archc.checker.types import LEADING, Axis, Dim, Layout, Type
from archc.checker.values import AxisRef, BuiltinRef, FnRef, LayerClass, OpRef, Poison, Value, chain_size
from archc.diagnostics import codes
from archc.diagnostics.model import Kind, Place, Problems
from archc.limits import LIMITS, beyond
from archc.ops.table import LANGUAGE_NAMES, OPS
from archc.syntax import tree
from archc.syntax.habits import habit
from archc.syntax.tree import Span

if TYPE_CHECKING:
    from archc.checker.units import Registry


class Stop(Exception):
    """Leaves the statement being checked after a problem was reported; checking goes on with the next one."""


INITIALISERS = {
    "normal",
    "uniform",
    "bernoulli",
    "trunc_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "xavier_uniform",
    "xavier_normal",
    "lecun_normal",
    "orthogonal",
    "eye",
    "dirac",
    "sparse",
}
BUILTINS = {"dropout", "range", "cat", "sort", "top_k", "eigh"} | INITIALISERS


@dataclass
class Context:
    """What the frames of one graph share: names already taken, checks and effects found so far, the mode."""

    problems: Problems
    training: bool = False
    mode_used: bool = False
    taken: set[str] = field(default_factory=set)
    checks: list[EntryCheck] = field(default_factory=list)
    splits: list[SplitSize] = field(default_factory=list)
    updates: dict[str, tuple[Ref, Term]] = field(default_factory=dict)
    penalties: list[tuple[str, Term]] = field(default_factory=list)
    carried: int = 0  # how many calls around are carried out by a module of their own
    effects: set[str] = field(default_factory=set)  # paths of updates and penalties that no such module sees to
    names: list[tuple[Term, str]] = field(default_factory=list)
    ports: dict[str, Ref] = field(default_factory=dict)
    frames: dict[str, Frame] = field(default_factory=dict)  # frames of sub-layers, by path
    calls: list[Span] = field(default_factory=list)  # the calls that are being inlined, outermost first
    draws: int = 0
    loops: list[Step] = field(default_factory=list)  # whose bodies are being checked, outermost first
    wholes: dict[Dim, Size] = field(default_factory=dict)  # of splits whose parts are known at run time only
    inlined: int = 0
    nested: int = 0  # expressions that are being evaluated, each in the one before
    nested_below: int = 0  # the most that were, those of calls that were not inlined included
    calls_below: int = 0  # the same of calls inside one another
    steps: int = 0
    divisors: list[Size] = field(default_factory=list)  # by which sizes are divided, known at run time only
    leading_named: bool = False  # a body reduces over `...`, whose members only a call knows
    undecided: bool = False  # sizes decide what is known of an index
    exhausted: bool = False
    layers: list[str] = field(default_factory=list)  # keys of the layers that are being inlined
    made: dict[Axis, int] = field(default_factory=dict)
    registry: Registry | None = None

    def __post_init__(self) -> None:
        self.record = self.registry.program.record if self.registry else None

    def fresh(self, name: str) -> str:
        """A name that no other axis of this graph has."""
        candidate, number = name, 0
        while candidate in self.taken:
            number += 1
            candidate = f"{name}_{number}"
        self.taken.add(candidate)
        return candidate

    def axis(self, name: str, size: Size | None) -> Axis:
        """A new axis; without a size, one whose size is a symbol of its own."""
        unique = self.fresh(name)
        axis = Axis(unique, Size.symbol(unique) if size is None else size)
        self.made.setdefault(axis, len(self.made))
        return axis

    def in_order(self, axes: Iterable[Axis]) -> Dim:
        """Axes in the order in which they were made."""
        return tuple(sorted(axes, key=lambda axis: (self.made.get(axis, -1), axis.name)))

    def effect(self, path: str) -> None:
        """Note an update or a penalty."""
        if not self.carried:
            self.effects.add(path)

    def draw(self) -> int:
        self.draws += 1
        return self.draws


class Frame:
    """The names of one declaration. A method's frame has its layer's as `parent`."""

    def __init__(self, context: Context, file: SourceFile, parent: Frame | None = None, path: str = "") -> None:
        self.context = context
        self.file = file
        self.parent = parent
        self.path = path  # of the layer, from the root: "" or "blocks.0"
        self.values: dict[str, Value] = {}
        self.axes: dict[str, Dim] = {}
        self.places: dict[str, Span] = {}
        self.outer: dict[str, Dim] = {}  # for an axis that stands for axes of the caller: those
        self.sums: dict[str, list[Dim]] = {}  # for `axis z = a + b`: the axes whose elements follow each other
        self.leading: frozenset[Axis] = frozenset()
        self.initial: Layout | None = None  # the dimensions of the param whose initialiser is being read

    # -- names ---------------------------------------------------------------------------------------------------
    def find_axis(self, name: str) -> Dim | None:
        if name in self.axes:
            return self.axes[name]
        return self.parent.find_axis(name) if self.parent else None

    def find_value(self, name: str) -> Value | None:
        if name in self.values:
            return self.values[name]
        return self.parent.find_value(name) if self.parent else None

    def find(self, name: tree.Name | tree.Ident) -> Value:
        """A value, an axis, a declaration or a built-in, innermost first. Reports and stops where there is none."""
        value, chain = self.find_value(name.name), self.find_axis(name.name)
        if isinstance(value, Poison):
            raise Stop
        if value is not None and chain is not None:
            self.fail(codes.AMBIGUOUS_NAME, name.span, name=name.name)
        if value is not None:
            return value
        if chain is not None:
            return AxisRef(name.name, chain)
        declared = self.file.scope.get(name.name)
        if declared is not None:
            if isinstance(declared.node, tree.Fn):
                return FnRef(declared, declared.node)
            if isinstance(declared.node, tree.Layer):
                return LayerClass(declared)
        for bracketed in (False, True):
            if row := LANGUAGE_NAMES.get((name.name, bracketed)):
                return OpRef(OPS[row])
        if name.name in BUILTINS:
            return BuiltinRef(name.name)
        self.fail(codes.UNKNOWN_NAME, name.span, name=name.name, names=sorted(self.visible()), way_out=habit(name.name))

    def element(self, value: Value, span: Span) -> Value:
        """The value as this scope sees it: in the body of a loop, its element at the step."""
        return self.parent.element(value, span) if self.parent else value

    def index_of(self, chain: Dim) -> Term | None:
        """The step of the loop over an axis, in the body of that loop."""
        return self.parent.index_of(chain) if self.parent else None

    def visible(self) -> set[str]:
        """Every name that would be found, for suggestions."""
        names = set(self.values) | set(self.axes) | set(self.file.scope) | BUILTINS | {name for name, _ in LANGUAGE_NAMES}
        return names | self.parent.visible() if self.parent else names

    def outside(self, name: str) -> Dim | None:
        """The caller's axes that an axis of this declaration stands for."""
        if name in self.outer:
            return self.outer[name]
        return self.parent.outside(name) if self.parent else None

    def all_axes(self) -> set[Axis]:
        own = {axis for chain in self.axes.values() for axis in chain}
        return own | self.parent.all_axes() if self.parent else own

    def find_sum(self, name: str) -> list[Dim] | None:
        if name in self.sums:
            return self.sums[name]
        return self.parent.find_sum(name) if self.parent else None

    def axis_names(self) -> set[str]:
        return set(self.axes) | (self.parent.axis_names() if self.parent else set())

    def chain(self, axis: tree.Ident) -> Dim:
        """The axes that a name stands for; reports an unknown one."""
        if axis.name == LEADING:
            self.context.leading_named = True
            return self.context.in_order(self.leading)
        chain = self.find_axis(axis.name)
        if chain is None:
            self.known_or_stop(axis)
            if self.find_value(axis.name) is not None:
                self.fail(codes.VALUE_AS_AXIS, axis.span, name=axis.name)
            self.fail(codes.UNKNOWN_AXIS, axis.span, name=axis.name, axes=sorted(self.axis_names()), value="this declaration")
        return chain

    def known_or_stop(self, name: tree.Ident) -> None:
        """Stop where a problem with the declaration of a name was reported already."""
        if isinstance(self.find_value(name.name), Poison):
            raise Stop

    def define_axis(self, name: str, chain: Dim, span: Span) -> None:
        self.axes[name] = chain
        self.places[name] = span

    # -- problems ------------------------------------------------------------------------------------------------
    def report(self, kind: Kind, at: Span, also: Sequence[tuple[Place, str]] = (), **facts: object) -> None:
        calls = [(span, "in this call") for span in self.context.calls[-1:] if span.file != at.file or span.line != at.line]
        self.context.problems.add(kind, at, also=[*also, *calls], **facts)

    def fail(self, kind: Kind, at: Span, also: Sequence[tuple[Place, str]] = (), **facts: object) -> NoReturn:
        self.report(kind, at, also, **facts)
        raise Stop

    def limit(self, name: str, found: int, at: Span) -> None:
        """Refuse what asks for more than a stated limit."""
        if found > LIMITS[name].value:
            beyond(self.context.problems, name, at, once=True)
            self.context.exhausted = True
            raise Stop

    def enter_call(self, at: Span) -> None:
        """Count a call that is about to be inlined. After a limit was met, nothing more is."""
        if self.context.exhausted:
            raise Stop
        self.context.inlined += 1
        self.context.calls_below = max(self.context.calls_below, len(self.context.calls) + 1)
        self.limit("calls", self.context.inlined, at)
        self.limit("call depth", len(self.context.calls) + 1, at)

    # -- showing types -------------------------------------------------------------------------------------------
    def axis_name(self, axis: Axis) -> str:
        """How this declaration calls an axis."""
        frame: Frame | None = self
        while frame:
            for name, chain in frame.axes.items():
                if chain == (axis,):
                    return name
            if axis in frame.leading:
                return LEADING
            frame = frame.parent
        return axis.name

    def show(self, type: Type) -> str:
        names = sorted({self.axis_name(axis) for axis in type.axes}, key=lambda n: (n != LEADING, n))
        return f"{type.dtype}[{', '.join(names)}]" if names else type.dtype

    def names_of(self, axes: Iterable[Axis]) -> list[str]:
        return sorted({self.axis_name(axis) for axis in axes})

    # -- sizes ---------------------------------------------------------------------------------------------------
    def require_equal(
        self, left: Size, right: Size, at: Span, kind: Kind, also: Sequence[tuple[Place, str]] = (), **facts: object
    ) -> None:
        """Two sizes that must agree: nothing if they do, a problem if they cannot, else a check when the graph is entered."""
        if left == right:
            return
        if differ(left, right):
            self.fail(kind, at, also, left=left, right=right, **facts)
        message = kind.title.format_map({**facts, "left": left, "right": right})
        self.context.checks.append(EntryCheck(left, right, "equal", message, at, self.path))

    def require_at_least(self, left: Size, right: Size, at: Span, message: str) -> None:
        if not nonnegative(left - right):
            self.context.checks.append(EntryCheck(left, right, "at least", message, at, self.path))

    def size_of(self, chain: Dim) -> Size:
        return chain_size(chain)


def nonnegative(size: Size) -> bool:
    """Provable from sizes being 0 or more."""
    return all(coefficient >= 0 for _, coefficient in size.terms)


def differ(left: Size, right: Size) -> bool:
    """Whether two sizes that are not the same can never agree."""
    return (left - right).constant is not None or _positive(left - right) or _positive(right - left)


def _positive(size: Size) -> bool:
    """Provably above zero, so that two sizes with this difference never agree."""
    return nonnegative(size) and any(monomial == () for monomial, _ in size.terms)

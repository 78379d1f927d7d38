"""What the checker gives: the program with every name resolved, every axis known and every static choice made.

Terms are a DAG shared by identity. Axes of an inlined callee are already the caller's: renaming happened at the call.
`archc.ir.lower` turns terms into graph nodes one to one; nothing here computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Union

from archc.checker.sizes import Size
from archc.checker.types import Axis, Layout, Type
from archc.syntax.tree import Span


@dataclass(frozen=True, eq=False)
class Const:
    value: bool | int | float
    type: Type
    span: Span


@dataclass(frozen=True, eq=False)
class Table:
    """Constants that stand in the file, along axes: the last one's fastest."""

    axes: tuple[Axis, ...]
    shape: tuple[int, ...]
    values: tuple[bool | int | float, ...]
    type: Type
    span: Span


@dataclass(frozen=True, eq=False)
class SizeValue:
    """`|d|` and other integer expressions of sizes: an int known at entry."""

    size: Size
    type: Type
    span: Span


@dataclass(frozen=True, eq=False)
class AxisIndex:
    """An axis used as a value: its index."""

    axis: Axis
    type: Type
    span: Span


@dataclass(frozen=True, eq=False)
class Ref:
    """An input, param, buffer or run-time number, by its path from the root: `x`, `blocks.0.norm.gamma`, `norm.eps`."""

    path: str
    role: Literal["input", "param", "buffer", "number"]
    type: Type
    layout: Layout
    span: Span


@dataclass(frozen=True, eq=False)
class Apply:
    """An elementwise operation of the op table on the union of the operands' axes. `op` is the table's name."""

    op: str
    args: tuple[Term, ...]
    type: Type
    span: Span


@dataclass(frozen=True, eq=False)
class Reduction:
    """A reduction (sum, mean, max, var ...) or normaliser (softmax ...) of the op table over named axes."""

    op: str
    arg: Term
    over: frozenset[Axis]
    type: Type
    span: Span


@dataclass(frozen=True, eq=False)
class MatrixCall:
    """An operation of the op table on matrices, over the axis of their rows and that of their columns."""

    op: str
    args: tuple[Term, ...]
    rows: Axis
    columns: Axis
    type: Type
    span: Span


@dataclass(frozen=True, eq=False)
class Transform:
    """A Fourier transform of the op table over whole axes, which keep their names; see `archc.ir.graph.Fourier`."""

    op: str
    arg: Term
    over: frozenset[Axis]
    half: tuple[Axis, Axis] | None
    norm: str
    type: Type
    span: Span


@dataclass(frozen=True, eq=False)
class ReadAt:
    """`x[axis = index, ...]`. `fill` is the one scalar of `else`."""

    arg: Term
    at: tuple[tuple[Axis, Term, Literal["check", "trust", "fill", "edge", "reflect", "wrap"]], ...]
    fill: Term | None
    type: Type
    span: Span


@dataclass(frozen=True, eq=False)
class Expand:
    """The value repeated along axes that it lacks: a result whose signature has more axes than its value."""

    arg: Term
    axes: frozenset[Axis]
    type: Type
    span: Span


@dataclass(frozen=True, eq=False)
class Draw:
    """A random draw for every element of the axes; see `archc.ir.graph.Random` for the kinds."""

    kind: str
    args: tuple[Term, ...]
    axes: tuple[Axis, ...]
    serial: int
    type: Type
    span: Span
    steps: tuple[Step, ...] = ()  # of the loops around it: a draw for each


@dataclass(frozen=True, eq=False)
class Step:
    """The index of the step of a loop, in its body."""

    axis: Axis
    type: Type
    span: Span


@dataclass(frozen=True, eq=False)
class StateRef:
    """A state of a loop at the beginning of a step, in its body. `order` has its axes as they are declared."""

    name: str
    type: Type
    span: Span
    order: tuple[Axis, ...]


@dataclass(frozen=True, eq=False)
class Loop:
    """A scan, or a `for` over an axis in it. The terms of its body read its `step` and `states`; one that reads neither is
    computed before it. `nexts` are the states at the end of a step, `yields` what the step gives."""

    axis: Axis
    reverse: bool
    step: Step
    states: tuple[StateRef, ...]
    starts: tuple[Term, ...]
    nexts: tuple[Term, ...]
    yields: tuple[Term, ...]
    span: Span
    steps: tuple[Step, ...] = ()  # of the loops around one that draws: it runs at each


@dataclass(frozen=True, eq=False)
class LoopResult:
    """What a loop gives: the last value of its `index`th state, or its `index`th yield along the scanned axis."""

    loop: Loop
    index: int
    final: bool
    type: Type
    span: Span


@dataclass(frozen=True, eq=False)
class CustomCall:
    """A fn with a derivative of its own, as a unit: its inputs in order, and the result of which this is the `index`th."""

    fn: Function
    args: tuple[Term, ...]
    index: int
    type: Type
    span: Span
    group: object = field(default_factory=object)  # the same object for all results of one call


@dataclass(frozen=True, eq=False)
class MemberCall:
    """A call of a sub-layer. Both readings are kept: `inlined` is the callee's result in the caller's axes, with paths from the
    root; `unit`, `member`, `args` and `layouts` are the call as a module sees it.
    """

    unit: Unit
    method: str
    member: str  # path within the calling layer: `norm`, `blocks.0`
    args: tuple[Term, ...]  # one for each tensor input of the method, in signature order
    layouts: tuple[Layout, ...]  # how each argument lies in memory as the callee wants it, in the caller's axes; () has size 1
    result_layouts: tuple[Layout, ...]  # how each result comes out, in the caller's axes
    types: tuple[Type, ...]  # of all results
    index: int
    inlined: Term
    type: Type
    span: Span
    group: object = field(default_factory=object)


Term = Union[
    Const, Table, SizeValue, AxisIndex, Ref, Apply, Reduction, MatrixCall, Transform, ReadAt, Expand, Draw, Step, StateRef,
    LoopResult, CustomCall, MemberCall,
]


@dataclass(frozen=True)
class EntryCheck:
    """What only run time knows: two sizes that must agree. `message` is a sentence of the diagnostics table."""

    left: Size
    right: Size
    relation: Literal["equal", "at least"]
    message: str
    span: Span
    path: str = ""  # of the sub-layer that asks for it


@dataclass(frozen=True)
class SplitSize:
    """The size of the part of a split that is not given: `symbol = whole // part`, which must be exact."""

    symbol: str
    whole: Size
    part: Size
    span: Span


@dataclass(frozen=True)
class TensorInput:
    name: str
    type: Type
    layout: Layout
    default: bool | int | float | None
    span: Span


@dataclass(frozen=True)
class TensorResult:
    name: str  # "result" where the signature gives none
    term: Term
    layout: Layout


@dataclass(frozen=True)
class Body:
    """One mode of a method: what it returns, stores and asks of the sizes."""

    results: tuple[TensorResult, ...]
    updates: tuple[tuple[Ref, Term], ...]  # buffer, new value
    penalties: tuple[tuple[str, Term], ...]
    checks: tuple[EntryCheck, ...]
    splits: tuple[SplitSize, ...]
    names: tuple[tuple[Term, str], ...] = ()  # what the source calls a term
    effects: frozenset[str] = frozenset()  # paths of the updates and penalties that no sub-layer's module sees to


@dataclass(frozen=True)
class Number:
    """An argument of the emitted class' constructor, or of a method: an axis' size, or an int, float or bool."""

    name: str
    kind: Literal["axis", "int", "float", "bool"]
    default: bool | int | float | None
    doc: str
    span: Span


@dataclass(frozen=True)
class Method:
    name: str
    doc: str
    inputs: tuple[TensorInput, ...]
    train: Body
    eval: Body  # the same object where the mode makes no difference
    span: Span
    no_grad: bool = False
    numbers: tuple[Number, ...] = ()
    statics: Mapping[str, object] = field(default_factory=dict)
    signature: tuple[str, ...] = ()  # every name of it, in order


@dataclass(frozen=True)
class Function:
    """A fn with its own derivative. `vjp` has the inputs of `body` and then one cotangent for each result; its results are
    the cotangents of the inputs named in `wrt`. Inputs in `stopped` have none by declaration.
    """

    name: str
    inputs: tuple[TensorInput, ...]
    body: Body
    vjp_inputs: tuple[TensorInput, ...]
    vjp: Body
    wrt: tuple[str, ...]
    stopped: tuple[str, ...]
    surrogate: bool
    span: Span


@dataclass(frozen=True)
class Stored:
    """A param or buffer (or `init` temporary): how it lies in memory and the expression that fills it.

    `value` is None for `given`. `absent` means that every call overrides it, so that it is never made.
    """

    kind: Literal["param", "buffer", "init", "tied"]
    name: str
    type: Type
    layout: Layout
    value: Term | None
    doc: str
    span: Span
    of: str = ""  # the param that a tied name stands for


@dataclass(frozen=True)
class Child:
    """A sub-layer, or a list of them. `arguments` are terms over the parent's numbers, one mapping for each instance.

    Instances of one object (`tied`) share weights: `same_as` is the path of the first.
    """

    name: str
    units: tuple[Unit, ...]
    arguments: tuple[Mapping[str, Term], ...]
    is_list: bool
    span: Span


@dataclass(frozen=True)
class Unit:
    """One layer with one set of static choices: what becomes one class of the emitted package."""

    name: str
    key: str  # name and static choices, as text; equal keys are the same class
    doc: str
    numbers: tuple[Number, ...]
    statics: Mapping[str, object]
    splits: tuple[SplitSize, ...]  # those known when the module is constructed
    checks: tuple[EntryCheck, ...]
    stored: tuple[Stored, ...]
    children: tuple[Child, ...]
    methods: tuple[Method, ...]  # forward first
    span: Span

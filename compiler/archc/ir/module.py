"""A layer as the back ends see it: its constructor, its stored tensors, its sub-modules, and a graph for each method and mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from archc.checker.types import Layout
from archc.ir.graph import Check, Definition, Graph
from archc.ops.table import DType
from archc.syntax.tree import Span


@dataclass(frozen=True)
class Number:
    """A constructor argument: `kind` axis or int is a size symbol of the same name; float and bool are `number` ports."""

    name: str
    kind: Literal["axis", "int", "float", "bool"]
    default: bool | int | float | None


@dataclass(frozen=True)
class Stored:
    """A param or buffer. `value` computes its start: a graph with one output, inputs being earlier params and numbers."""

    kind: Literal["param", "buffer", "init", "tied"]
    name: str
    dtype: DType
    layout: Layout
    value: Graph | None  # None for `given` and `tied`
    of: str = ""  # the param that a tied name stands for


@dataclass(frozen=True)
class Child:
    """A sub-module attribute, or a list of them. `arguments` has, for each instance, a graph without tensor inputs for each
    constructor argument (one scalar output over the parent's numbers)."""

    name: str
    modules: tuple[str, ...]  # keys into Package.modules
    arguments: tuple[Mapping[str, Graph], ...]
    is_list: bool


@dataclass(frozen=True)
class Step:
    """What makes a method a step along an axis. `states` are inputs of its graphs, and under the same names its last outputs;
    `start` has the other inputs and gives them before the first step; `fields` are the states of sub-modules, which they make
    themselves. `refused` says why there is no such step, and the method only says so."""

    axis: str
    states: tuple[str, ...]
    fields: tuple[str, ...]
    start: Graph
    eval_only: bool = False  # what training does cannot be done one element at a time
    refused: str = ""


@dataclass(frozen=True)
class Joined:
    """A method's graphs with some sub-layers inlined, by path: kernels then compute these with what stands around them."""

    members: tuple[str, ...]
    train: Graph
    eval: Graph


@dataclass(frozen=True)
class Method:
    name: str
    doc: str
    train: Graph
    eval: Graph  # equal to `train` where the mode makes no difference
    defaults: Mapping[str, bool | int | float]
    no_grad: bool = False
    numbers: tuple[Number, ...] = ()
    statics: Mapping[str, object] = field(default_factory=dict)
    signature: tuple[str, ...] = ()  # the names of its inputs, numbers and static choices, in the source's order
    step: Step | None = None
    joined: Joined | None = None  # the same while nothing watches these sub-layers


@dataclass(frozen=True)
class Module:
    """One class of the emitted package. Graphs call sub-modules by `call` nodes whose `member` is set."""

    name: str
    key: str
    doc: str
    numbers: tuple[Number, ...]
    statics: Mapping[str, object]
    definitions: tuple[Definition, ...]
    checks: tuple[Check, ...]
    stored: tuple[Stored, ...]
    children: tuple[Child, ...]
    methods: tuple[Method, ...]  # forward first
    span: Span | None = None


@dataclass(frozen=True)
class Package:
    """Everything that one source file gives: `roots` are the keys of the layers asked for, callees come first in `modules`."""

    source: str
    modules: Mapping[str, Module]
    roots: tuple[str, ...]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.modules.values())

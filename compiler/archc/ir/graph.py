"""The graph: typed, immutable, interned nodes. An equal node is the same object, so equality is identity.

Nodes say nothing of names or places; those are in `Graph.notes`, a table beside the graph that is not part of its
identity. Common subexpressions and dead code need no pass: equal nodes are one, and what no output reaches is not there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Union
from weakref import WeakValueDictionary

from archc.checker.sizes import Size
from archc.checker.types import Axis, Layout, Type
from archc.ops.table import DType
from archc.syntax.tree import Span

if TYPE_CHECKING:
    from archc.ir.library import Options

Borders = Literal["check", "trust", "fill", "edge", "reflect", "wrap"]
"""What a read outside does. `check`: the kernel raises. `trust`: cannot happen, or was checked at entry.
`fill`: gives the scalar that is the read's last argument."""


@dataclass(frozen=True)
class At:
    """One index of a read: the operand's axis, and what happens outside of it."""

    axis: Axis
    border: Borders


@dataclass(frozen=True)
class Read:
    """attrs of `read`: args are (x, one int expression for each At, then the fill scalar if any border fills).

    out[S] = x[axis_i = e_i(S), others unchanged], S = (axes of x not indexed) + axes of the expressions.
    """

    at: tuple[At, ...]


@dataclass(frozen=True)
class Accumulate:
    """attrs of `accumulate`, the transpose of `read`: args are (v, one int expression for each At).

    out[at axes + keep] = sum over every axis of v and of the expressions that is not in `keep` of v, where the
    expressions point. What `read` would have filled is dropped; edge, reflect and wrap fold back in as read does.
    """

    at: tuple[At, ...]
    keep: frozenset[Axis]


@dataclass(frozen=True)
class Matrix:
    """attrs of an operation on matrices: the axis of their rows and that of their columns. All other axes are a batch."""

    rows: Axis
    columns: Axis

    @property
    def axes(self) -> frozenset[Axis]:
        return frozenset((self.rows, self.columns))


@dataclass(frozen=True)
class Fourier:
    """attrs of `fft`, `ifft`, `rfft` and `irfft`: a transform over all elements of `over` and of the first axis of `half`.

    Axes of `over` keep their names: index k along one is the frequency k / size. `half` is (time, frequency) for rfft, which
    takes the first and gives the second, of size |time| // 2 + 1, and for irfft, which goes back. `norm` says, as torch does,
    which direction is divided by the number of elements: "backward", "forward", or "ortho", both by its root.
    """

    over: frozenset[Axis]
    half: tuple[Axis, Axis] | None = None
    norm: str = "backward"

    @property
    def axes(self) -> frozenset[Axis]:
        return self.over | frozenset(self.half or ())

    @property
    def elements(self) -> tuple[Axis, ...]:
        """The axes whose elements are counted: those over which the sums go."""
        return (*sorted(self.over, key=lambda axis: axis.name), *(self.half[:1] if self.half else ()))


@dataclass(frozen=True)
class Table:
    """attrs of `table`: constants along axes, the last one's fastest. `data` is their bits, so that equal tables are alike."""

    axes: tuple[Axis, ...]
    shape: tuple[int, ...]
    data: bytes  # of eight a constant, little endian

    def values(self, dtype: DType) -> tuple[bool | int | float, ...]:
        kinds = {"float": "d", "int": "q", "bool": "q"}
        found = struct.unpack(f"<{len(self.data) // 8}{kinds[dtype]}", self.data)
        return tuple(map(bool, found)) if dtype == "bool" else found


@dataclass(frozen=True)
class Random:
    """attrs of `random`: a draw for every element of `axes`; args are the distribution's parameters.

    kinds: uniform(low, high), normal(mean, std), trunc_normal(mean, std, low, high), bernoulli(p) (1.0 with probability
    p), orthogonal(gain), sparse(sparsity, std). `serial` tells draws of one graph apart.
    """

    kind: str
    axes: tuple[Axis, ...]  # in order: orthogonal and sparse take the first as rows
    serial: int


@dataclass(frozen=True)
class Call:
    """attrs of `call`: a fn with a derivative of its own, applied as a whole; results are `item` nodes (attrs: the index).

    args stand for `body.inputs`, in order, and have their types. `vjp` is a graph whose inputs are body's inputs and then one
    cotangent for each output (named as the fn's `grad(...)` names them), and whose outputs are the cotangents of the inputs
    named in `wrt`, in order. Inputs in `stopped` have no derivative by declaration; asking for that of any other is an error.
    """

    body: Graph
    vjp: Graph
    wrt: tuple[str, ...]
    stopped: tuple[str, ...] = ()
    surrogate: bool = False
    fused: bool = False  # made by grouping: a kernel computes it whole


@dataclass(frozen=True)
class Member:
    """attrs of `member`: a method of a sub-module called as a module; results are `item` nodes (attrs: the index).

    `layouts` say how each argument lies in memory as the callee wants it, and `results` how each result comes out, both in
    the caller's axes: a dimension that the callee sees as one may be several axes here, or the reverse never.
    """

    path: str  # `norm`, `blocks.0`
    method: str
    layouts: tuple[Layout, ...]
    results: tuple[Layout, ...]
    types: tuple[Type, ...]
    serial: int  # tells two calls of a sub-module with state or randomness apart
    state: str = ""  # of a step: where the caller keeps the state that the sub-module takes last and gives last


@dataclass(frozen=True)
class Library:
    """attrs of `library`: a computation that a target has whole, made by recognition only.

    `body` says what it means, over inputs named "0", "1" ... that stand for the args;
    `options` are a record of `archc.ir.library`, for kinds that have one.
    """

    kind: str  # contract, convolution, pool, cat ...
    body: Node
    options: Options = None


@dataclass(frozen=True)
class Scan:
    """attrs of `scan`, a sequential loop along `axis`; results are `item` nodes: the last states, then the yields.

    args: the `states` starts, then `sequences` operands that have the axis, then constants of the loop. `body` has these as its
    inputs in this order (a sequence as its element, without the axis), and then, if `step`, an int input that is the step.
    Its outputs are the states after the step, then what the step yields; a yield comes out with the axis.
    """

    axis: Axis
    reverse: bool
    states: int
    sequences: int
    step: bool
    body: Graph


Attrs = Union[
    None, str, int, float, bool, Size, Axis, frozenset[Axis], Read, Accumulate, Matrix, Fourier, Table, Random, Call, Member,
    Scan, Library,
]


class Node:
    """One operation. Made by `node` only; never changed. `type` is what it gives."""

    __slots__ = ("__weakref__", "args", "attrs", "op", "type")
    op: str
    args: tuple[Node, ...]
    attrs: Attrs
    type: Type

    def __repr__(self) -> str:
        return f"<{self.op} {self.type}>"

    @property
    def axes(self) -> frozenset[Axis]:
        return self.type.axes

    def __reduce__(self) -> tuple[Callable[..., Node], tuple[object, ...]]:
        return node, (self.op, self.args, self.attrs, self.type)


_FLOAT = Type("float")
_nodes: WeakValueDictionary[tuple[object, ...], Node] = WeakValueDictionary()


def node(op: str, args: Iterable[Node] = (), attrs: Attrs = None, type: Type = _FLOAT) -> Node:
    """The one node with this content. Types are not inferred here: `archc.ir.build` does that."""
    args = tuple(args)
    key = (op, tuple(map(id, args)), _constant_key(attrs) if op == "const" else attrs, type)
    found = _nodes.get(key)
    if found is None:
        found = object.__new__(Node)
        found.op, found.args, found.attrs, found.type = op, args, attrs, type
        _nodes[key] = found
    return found


def _constant_key(value: Any) -> object:
    """Equal only for the same kind and the same bits: 1, 1.0 and True differ, 0.0 and -0.0 differ, nan equals itself."""
    return (value.__class__, struct.pack("<d", value) if isinstance(value, float) else value)


@dataclass(frozen=True)
class Port:
    """A tensor that enters a graph. `role`: input, param, buffer, or number (a run-time number of the class).

    `name` is a path where it belongs to a sub-layer: `blocks.0.norm.gamma`. A leading `...` in the layout is the one axis
    named "..." and stands for any number of leading dimensions.
    """

    name: str
    type: Type
    layout: Layout
    role: Literal["input", "param", "buffer", "number"] = "input"

    @property
    def node(self) -> Node:
        return node("input", (), self.name, self.type)


@dataclass(frozen=True)
class Output:
    """A tensor that leaves: the node may lack axes of the layout, which are then broadcast."""

    name: str
    node: Node
    layout: Layout


@dataclass(frozen=True)
class Update:
    """A buffer's new value, stored when the graph has run."""

    buffer: str
    node: Node


@dataclass(frozen=True)
class Check:
    """Two sizes that must be equal (or the first at least the second), known only at run time, and why."""

    left: Size
    right: Size
    relation: Literal["equal", "at least"]
    message: str
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Definition:
    """A size symbol defined by others: the parts of a split. `k = channels // groups`, exact."""

    symbol: str
    size: Size
    whole: Size  # numerator of the exact division
    part: Size  # denominator
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Notes:
    """Names and places of nodes, and remarks on them, for people. Not part of a graph's identity."""

    spans: Mapping[Node, Span] = field(default_factory=dict)
    names: Mapping[Node, str] = field(default_factory=dict)
    doc: str = ""
    remarks: Mapping[Node, str] = field(default_factory=dict)  # what an analysis found


@dataclass(frozen=True)
class Graph:
    """A pure function of named tensors.

    `numbers`: size symbols known when the module is constructed (axis and int parameters), in order of declaration.
    `definitions`: symbols computed from others. Every other symbol is read off the layouts of the inputs.
    `penalties`: extra scalar outputs that only a trainer reads.
    """

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Output, ...]
    updates: tuple[Update, ...] = ()
    penalties: tuple[Output, ...] = ()
    numbers: tuple[str, ...] = ()
    definitions: tuple[Definition, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: Notes = field(default_factory=Notes, compare=False)

    @property
    def roots(self) -> tuple[Node, ...]:
        return (*(o.node for o in self.outputs), *(u.node for u in self.updates), *(p.node for p in self.penalties))

    def with_roots(self, roots: Iterable[Node], notes: Notes | None = None) -> Graph:
        """The same graph with other nodes at its outputs, updates and penalties, in order."""
        nodes = iter(roots)
        return replace(
            self,
            outputs=tuple(replace(o, node=next(nodes)) for o in self.outputs),
            updates=tuple(replace(u, node=next(nodes)) for u in self.updates),
            penalties=tuple(replace(p, node=next(nodes)) for p in self.penalties),
            notes=notes or self.notes,
        )


def topological(roots: Iterable[Node]) -> Iterator[Node]:
    """Every node that the roots need, arguments first, in an order that depends on the graph alone."""
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(tuple(roots))]
    while stack:
        current, expanded = stack.pop()
        if current in done:
            continue
        if expanded:
            done.add(current)
            yield current
        else:
            stack.append((current, True))
            stack.extend((arg, False) for arg in reversed(current.args) if arg not in done)


def inside(node: Node) -> tuple[Graph, ...]:
    """The graphs that a node carries: they speak of the same axes and sizes as the graph around it."""
    if isinstance(node.attrs, Call):
        return node.attrs.body, node.attrs.vjp
    return (node.attrs.body,) if isinstance(node.attrs, Scan) else ()


def change_inside(node: Node, change: Callable[[Graph], Graph]) -> Attrs:
    """The attributes of a node with the graphs in it changed."""
    attrs = node.attrs
    if isinstance(attrs, Call):
        return replace(attrs, body=change(attrs.body), vjp=change(attrs.vjp))
    return replace(attrs, body=change(attrs.body)) if isinstance(attrs, Scan) else attrs


def users(roots: Iterable[Node]) -> dict[Node, list[Node]]:
    """For every node, the nodes that read it (once for each argument place)."""
    found: dict[Node, list[Node]] = {}
    for current in topological(roots):
        found.setdefault(current, [])
        for arg in current.args:
            found[arg].append(current)
    return found


def rewrite(graph: Graph, rule: Callable[[Node], Node | None]) -> Graph:
    """Bottom up, once: each node is rebuilt on rewritten arguments, then offered to the rule. None keeps it."""
    new: dict[Node, Node] = {}
    for current in topological(graph.roots):
        args = tuple(new[arg] for arg in current.args)
        rebuilt = current if args == current.args else node(current.op, args, current.attrs, current.type)
        new[current] = rule(rebuilt) or rebuilt
    return graph.with_roots((new[root] for root in graph.roots), carry(graph.notes, new))


def carry(notes: Notes, new: Mapping[Node, Node]) -> Notes:
    """Notes for rewritten nodes: a node that replaces another takes its name and place, if it has none."""
    spans, names, remarks = dict(notes.spans), dict(notes.names), dict(notes.remarks)
    for old, current in new.items():
        if old is not current:
            if old in notes.spans:
                spans.setdefault(current, notes.spans[old])
            if old in notes.names:
                names.setdefault(current, notes.names[old])
            if old in notes.remarks:
                remarks.setdefault(current, notes.remarks[old])
    return replace(notes, spans=spans, names=names, remarks=remarks)


def dtype_of(value: bool | int | float) -> DType:
    return "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "float"

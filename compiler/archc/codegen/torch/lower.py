"""A graph as statements of `form`: which torch operation computes each node, in which order its dimensions lie, what has a name.

Elementwise operations take the order of their widest operand; the others follow as views. Leading dimensions stay as they are
where every operation can leave them alone (`native`); else they are made one at entry and put back at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis, Layout, flat
from archc.codegen.torch import layout
from archc.codegen.torch.form import Assign, Expr, Statement, walk
from archc.codegen.torch.layout import literal, name
from archc.codegen.torch.names import Names, python_name
from archc.codegen.torch.print import expression
from archc.codegen.torch.spelling import HOST
from archc.codegen.torch.wishes import wishes
from archc.ir.graph import Call, Graph, Library, Member, Node, topological, users
from archc.ops.table import DType

_VIEWS = frozenset({"unflatten", "unsqueeze", "view", "transpose", "matrix_transpose", "permute", "as", "squeeze"})
LONGEST = 100  # an expression longer than this is given a name


class NeedsFlat(Exception):
    """An operation must address the leading dimensions as one."""


@dataclass
class Scope:
    """What the function around a graph provides: how its inputs, constructor arguments and sub-modules are written."""

    inputs: Mapping[str, str]  # port name -> expression
    numbers: Mapping[str, str]  # size symbol of the constructor -> expression
    names: Names
    functions: Callable[[Call, bool], Custom] = lambda call, native: _no_functions()
    training: str | None = None  # the expression that turns dropout on, None where it is always on
    symbols: dict[str, str] = field(default_factory=dict)  # size symbols that are used, and their local names
    lead: str | None = None  # the name of the leading dimensions' sizes, if they are used
    size: Callable[[Size], Expr] | None = None  # how sizes are written, if not by their symbols
    generator: str | None = None  # the generator that the caller may give
    drawing: frozenset[tuple[str, str]] = frozenset()  # (path, method) of sub-modules that take one
    states: dict[str, str] = field(default_factory=dict)  # of a step: the variables that hold the states of sub-modules
    constructing: bool = False  # numbers stay numbers: nothing of size 0 is divided by that matters


@dataclass(frozen=True)
class Custom:
    """An emitted function with a derivative of its own: what it is called and what it takes beside its inputs."""

    name: str
    ports: tuple[str, ...]
    symbols: tuple[str, ...]
    draws: bool = False  # it takes the caller's generator last


def _no_functions() -> Custom:
    raise AssertionError("this scope has no functions")


class Lowering:
    """The state of lowering one graph. Rules of single operations are in `elementwise`, `reads`, `products` and `calls`."""

    def __init__(self, graph: Graph, scope: Scope, native: bool) -> None:
        self.graph, self.scope, self.native = graph, scope, native
        self.done: dict[Node, Expr] = {}
        self.block: list[Statement] = []
        self.results: dict[Node, list[Expr]] = {}  # of calls that give several
        self.data: dict[Node, bool] = {}
        self.fixed: dict[Node, bool] = {}
        self.precise: set[Node] = set()  # positions as float32 or float64, whatever the module's type
        self.unbound: dict[tuple[Node, Axis], list[Expr]] = {}  # the elements of an axis that reads take apart
        self.statistics: dict[tuple[Node, frozenset[Axis]], dict[str, Expr]] = {}  # what kernels gave besides, without derivative
        self.storing = False  # whether buffers are being stored, without derivative
        self.calls: dict[Node, Call] = {}  # functions with a derivative of their own, as they are called
        self.uses = {current: len(found) for current, found in users(graph.roots).items()}
        for root in graph.roots:
            self.uses[root] = self.uses.get(root, 0) + 1
        self.wish = wishes(graph)
        self.ports = {port.name: port for port in graph.inputs}
        self.bound_ports: dict[str, Expr] = {}
        self.readers = users(graph.roots)
        self.left = {current: len(set(found)) for current, found in self.readers.items()}  # readers that are not lowered yet
        self.kept = frozenset(graph.roots)
        self.owners: dict[str, list[Node]] = {}  # what a variable holds now: a value, and views of it that are written alike
        self.lasting: set[str] = set()  # variables that are read outside of this graph, or in the next step of a loop
        self.pending: dict[Node, Expr] = {}  # expressions that will still be written somewhere
        self.home: str | None = None  # a tensor whose dtype and device stand in for those of the inputs

    # -- sizes ---------------------------------------------------------------------------------------------------
    def symbol(self, text: str) -> str:
        if text in self.scope.numbers:
            return self.scope.numbers[text]
        symbols = self.scope.symbols
        if text not in symbols:
            wish = "rows" if text == LEADING else text
            symbols[text] = self.scope.names.shared(wish if wish not in self.ports else f"{wish}_size")
        return symbols[text]

    def size(self, value: Size) -> Expr:
        """A size as an expression of the host."""
        if self.scope.size is not None:
            return self.scope.size(value)
        if value.constant is not None:
            return literal(value.constant)
        if LEADING in value.symbols and self.native:
            raise NeedsFlat
        text = value.spell(self.symbol).replace("*", " * ")
        many, factors = len(value.terms) > 1, sum(len(m) + (abs(c) != 1) for m, c in value.terms)
        op = "size_sum" if many else "size_product" if factors > 1 or text.startswith("-") else "name"
        if op == "name" and text.startswith("("):
            op, text = "size_product", text[1:-1]  # a quotient alone brings brackets that only some places need
        return Expr(op, (), (text,), None, "int")

    def infer(self, axis: Axis) -> bool:
        """Whether unflattening may leave this part's size to torch: it is neither a constant nor a constructor's number."""
        return axis.size.constant is None and not axis.size.symbols <= set(self.scope.numbers)

    def lead_shape(self) -> Expr:
        """The sizes of the leading dimensions, as a tuple of the host."""
        if self.scope.lead is None:
            self.scope.lead = self.scope.names.shared("lead")
        return name(self.scope.lead, None, "int")

    def operands(self, current: Node) -> tuple[Node, ...]:
        """The operands that become code: x * rsqrt(number) is written x / number ** 0.5."""
        if current.op != "mul":
            return current.args
        return tuple(arg.args[0] if arg.op == "rsqrt" and self.is_number(arg) else arg for arg in current.args)

    def is_number(self, current: Node) -> bool:
        """Whether a value is a number of the host: constants, sizes and the constructor's numbers."""
        if current.axes or current.op == "random":
            return False
        if current.op == "input":
            return str(current.attrs) in self.ports and self.ports[str(current.attrs)].role == "number"
        if current.op in ("const", "size"):
            return True
        return bool(current.args) and current.op in HOST and all(map(self.is_number, current.args))

    def is_data(self, current: Node) -> bool:
        """Whether a value depends on an input of the method."""
        if current not in self.data:
            roles = {port.node: port.role for port in self.graph.inputs}
            for inner in topological((current,)):
                self.data[inner] = roles.get(inner) == "input" or any(self.data[arg] for arg in inner.args)
        return self.data[current]

    # -- dtype and device of what is made anew -------------------------------------------------------------------
    @property
    def reference(self) -> str | None:
        """A float tensor whose dtype and device new tensors take."""
        if self.home is not None:
            return self.home
        for role in ("input", "param", "buffer"):
            for port in self.graph.inputs:
                if port.role == role and port.type.dtype == "float" and port.name in self.scope.inputs:
                    return self.scope.inputs[port.name]
        pairs = (port for port in self.graph.inputs if port.type.dtype == "complex" and port.name in self.scope.inputs)
        return next((f"{self.scope.inputs[port.name]}.real" for port in pairs), None)

    @property
    def dtype_text(self) -> str:
        return f"{self.reference}.dtype" if self.reference else "torch.get_default_dtype()"

    def dtype_of(self, dtype: DType) -> str:
        """The torch type of new tensors of a type of the language."""
        known = {"int": "torch.long", "bool": "torch.bool", "complex": f"{self.dtype_text}.to_complex()"}
        return known.get(dtype, self.dtype_text)

    @property
    def device_text(self) -> str:
        if self.reference:
            return f"{self.reference}.device"
        others = [port for port in self.graph.inputs if port.role != "number" and port.name in self.scope.inputs]
        return f"{self.scope.inputs[others[0].name]}.device" if others else "None"

    def as_tensor(self, x: Expr) -> Expr:
        """A number of the host as a tensor without dimensions."""
        if not x.is_host:
            return x
        return Expr("full", (Expr("tuple"), x), (self.dtype_of(x.dtype), self.device_text), (), x.dtype)

    def as_complex(self, x: Expr) -> Expr:
        """A float as a complex number, where torch would not promote it or forgets how in the derivative."""
        x = self.as_tensor(x)
        return x if x.dtype == "complex" else Expr("to_complex", (x,), (self.dtype_of("complex"),), x.dims, "complex")

    # -- values --------------------------------------------------------------------------------------------------
    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is lowered here may not run: what comes after computes it for itself."""
        tables = ("done", "results", "left", "pending", "bound_ports", "unbound", "statistics")
        kept = {table: dict(getattr(self, table)) for table in tables}
        owners = {text: list(found) for text, found in self.owners.items()}
        yield
        vars(self).update(kept, owners=owners)

    def value(self, current: Node) -> Expr:
        """The expression of a node that has been lowered."""
        return self.done[current]

    def bind(self, x: Expr, wish: str, current: Node | None = None) -> Expr:
        """Gives an expression a name; that of a value which nothing reads any more, if both are called alike."""
        if x.op == "name" or x.op == "literal":
            return x
        target = python_name(wish)
        if current is None or not self.is_over(target, current):
            target = self.scope.names.fresh(wish)
        self.owners.pop(target, None)
        self.block.append(Assign((target,), x))
        return name(target, x.dims, x.dtype)

    def is_over(self, target: str, current: Node) -> bool:
        """Whether a local variable of float values will not be read again once `current` has been computed."""
        owners = self.owners.get(target, ())
        if not owners or target in self.lasting:
            return False
        for owner in owners:
            if owner in self.kept or {owner.type.dtype, current.type.dtype} != {"float"}:
                return False
            if self.left[owner] > (owner in current.args):
                return False
        return not any(_mentions(x, target) for node, x in self.pending.items()
                       if node in self.kept or self.left[node] > (node in current.args))

    def finished(self, current: Node) -> None:
        """Keeps count of who will still read what, and of which expressions stand nowhere yet."""
        x = self.done[current]
        if x.op == "name":
            self.owners.setdefault(str(x.params[0]), []).append(current)
        elif self.left.get(current) or current in self.kept:
            self.pending[current] = x
        for arg in dict.fromkeys(current.args):
            self.left[arg] -= 1
            if not self.left[arg] and arg not in self.kept:
                self.pending.pop(arg, None)

    def bind_below(self, x: Expr, wish: str) -> Expr:
        """Names what views are taken of, and leaves the views: what reads the value may undo them."""
        if x.op in _VIEWS and len(expression(x.args[0])) > 12:
            return replace(x, args=(self.bind_below(x.args[0], wish), *x.args[1:]))
        return self.bind(x, wish)

    def port(self, text: str) -> Expr:
        """An input, with split dimensions taken apart; a name is given to it where more than one place reads it."""
        if text in self.bound_ports:
            return self.bound_ports[text]
        port = self.ports[text]
        written = self.scope.inputs[text]
        if port.role == "number":
            return name(written, None, port.type.dtype)
        x = name(written, layout.entry_dims(port.layout), port.type.dtype)
        x = layout.split_dims(x, port.layout, self.size, self.infer)
        if x.dims and None in x.dims:
            x = layout.squeeze(x)
        if self.uses.get(port.node, 0) > 1 and (x.op != "name" or "." in written):
            if port.role == "input" and "." not in written:
                self.block.append(Assign((written,), x))
                x = name(written, x.dims, x.dtype)
            else:
                x = self.bind(x, port.name.rsplit(".", 1)[-1])
        self.bound_ports[text] = x
        return x

    def lower(self, root: Node) -> None:
        """Lowers what a node needs, then itself. What several places read, or the source names, gets a name."""
        from archc.codegen.torch.rules import rule_of

        for current in self.needed(root):
            self.shorten(current)
            x = self.rounded(current, rule_of(current)(self, current))
            self.done[current] = x if current.op in ("call", "member", "scan") else self._named(current, x)
            self.finished(current)

    def is_fixed(self, current: Node) -> bool:
        """Whether a value depends on sizes alone: positions, and what is made of them."""
        if current not in self.fixed:
            for inner in topological((current,)):
                self.fixed[inner] = inner.op not in ("input", "random", "member", "call", "scan") and all(
                    self.fixed[arg] for arg in inner.args)
        return self.fixed[current]

    def rounded(self, current: Node, x: Expr) -> Expr:
        """Positions are computed with at least float32, and rounded to a module's half type where they meet its values."""
        if x.is_host or current.type.dtype != "float" or not any(arg in self.precise for arg in current.args):
            return x
        if not self.is_fixed(current):
            return x
        if current not in self.kept and all(self.is_fixed(reader) for reader in self.readers[current]):
            self.precise.add(current)
            return x
        return Expr("to_float", (x,), (self.dtype_text,), x.dims, "float")

    def needed(self, root: Node) -> Iterator[Node]:
        """The nodes that must be lowered for one, arguments first. Affine indices of reads become views, not values."""
        from archc.codegen.torch.indices import needs

        stack: list[tuple[Node, bool]] = [(root, False)]
        while stack:
            current, ready = stack.pop()
            if current in self.done:
                continue
            if ready:
                yield current
                continue
            args = needs(current) if current.op == "read" else self.operands(current)
            stack.append((current, True))
            stack.extend((arg, False) for arg in reversed(args))

    def _named(self, current: Node, x: Expr) -> Expr:
        number = x.is_host and (x.op.startswith("size") or (x.op == "complex" and all(arg.op == "literal" for arg in x.args)))
        if number or x.op in ("name", "literal", "negative") or current.op == "input":
            return x
        many = self.uses.get(current, 0) > 1
        if many and x.op in ("view", "unsqueeze", "as", "matrix_transpose") and x.args[0].op == "name":
            return x
        wish = self.graph.notes.names.get(current)
        if many or (wish and not x.is_host):
            return self.bind(x, wish or default_name(current), current if wish else None)
        return self.bind_below(x, default_name(current)) if len(expression(x)) > LONGEST else x

    def shorten(self, current: Node) -> None:
        """Names the longest operands until the line that holds them all is not too long."""
        args = [arg for arg in dict.fromkeys(current.args)
                if arg in self.done and self.done[arg].op != "name" and arg.op != "input"]
        length = {arg: len(expression(self.done[arg])) for arg in args if current.op not in ("item",)}
        while sum(length.values()) > LONGEST - 8 and length:
            longest = max(length, key=lambda arg: length[arg])
            if length.pop(longest) < 12:
                return
            self.done[longest] = self.bind_below(self.done[longest], default_name(longest))
            if longest in self.pending:
                self.pending[longest] = self.done[longest]

    def again(self, x: Expr, wish: str) -> Expr:
        """An expression that will be written more than once: a name unless it is trivial."""
        return x if x.op in ("name", "literal") else self.bind(x, wish)

    # -- whole graphs --------------------------------------------------------------------------------------------
    def outputs(self) -> tuple[Expr, ...]:
        """Lowers everything that the outputs need, and gives them in memory order."""
        found = []
        for output in self.graph.outputs:
            self.lower(output.node)
            found.append(self.out(self.value(output.node), output.layout))
        return tuple(found)

    def out(self, x: Expr, memory: Layout) -> Expr:
        """A value in the layout in which it leaves."""
        x = self.as_tensor(x)
        has_lead = any(axis.name == LEADING for axis in flat(memory))
        if not has_lead:
            return layout.to_memory(x, memory, self.size)
        if self.native:
            order = flat(memory)
            if x.axes == frozenset(order):
                return layout.to_memory(x, memory, self.size)
            return layout.to_memory(x, memory, self.size, self.lead_shape())
        x = layout.to_memory(x, memory, self.size)
        rest = [self.size(layout_size(dim)) for dim in memory[1:]]
        dims = x.dims
        return Expr("reshape", (x, Expr("star", (self.lead_shape(),)), *rest), (), dims, x.dtype)


def _mentions(x: Expr, target: str) -> bool:
    """Whether an expression reads a variable, by name or in the text of a dimension or dtype."""
    return any(re.match(rf"{re.escape(target)}\b", str(param)) for part in walk(x) for param in part.params)


def layout_size(dim: Iterable[Axis]) -> Size:
    total = Size.of(1)
    for axis in dim:
        total = total * axis.size
    return total


def default_name(current: Node) -> str:
    """A name for a value that the source does not name."""
    if current.op == "item" and isinstance(current.args[0].attrs, Member):
        parts = [part for part in current.args[0].attrs.path.split(".") if not part.isdigit()]
        return f"{parts[-1]}_result"
    if current.op == "input":
        return str(current.attrs).rsplit(".", 1)[-1]
    if isinstance(current.attrs, Library):
        kinds = {"contract": "product", "standardise": "normal", "cat": "joined", "stack": "joined", "softmax": "weights"}
        return kinds.get(current.attrs.kind, "result")
    return {"mul": "product", "add": "total", "sub": "difference", "div": "quotient", "neg": "negative", "read": "taken",
            "var": "variance", "max": "largest", "min": "smallest", "where": "chosen", "iota": "index",
            "le": "mask", "lt": "mask", "ge": "mask", "gt": "mask", "eq": "mask", "and": "mask", "or": "mask",
            "ipow": "power", "sum": "total_sum", "to_float": "position"}.get(
                current.op, current.op if current.op.isidentifier() else "value")


Rule = Callable[[Lowering, Node], Expr]

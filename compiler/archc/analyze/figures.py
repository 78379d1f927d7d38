"""What a layer costs, by sub-layer: params, arithmetic, activations and bytes moved, of the graphs that the torch target prints.

What is counted:

- params: elements of the params of the module, each once however often a layer is called.
- flops: what `archc.ir.cost` says of every operation that becomes code, for one call of the root. A sum of n products is 2 n,
  as usual; other elementwise operations and reductions cost what the table of operations says for each element. Positions that
  become views or windows cost nothing. `products` is the part of it in matrix products and convolutions; `special` counts
  calls of functions such as exp beside it.
- activations: the elements that a layer gives out, summed over its calls.
- moved: bytes if each operation reads its operands and writes its result; views move nothing.
- least: bytes if the layer reads its inputs and params once and writes its results once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from archc.analyze import binding
from archc.analyze.binding import Sizes
from archc.checker.sizes import Size, product
from archc.checker.types import Axis, Layout, dim_size, flat
from archc.codegen.torch.indices import indices, needs
from archc.codegen.torch.prepare import prepared
from archc.ir import cost, entry
from archc.ir.cost import Work
from archc.ir.graph import Graph, Library, Member, Node, Scan, topological
from archc.ir.module import Method, Module, Package
from archc.ops.table import SMOOTH

ZERO = Size.of(0)
PRODUCTS = frozenset({"contract", "convolution", "transposed"})


@dataclass(frozen=True)
class Tensor:
    """A param or buffer of one layer, with its dimensions as they lie in memory."""

    name: str
    kind: str
    dims: tuple[tuple[str, Size], ...]

    @property
    def count(self) -> Size:
        return product(size for _, size in self.dims)


@dataclass(frozen=True)
class Figures:
    """Of one call of the root; all but params add up over calls."""

    params: Size = ZERO
    work: Work = field(default_factory=Work)
    products: Size = ZERO
    backward_products: Size = ZERO
    activations: Size = ZERO
    least: Size = ZERO

    def __add__(self, other: Figures) -> Figures:
        return Figures(self.params + other.params, self.work + other.work, self.products + other.products,
                       self.backward_products + other.backward_products, self.activations + other.activations,
                       self.least + other.least)


@dataclass
class Layer:
    """One module of the tree. `own` is what it does itself, `total` with its sub-layers."""

    path: str
    kind: str
    tensors: tuple[Tensor, ...]
    children: list[Layer]
    calls: Size = ZERO
    own: Figures = field(default_factory=Figures)

    @property
    def total(self) -> Figures:
        """With its sub-layers; what is given out and what must be moved are the layer's own, seen from outside."""
        inner = sum((child.total for child in self.children), Figures())
        params = sum((child.total.params for child in self.children), ZERO)
        stored = (params + sum((t.count for c in self.children for t in c.all_tensors if t.kind == "buffer"), ZERO)) * 4
        summed = self.own + inner
        least = self.own.least + (stored if self.calls.constant != 0 else ZERO)
        return replace(summed, activations=self.own.activations, least=least)

    @property
    def all_tensors(self) -> Iterator[Tensor]:
        yield from self.tensors
        for child in self.children:
            yield from child.all_tensors

    def walk(self) -> Iterator[Layer]:
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class Report:
    """The tree, what stands for what, and the inputs' shapes."""

    layer: Layer
    sizes: Sizes
    open: tuple[str, ...]  # symbols without a number
    symbols: Mapping[str, Size]  # what every symbol of the root is, in the open ones
    given: Mapping[str, int]
    inputs: Mapping[str, tuple[Size, ...]]
    loops: tuple[str, ...]  # open sizes that loops go over

    def values(self, given: Mapping[str, int]) -> dict[str, int]:
        """A number for every size, with numbers for the open ones."""
        found = {**{self.sizes.rows if name == "..." else name: value for name, value in self.given.items()}, **given}
        for name, (whole, part) in self.sizes.quotients.items():
            found[name] = whole.evaluate(found) // part.evaluate(found)
        for name, size in self.symbols.items():
            found.setdefault(name, size.evaluate(found))
        return found


def analyse(package: Package, key: str, given: Mapping[str, int], *, method: str = "forward", mode: str = "train",
            data: bool = False) -> Report:
    """The figures of one layer of a package whose graphs are simplified. `given` has numbers for symbols and constructor
    arguments; those left out that have a default take it. `data`: no gradient is asked of the inputs. Raises Unfit."""
    module = package.modules[key]
    found = next(m for m in module.methods if m.name == method)
    graph = prepared(_graph(found, mode))
    defaults = {n.name: n.default for n in module.numbers if n.kind in ("axis", "int") and isinstance(n.default, int)}
    known = {**defaults, **given}
    numbers = [n.name for n in module.numbers if n.kind in ("axis", "int")]
    sizes = Sizes(rows=binding.rows_name({*numbers, *entry.graph_symbols(graph)}))
    symbols = binding.root([graph], numbers, module.definitions, known, sizes)
    walker = _Walker(package, mode, sizes)
    tree = walker.tree(module, "", symbols)
    walker.call(tree, module, found, symbols, Size.of(1), {p.name for p in graph.inputs if p.role == "input" and not data})
    inputs = {p.name: tuple(dim_size(dim).substitute(symbols) for dim in p.layout) for p in graph.inputs if p.role == "input"}
    unknown = sorted({s for size in symbols.values() for s in size.symbols} - set(sizes.quotients))
    return Report(_tidied(tree, sizes), sizes, tuple(unknown), symbols, known, inputs, tuple(sorted(walker.over)))


def gradients(graph: Graph, report: Report) -> Figures:
    """What all gradients of a graph cost, as one graph with what they need of the value; `graph` is of the whole tree, and the
    passes of training have run on it."""
    ready = prepared(graph)
    symbols = {**report.symbols}
    for symbol in entry.graph_symbols(ready):
        symbols.setdefault(symbol, Size.symbol(symbol))
    empty = Module(graph.name, "", "", (), {}, (), (), (), (), ())
    layer = Layer("", graph.name, (), [])
    _Walker(Package("", {}, ()), "train", report.sizes).body(ready, layer, empty, symbols, Size.of(1), set(), params=False)
    traffic = cost.least_traffic(ready)
    layer.own = replace(layer.own, least=(traffic.read + traffic.written).substitute(symbols))
    return _tidied(layer, report.sizes).own


def symbols_of(package: Package, key: str, method: str, mode: str) -> tuple[list[str], list[str], str]:
    """What may be given a number: the constructor's arguments, and the sizes of the inputs; and what the leading dimensions
    are called."""
    module = package.modules[key]
    graph = _graph(next(m for m in module.methods if m.name == method), mode)
    numbers = [n.name for n in module.numbers if n.kind in ("axis", "int")]
    defined = {d.symbol for d in (*graph.definitions, *module.definitions)}
    shapes = {s: None for p in graph.inputs for dim in p.layout for s in sorted(dim_size(dim).symbols)}
    axes = [s for s in shapes if s not in numbers and s not in defined]
    return numbers, axes, binding.rows_name({*numbers, *entry.graph_symbols(prepared(graph))})


def _graph(method: Method, mode: str) -> Graph:
    return method.train if mode == "train" else method.eval


def _tidied(layer: Layer, sizes: Sizes) -> Layer:
    t = sizes.tidy
    own, work = layer.own, layer.own.work
    return Layer(
        layer.path, layer.kind,
        tuple(replace(x, dims=tuple((name, t(size)) for name, size in x.dims)) for x in layer.tensors),
        [_tidied(child, sizes) for child in layer.children], t(layer.calls),
        Figures(t(own.params), Work(t(work.flops), t(work.special), t(work.read), t(work.written)), t(own.products),
                t(own.backward_products), t(own.activations), t(own.least)))


class _Walker:
    """Walks the calls of a tree of modules and adds what each costs to the layer that does it."""

    def __init__(self, package: Package, mode: str, sizes: Sizes) -> None:
        self.package, self.mode, self.sizes = package, mode, sizes
        self.known: dict[int, dict[str, Size]] = {}  # numbers of each layer, by identity
        self.graphs: dict[int, Graph] = {}
        self.over: set[str] = set()  # open sizes that loops go over

    def tree(self, module: Module, path: str, numbers: Mapping[str, Size]) -> Layer:
        """The layer with its sub-layers, before anything is called."""
        tensors = tuple(
            Tensor(s.name, s.kind, tuple((_name(dim), dim_size(dim).substitute(numbers)) for dim in s.layout))
            for s in module.stored if s.kind in ("param", "buffer"))
        children: list[Layer] = []
        for child in module.children:
            for place, (key, arguments) in enumerate(zip(child.modules, child.arguments, strict=True)):
                inner = self.package.modules[key]
                own = self.numbers(inner, {name: g.outputs[0].node for name, g in arguments.items()}, numbers)
                name = f"{child.name}.{place}" if child.is_list else child.name
                children.append(self.tree(inner, f"{path}.{name}".lstrip("."), own))
        params = sum((t.count for t in tensors if t.kind == "param"), ZERO)
        layer = Layer(path, module.name, tensors, children, own=Figures(params=params))
        self.known[id(layer)] = dict(numbers)
        return layer

    def numbers(self, module: Module, arguments: Mapping[str, Node], known: Mapping[str, Size]) -> dict[str, Size]:
        """The symbols of a sub-layer's constructor."""
        found: dict[str, Size] = {}
        for number in module.numbers:
            if number.kind not in ("axis", "int"):
                continue
            size = evaluated if (node := arguments.get(number.name)) is not None and (
                evaluated := binding.evaluated(node, known)) is not None else None
            if size is None and isinstance(number.default, int):
                size = Size.of(number.default)
            if size is not None:
                found[number.name] = size
        for definition in module.definitions:
            whole, part = definition.whole.substitute(found), definition.part.substitute(found)
            sentence = f"{definition.whole} of {module.name} is {{found}}, which {{factor}} does not divide"
            found[definition.symbol] = self.sizes.quotient(definition.symbol, whole, part, sentence)
        return found

    def call(self, layer: Layer, module: Module, method: Method, symbols: Mapping[str, Size], times: Size,
             wanted: set[str]) -> tuple[bool, ...]:
        """One call of a layer, `times` times; says of which results a gradient can be asked."""
        graph = self.prepared(_graph(method, self.mode))
        layer.calls = layer.calls + times
        needs_gradient = self.body(graph, layer, module, symbols, times, wanted, params=not method.no_grad)
        given = sum((product(a.size for a in flat(o.layout)) for o in graph.outputs), ZERO)
        least = cost.least_traffic(graph)
        here = Figures(activations=given.substitute(symbols) * times,
                       least=(least.read + least.written).substitute(symbols) * times)
        layer.own = layer.own + here
        return tuple(needs_gradient.get(o.node, False) for o in graph.outputs)

    def prepared(self, graph: Graph) -> Graph:
        if id(graph) not in self.graphs:
            self.graphs[id(graph)] = prepared(graph)
        return self.graphs[id(graph)]

    def body(self, graph: Graph, layer: Layer, module: Module, symbols: Mapping[str, Size], times: Size, wanted: set[str],
             params: bool) -> dict[Node, bool]:
        """The operations of a graph; gives for every node whether a gradient can be asked of it."""
        gradient: dict[Node, bool] = {}
        roles = {p.name: p.role for p in graph.inputs}
        results: dict[Node, tuple[bool, ...]] = {}
        work, products, backward = Work(), ZERO, ZERO
        code = frozenset(_code(graph.roots))
        numbers = _numbers(graph)
        for node in topological(graph.roots):
            asked = [gradient[arg] for arg in node.args]
            if node.op == "input":
                role = roles.get(str(node.attrs), "input")
                floating = node.type.dtype in SMOOTH
                gradient[node] = floating and (str(node.attrs) in wanted if role == "input" else role == "param" and params)
            elif isinstance(node.attrs, (Member, Scan)):
                inner = self.member if isinstance(node.attrs, Member) else self.loop
                results[node] = inner(node, layer, module, symbols, times, asked)
                gradient[node] = any(results[node])
            elif node.op == "item" and node.args[0] in results:
                assert isinstance(node.attrs, int)
                gradient[node] = results[node.args[0]][node.attrs]
            else:
                gradient[node] = any(asked) and node.op != "detach" and node.type.dtype in SMOOTH
            if node not in code or node in numbers or isinstance(node.attrs, (Member, Scan)):
                continue
            done = _work(node)
            told = sum((cost.size_in_bytes(arg.type) for arg in node.args if arg in numbers), ZERO)
            moved = done.read.constant != 0 and not _is_view(node)
            work += replace(done, read=done.read - told) if moved else Work(done.flops, done.special)
            if isinstance(node.attrs, Library) and node.attrs.kind in PRODUCTS:
                flops = _product_flops(node)
                products += flops
                backward += flops * sum(asked[:2])
        s = symbols
        layer.own = layer.own + Figures(
            work=Work(*(size.substitute(s) * times for size in (work.flops, work.special, work.read, work.written))),
            products=products.substitute(s) * times, backward_products=backward.substitute(s) * times)
        return gradient

    def loop(self, node: Node, layer: Layer, module: Module, symbols: Mapping[str, Size], times: Size,
             asked: Sequence[bool]) -> tuple[bool, ...]:
        """A scan. A state that starts without a gradient may have one after a step, and others only then; each step that
        differs is counted by itself, and all that follow as one."""
        scan = node.attrs
        assert isinstance(scan, Scan)
        body = self.prepared(scan.body)

        def step(flags: Sequence[bool], turns: Size) -> list[bool]:
            told = zip(body.inputs, (*flags, *asked[scan.states:]), strict=False)  # the step itself is an int
            wanted = {port.name for port, flag in told if flag}
            gradient = self.body(body, layer, module, symbols, times * turns, wanted, params=True)
            return [gradient.get(output.node, False) for output in body.outputs]

        flags, left = list(asked[:scan.states]), scan.axis.size.substitute(symbols)
        self.over |= left.symbols
        while (after := [a or b for a, b in zip(flags, step(flags, ZERO), strict=False)]) != flags and left.constant != 0:
            step(flags, Size.of(1))
            flags, left = after, left - 1
        return (*flags, *step(flags, left)[scan.states:])

    def member(self, node: Node, layer: Layer, module: Module, symbols: Mapping[str, Size], times: Size,
               asked: Sequence[bool]) -> tuple[bool, ...]:
        attrs = node.attrs
        assert isinstance(attrs, Member)
        path = f"{layer.path}.{attrs.path}".lstrip(".")
        child = next(c for c in layer.children if c.path == path)
        place = [(key, f"{c.name}.{i}" if c.is_list else c.name) for c in module.children for i, key in enumerate(c.modules)]
        inner = self.package.modules[next(key for key, name in place if name == attrs.path)]
        method = next(m for m in inner.methods if m.name == attrs.method)
        graph = self.prepared(_graph(method, self.mode))
        ports = [p for p in graph.inputs if p.role == "input"]
        every = [p.name for p in _graph(method, self.mode).inputs if p.role == "input"]
        shapes = {name: [dim_size(dim).substitute(symbols) for dim in where]
                  for name, where in zip(every, attrs.layouts, strict=True)}
        shapes = {p.name: _as_seen(shapes[p.name], p.layout) for p in ports}
        for port in graph.inputs:
            if port.role in ("param", "buffer"):
                shapes[port.name] = [dim_size(dim).substitute(self.known[id(child)]) for dim in port.layout]
        bound = binding.callee(graph, self.known[id(child)], shapes, self.sizes)
        wanted = {name for name, flag in zip(every, asked, strict=True) if flag}
        return self.call(child, inner, method, bound, times, wanted)


def _as_seen(shape: list[Size], layout: Layout) -> list[Size]:
    """An argument's dimensions as the callee sees them: all leading ones are one."""
    if not entry.has_leading(layout):
        return shape
    lead = len(shape) - (len(layout) - 1)
    return [product(shape[:lead]), *shape[lead:]]


def _code(roots: Sequence[Node]) -> Iterator[Node]:
    """The nodes that become code: affine indices of reads do not."""
    done: set[Node] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node in done:
            continue
        done.add(node)
        yield node
        stack.extend(needs(node) if node.op == "read" else node.args)


def _numbers(graph: Graph) -> frozenset[Node]:
    """What the host computes: numbers made of sizes, constants and constructor arguments."""
    found: set[Node] = set()
    told = {port.node for port in graph.inputs if port.role == "number"}
    for node in topological(graph.roots):
        made = node.op in ("const", "size") or node in told or (bool(node.args) and all(arg in found for arg in node.args))
        if not node.axes and made and node.op not in ("random", "member", "call"):
            found.add(node)
    return frozenset(found)


def _is_view(node: Node) -> bool:
    """A read that takes its operand's elements in place: strides change, nothing moves."""
    return node.op == "read" and all(index.form is not None and index.border in ("trust", "check") for index in indices(node))


def _work(node: Node) -> Work:
    """What the cost model says; inside of what the library does whole, of the operations that become code."""
    done = cost.node_work(node)
    if not isinstance(node.attrs, Library):
        return done
    inner = [cost.node_work(n) for n in _code([node.attrs.body])]
    flops, special = sum((w.flops for w in inner), ZERO), sum((w.special for w in inner), ZERO)
    if node.attrs.kind == "transposed":
        flops = _product_flops(node) + (node.type.count if len(node.args) > 2 else ZERO)
    return replace(done, flops=flops, special=special)


def _product_flops(node: Node) -> Size:
    """A multiplication and an addition for each pair of factors; of a transposed convolution, for those that meet."""
    library = node.attrs
    assert isinstance(library, Library)
    if library.kind == "transposed":
        first, second = node.args[:2]
        return product(axis.size for axis in first.axes | second.axes) * 2
    total = next(inner for inner in topological([library.body]) if inner.op == "sum")
    return total.args[0].type.count * (8 if total.type.dtype == "complex" else 2)


def _name(dim: tuple[Axis, ...]) -> str:
    return dim[0].name if len(dim) == 1 else f"({' '.join(axis.name for axis in dim)})"

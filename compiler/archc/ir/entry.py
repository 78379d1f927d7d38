"""What a graph asks of the shapes it is given, as an ordered list of steps that both the evaluator and the emitted code follow.

A step binds a size symbol, or checks something and has the sentence to show when it fails. Placeholders in sentences are
`{found}`, `{expected}`, `{factor}` and the like, each said at its step; `fill` puts numbers in. Dimensions of inputs that have
leading dimensions (`...`) are counted from the end, as negative numbers, so that they hold for any number of those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Union

from archc.checker.sizes import FloorDiv, Size
from archc.checker.types import LEADING, Layout, dim_size
from archc.diagnostics.model import CompilerBug
from archc.ir.graph import Graph, Port, inside, topological
from archc.ir.text import axes_of


@dataclass(frozen=True)
class Rank:
    """`input` has `rank` dimensions, or at least as many if `leading`. {found}: how many it has."""

    input: str
    rank: int
    leading: bool
    sentence: str


@dataclass(frozen=True)
class Lead:
    """The leading dimensions of the inputs, all but the last `rank` of each, broadcast together; their number of elements is the
    symbol `...`. {found}: their shapes."""

    inputs: tuple[tuple[str, int], ...]
    sentence: str


@dataclass(frozen=True)
class Bind:
    """`symbol` is the size of dimension `dim` of `input`."""

    symbol: str
    input: str
    dim: int


@dataclass(frozen=True)
class Solve:
    """`symbol * factor + offset` is the size of dimension `dim` of `input`. {found}, {factor}, {offset}."""

    symbol: str
    input: str
    dim: int
    factor: Size
    offset: Size
    sentence: str


@dataclass(frozen=True)
class Define:
    """`symbol * part` is `whole`. {found}: the whole; {factor}: the part."""

    symbol: str
    whole: Size
    part: Size
    sentence: str


@dataclass(frozen=True)
class Fits:
    """Dimension `dim` of `input` has this size. {found}, {expected}."""

    input: str
    dim: int
    size: Size
    sentence: str


@dataclass(frozen=True)
class Equal:
    """Two sizes agree. {found}: the left one, {expected}: the right one."""

    left: Size
    right: Size
    sentence: str


@dataclass(frozen=True)
class AtLeast:
    """The left size is not smaller than the right one. {found}: the left one, {expected}: the right one."""

    left: Size
    right: Size
    sentence: str


Step = Union[Rank, Lead, Bind, Solve, Define, Fits, Equal, AtLeast]


def fill(sentence: str, **facts: object) -> str:
    """The sentence with its placeholders replaced."""
    for name, value in facts.items():
        sentence = sentence.replace("{" + name + "}", str(value))
    return sentence


@dataclass(frozen=True)
class _Place:
    """One memory dimension of an input."""

    port: Port
    position: int  # counted from the first
    size: Size
    whole: Size  # the size as the source names it: `channels` where a split makes it `groups*k`

    @property
    def dim(self) -> int:
        return self.position - len(self.port.layout) if has_leading(self.port.layout) else self.position

    @property
    def text(self) -> str:
        """`x has {found} in dimension 1 (channels)`."""
        axes = " ".join(axis.name for axis in self.port.layout[self.position])
        label = axes if self.whole == self.size else str(self.whole)
        return f"{self.port.name} has {{found}} in dimension {self.dim} ({label})"


def has_leading(layout: Layout) -> bool:
    """True if the layout begins with `...`."""
    return bool(layout) and [axis.name for axis in layout[0]] == [LEADING]


def lead(graph: Graph) -> Lead | None:
    """The step for the leading dimensions, if any input has them."""
    leading = [port for port in graph.inputs if has_leading(port.layout)]
    if not leading:
        return None
    named = _listed([port.name for port in leading])
    return Lead(tuple((port.name, len(port.layout) - 1) for port in leading),
                f"the leading dimensions of {named} do not broadcast together: {{found}}")


def plan(graph: Graph, known: Iterable[str] | None = None) -> tuple[Step, ...]:
    """Steps that bind every size symbol of the graph and check all that is promised of the shapes.

    `known` are the symbols that need no step; by default the graph's numbers. Inputs are asked before params and buffers.
    Raises CompilerBug for a graph that has a symbol that nothing determines.
    """
    bound = set(graph.numbers if known is None else known)
    tensors = [port for port in graph.inputs if port.role != "number"]
    tensors.sort(key=lambda port: port.role != "input")
    steps: list[Step] = [Rank(p.name, *_rank(p), _rank_sentence(p)) for p in tensors]
    if leading := lead(graph):
        steps.append(leading)
        bound.add(LEADING)
    definitions = list(graph.definitions)
    wholes = {Size.symbol(d.symbol) * d.part: d.whole for d in definitions}
    places = [_Place(port, i, dim_size(dim), wholes.get(dim_size(dim), dim_size(dim)))
              for port in tensors for i, dim in enumerate(port.layout) if i or not has_leading(port.layout)]
    progress = True
    while progress:
        progress = False
        for place in list(places):
            symbol = _bare(place.size)
            if symbol is not None and symbol not in bound:
                steps.append(Bind(symbol, place.port.name, place.dim))
                places.remove(place)
                bound.add(symbol)
                progress = True
        for definition in list(definitions):
            defined = _define(definition.symbol, definition.whole, definition.part, bound)
            if defined is not None:
                steps.append(defined)
                definitions.remove(definition)
                bound |= {defined.symbol} if isinstance(defined, Define) else set()
                progress = True
                break
        else:
            for place in list(places):
                solved = _solve(place, bound)
                if solved is not None:
                    steps.append(solved)
                    places.remove(place)
                    bound.add(solved.symbol)
                    progress = True
                    break
    needed = graph_symbols(graph).union(*(d.whole.symbols | d.part.symbols for d in graph.definitions))
    if missing := sorted(needed - bound):
        raise CompilerBug(f"nothing determines the size {', '.join(missing)} of graph {graph.name}")
    for place in places:
        steps.append(Fits(place.port.name, place.dim, place.size, f"{place.text}{_instead(place.whole)}"))
    for axis in axes_of(graph):
        if _may_be_negative(axis.size):
            steps.append(AtLeast(axis.size, Size.of(0), f"axis {axis.name} = {axis.size} would have {{found}} elements"))
    for check in graph.checks:
        kind = Equal if check.relation == "equal" else AtLeast
        steps.append(kind(check.left, check.right, check.message))
    return tuple(steps)


def solve(graph: Graph, numbers: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """The value of every size symbol for inputs of these shapes. Raises ValueError with a sentence where they do not fit.

    Symbols of `graph.numbers` that `numbers` lacks are read off the shapes of the params, where that is possible.
    """
    sizes = {name: int(numbers[name]) for name in graph.numbers if name in numbers}
    for name, value in sizes.items():
        if value < 0:
            raise ValueError(f"{name} is {value}, and a size is at least 0")
    try:
        steps = plan(graph, known=sizes)
    except CompilerBug:
        lacking = [name for name in graph.numbers if name not in sizes]
        if lacking:
            raise ValueError(f"{_listed(lacking)} must be given") from None
        raise
    for step in steps:
        run(step, sizes, shapes)
    return sizes


def run(step: Step, sizes: dict[str, int], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """One step: binds its symbol in `sizes`, or raises ValueError with its sentence."""
    if isinstance(step, Rank):
        if step.input not in shapes:
            raise ValueError(f"{step.input} is not given")
        found = len(shapes[step.input])
        if found < step.rank or (found > step.rank and not step.leading):
            raise ValueError(fill(step.sentence, found=found))
    elif isinstance(step, Lead):
        sizes[LEADING] = prod(leading_shape(step, shapes))
    elif isinstance(step, Bind):
        sizes[step.symbol] = shapes[step.input][step.dim]
    elif isinstance(step, Solve):
        actual = shapes[step.input][step.dim]
        factor, offset = step.factor.evaluate(sizes), step.offset.evaluate(sizes)
        if factor <= 0 or actual < offset or (actual - offset) % factor:
            raise ValueError(fill(step.sentence, found=actual, factor=factor, offset=offset))
        sizes[step.symbol] = (actual - offset) // factor
    elif isinstance(step, Define):
        whole, part = step.whole.evaluate(sizes), step.part.evaluate(sizes)
        if part <= 0 or whole % part:
            raise ValueError(fill(step.sentence, found=whole, factor=part))
        sizes[step.symbol] = whole // part
    elif isinstance(step, Fits):
        actual, expected = shapes[step.input][step.dim], step.size.evaluate(sizes)
        if actual != expected:
            raise ValueError(fill(step.sentence, found=actual, expected=expected))
    else:
        left, right = step.left.evaluate(sizes), step.right.evaluate(sizes)
        if left != right if isinstance(step, Equal) else left < right:
            raise ValueError(fill(step.sentence, found=left, expected=right))


def leading_shape(step: Lead, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The leading dimensions of all inputs, broadcast as torch does: aligned at the end, 1 stretches."""
    leads = [shapes[name][: len(shapes[name]) - rank] for name, rank in step.inputs]
    found: list[int] = []
    for place in range(1, max(map(len, leads)) + 1):
        here = {lead[-place] for lead in leads if len(lead) >= place} - {1} or {1}
        if len(here) > 1:
            raise ValueError(fill(step.sentence, found=", ".join(map(str, leads))))
        found.insert(0, here.pop())
    return tuple(found)


def graph_symbols(graph: Graph) -> frozenset[str]:
    """Every size symbol that the graph mentions, also in the graphs that its nodes carry."""
    sizes = [axis.size for axis in axes_of(graph)]
    nodes = list(topological(graph.roots))
    sizes += [node.attrs for node in nodes if isinstance(node.attrs, Size)]
    sizes += [side for check in graph.checks for side in (check.left, check.right)]
    inner = dict.fromkeys(inner for node in nodes for inner in inside(node))
    return frozenset().union(*(size.symbols for size in sizes), *map(graph_symbols, inner))


def _rank(port: Port) -> tuple[int, bool]:
    leading = has_leading(port.layout)
    return len(port.layout) - leading, leading


def _rank_sentence(port: Port) -> str:
    rank, leading = _rank(port)
    dims = ", ".join(" ".join(axis.name for axis in dim) if len(dim) == 1 else f"({' '.join(a.name for a in dim)})"
                     for dim in port.layout)
    least = "at least " if leading else ""
    return f"{port.name} needs {least}{rank} dimension{'s' * (rank != 1)}, [{dims}], and has {{found}}"


def _bare(size: Size) -> str | None:
    """The name, if the size is one symbol."""
    name = next(iter(size.symbols), None)
    return name if name is not None and size == Size.symbol(name) else None


def _define(symbol: str, whole: Size, part: Size, bound: set[str]) -> Define | Equal | None:
    """A definition in whichever direction the known symbols allow: symbol from whole and part, or a bare whole from them."""
    if symbol not in bound and whole.symbols <= bound and part.symbols <= bound:
        named = f"{part} = {{factor}}" if part.constant is None else "{factor}"
        return Define(symbol, whole, part, f"{whole} is {{found}}, which {named} does not divide")
    if symbol in bound and part.symbols <= bound:
        product = Size.symbol(symbol) * part
        other = _bare(whole)
        if other is not None and other not in bound:
            return Define(other, product, Size.of(1), "")
        if whole.symbols <= bound:
            return Equal(whole, product, f"{whole} is {{found}}, and {symbol} times {part} is {{expected}}")
    return None


def _solve(place: _Place, bound: set[str]) -> Solve | None:
    """A dimension whose size is linear in one unknown symbol, with a factor that is known and never below 1."""
    unknown = place.size.symbols - bound
    if len(unknown) != 1:
        return None
    symbol = next(iter(unknown))
    try:
        offset = place.size.substitute({symbol: Size.of(0)})
        factor = place.size.substitute({symbol: Size.of(1)}) - offset
    except ZeroDivisionError:
        return None
    if symbol in factor.symbols | offset.symbols or factor * Size.symbol(symbol) + offset != place.size:
        return None
    if factor.constant is not None and factor.constant <= 0:
        return None
    return Solve(symbol, place.port.name, place.dim, factor, offset, f"{place.text}, {_division(factor, offset, symbol)}")


def _division(factor: Size, offset: Size, symbol: str) -> str:
    if factor.constant == 1:
        return f"which is less than {offset} = {{offset}}" if offset.constant is None else "which is less than {offset}"
    divisor = "{factor}" if factor.constant is not None else f"{{factor}} {_plural(factor)}"
    if offset.constant == 0:
        return f"which {divisor} {'does' if factor.constant is not None else 'do'} not divide"
    return f"which is not {{offset}} more than a multiple of {divisor}"


def _plural(size: Size) -> str:
    """`groups` as a noun beside its number: "2 groups"; anything else stands in brackets."""
    name = _bare(size)
    return name if name is not None and name.endswith("s") else f"({size})"


def _instead(size: Size) -> str:
    return ", not {expected}" if size.constant is not None else f", where {size} is {{expected}}"


def _may_be_negative(size: Size) -> bool:
    """True if the size is not plainly a sum of products of things that are 0 or more."""
    return any(coefficient < 0 or any(isinstance(atom, FloorDiv) and _may_be_negative(atom.numerator) for atom in monomial)
               for monomial, coefficient in size.terms)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

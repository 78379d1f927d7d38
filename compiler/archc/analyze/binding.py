"""Sizes of a whole tree of layers in the symbols of its root: numbers where they are given, polynomials where they are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from archc.checker.sizes import Size, Symbol
from archc.checker.types import LEADING
from archc.ir import entry
from archc.ir.graph import Check, Definition, Graph, Node


def rows_name(symbols: Iterable[str]) -> str:
    """How people write the symbol of the flattened leading dimensions: `rows`, unless an axis or number is called that."""
    return "leading_rows" if "rows" in symbols else "rows"


class Unfit(Exception):
    """The sizes given do not fit together; the text is one sentence."""


@dataclass
class Sizes:
    """Symbols that stay open and stand for exact quotients: `d` is `c / heads`, found where a split says so."""

    quotients: dict[str, tuple[Size, Size]] = field(default_factory=dict)
    rows: str = "rows"  # the leading dimensions, as people write them

    def quotient(self, symbol: str, whole: Size, part: Size, sentence: str) -> Size:
        """whole / part, which is exact; a symbol of its own where arithmetic cannot show it. Raises Unfit where it is not."""
        if part.constant == 0:
            raise Unfit(entry.fill(sentence, found=whole, factor=part) or f"{symbol} would be {whole} / 0")
        if whole.constant is not None and part.constant is not None:
            if whole.constant % part.constant:
                raise Unfit(entry.fill(sentence, found=whole, factor=part))
            return whole // part
        if whole.divisible_by(part):
            return whole // part
        for known, pair in self.quotients.items():
            if pair == (whole, part):
                return Size.symbol(known)
        name, number = symbol, 1
        while name in self.quotients:
            number += 1
            name = f"{symbol}_{number}"
        self.quotients[name] = (whole, part)
        return Size.symbol(name)

    def tidy(self, size: Size) -> Size:
        """The size with quotients put together again: `d * heads` is `c` where d = c / heads."""
        for _ in range(8):
            before = size
            for name, (whole, part) in self.quotients.items():
                size = sum((_joined(term, name, whole, part) for term in size.terms), Size.of(0))
            if size == before:
                break
        return size


def _joined(term: tuple[tuple[object, ...], int], name: str, whole: Size, part: Size) -> Size:
    monomial, coefficient = term
    current = Size(((monomial, coefficient),))  # type: ignore[arg-type]
    if Symbol(name) not in monomial or len(part.terms) != 1:
        return current
    rest = current // Size.symbol(name)
    return rest // part * whole if rest.divisible_by(part) else current


def evaluated(scalar: Node, known: Mapping[str, Size]) -> Size | None:
    """A scalar node as a size: arithmetic of sizes and whole numbers; None where it is anything else."""
    if scalar.op == "size" and isinstance(scalar.attrs, Size):
        return scalar.attrs.substitute(known)
    if scalar.op == "const":
        return Size.of(scalar.attrs) if isinstance(scalar.attrs, int) and not isinstance(scalar.attrs, bool) else None
    args = [evaluated(arg, known) for arg in scalar.args]
    if len(args) != 2 or any(arg is None for arg in args):
        return None
    a, b = args
    assert a is not None and b is not None
    if scalar.op in ("floordiv", "mod") and b.constant != 0:
        return a // b if scalar.op == "floordiv" else a % b
    return {"add": a + b, "sub": a - b, "mul": a * b}.get(scalar.op)


def root(graphs: Sequence[Graph], numbers: Iterable[str], definitions: Iterable[Definition], given: Mapping[str, int],
         sizes: Sizes) -> dict[str, Size]:
    """What every symbol of the root's graphs stands for. Raises Unfit."""
    found = {name: Size.of(value) for name, value in given.items()}
    for name in numbers:
        found.setdefault(name, Size.symbol(name))
    both = dict.fromkeys((*definitions, *(d for graph in graphs for d in graph.definitions)))
    for definition in both:
        if definition.symbol in found:
            continue
        whole, part = definition.whole.substitute(found), definition.part.substitute(found)
        named = "{factor}" if definition.part.constant is not None else f"{definition.part} = {{factor}}"
        sentence = f"{definition.whole} is {{found}}, which {named} does not divide"
        found[definition.symbol] = sizes.quotient(definition.symbol, whole, part, sentence)
    for graph in graphs:
        for symbol in entry.graph_symbols(graph) | {s for port in graph.inputs for d in port.layout for a in d
                                                    for s in a.size.symbols}:
            found.setdefault(symbol, Size.symbol(sizes.rows if symbol == LEADING else symbol))
    _agreed([check for graph in graphs for check in graph.checks], found)
    return found


def _agreed(checks: Sequence[Check], found: dict[str, Size]) -> None:
    """What the sizes promise one another: an open symbol that must equal others is what they are. Raises Unfit."""
    for check in checks:
        left, right = check.left.substitute(found), check.right.substitute(found)
        difference = (left - right).constant
        if difference is not None:
            if difference < 0 or (difference and check.relation == "equal"):
                raise Unfit(f"{check.message}: {left} and {right}")
        elif check.relation == "equal":
            for one, other in ((left, right), (right, left)):
                name = next(iter(one.symbols), None)
                if name is not None and one == Size.symbol(name) and name not in other.symbols:
                    for symbol, size in found.items():
                        found[symbol] = size.substitute({name: other})
                    break


def callee(graph: Graph, numbers: Mapping[str, Size], shapes: Mapping[str, Sequence[Size]], sizes: Sizes) -> dict[str, Size]:
    """The symbols of a callee's graph for inputs of these shapes, in the caller's symbols."""
    found = dict(numbers)
    for step in entry.plan(graph, known=found):
        if isinstance(step, entry.Lead):
            found[LEADING] = _leading([shapes[name][0] for name, _ in step.inputs if name in shapes])
        elif isinstance(step, entry.Bind):
            found[step.symbol] = shapes[step.input][step.dim]
        elif isinstance(step, entry.Solve):
            left = shapes[step.input][step.dim] - step.offset.substitute(found)
            found[step.symbol] = sizes.quotient(step.symbol, left, step.factor.substitute(found), step.sentence)
        elif isinstance(step, entry.Define):
            whole, part = step.whole.substitute(found), step.part.substitute(found)
            found[step.symbol] = sizes.quotient(step.symbol, whole, part, step.sentence)
    return found


def _leading(leads: Sequence[Size]) -> Size:
    """Leading dimensions broadcast: one of them unless it is 1."""
    return next((size for size in leads if size.constant != 1), leads[0] if leads else Size.of(1))

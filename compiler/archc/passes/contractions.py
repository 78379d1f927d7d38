"""Which contractions a kernel computes itself, and what it computes around them.

A contraction is a sum of products that is larger than each factor. A library does a bare one best; a kernel does it where a
factor is larger than all that it is computed from, and so need not be written ("expand then contract": a basis), or where its
result is a score, consumed by later reductions in the same kernel (softmax(q k^T) v). What has a factor in common with such a one
stands beside it, and reads that factor once.

    y[n, o] = sum[i, k](coef[o, i, k] * basis(x[n, i], k))           parallel over n; the basis lives in the cache only
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from archc.checker.types import Axis, Type
from archc.ir.build import apply
from archc.ir.graph import Graph, Node, topological, users
from archc.passes.products import Product, product

NOMINAL = 16
"""The size of every axis, where sizes are compared that are known at run time only."""

EXPANDS = 1.5
"""How much larger than what they are computed from factors must be, together, for a kernel to be worth it."""

Sides = tuple[Node, Node]


def over(event: Node) -> frozenset[Axis]:
    """The axes that a reduction goes over."""
    assert isinstance(event.attrs, frozenset)
    return event.attrs


def sides(total: Node) -> Sides | None:
    """The two factors of a contraction; None for any other node. Each of the many factors of a product goes to the side that has
    its axes, to the one that is computed if both have them."""
    if total.op not in ("sum", "mean") or total.args[0].op not in ("mul", "div", "neg") or total.type.dtype != "float":
        return None
    whole = product(total.args[0])
    groups: list[tuple[frozenset[Axis], list[tuple[Node, bool]]]] = []
    for factor in sorted(whole.factors, key=lambda item: (-len(item[0].axes), not item[0].args)):
        home = next((i for i, (axes, _) in enumerate(groups) if factor[0].axes <= axes), len(groups))
        if home == len(groups):
            groups.append((factor[0].axes, []))
        groups[home][1].append(factor)
    if len(groups) != 2 or not over(total) <= groups[0][0] & groups[1][0] or groups[0][0] | groups[1][0] != total.args[0].axes:
        return None
    return _written(groups[0][1], whole.negative), _written(groups[1][1], False)


def _written(factors: Sequence[tuple[Node, bool]], negative: bool) -> Node:
    """The product of factors, those with few axes first: what is the same for many elements is multiplied once."""
    found: Node | None = None
    for axes in sorted({factor.axes for factor, _ in factors}, key=lambda axes: (len(axes), sorted(a.name for a in axes))):
        part = Product(tuple(factor for factor in factors if factor[0].axes == axes), negative and found is None).node()
        assert part is not None
        found = part if found is None else apply("mul", found, part)
    assert found is not None
    return found


# -------------------------------------------------------------------------------------------------- which ones
@dataclass
class Around:
    """A graph, the operations that a kernel may compute, and the names of those that reduce or go over axes."""

    graph: Graph
    fusable: Container[Node]
    reductions: Container[str]
    found: dict[Node, Sides] = field(init=False)

    def __post_init__(self) -> None:
        self.order = list(topological(self.graph.roots))
        self.reading = users(self.graph.roots)
        self.roots = set(self.graph.roots)
        self.found = {n: both for n in self.order if (both := sides(n))}

    def back(self, starts: Iterable[Node], through: Container[Node] = (), reductions: bool = True) -> tuple[set[Node], set[Node]]:
        """What a kernel computes for these values, and what it is given for that."""
        inner: set[Node] = set()
        leaves: set[Node] = set()
        stack = list(starts)
        while stack:
            current = stack.pop()
            if current in inner or current in leaves:
                continue
            whole = current in through if current in self.found else (
                current in self.fusable and (reductions or current.op not in self.reductions))
            if whole:
                inner.add(current)
                stack.extend(current.args)
            elif current.op not in ("const", "size", "iota"):
                leaves.add(current)
        return inner, leaves

    def factors(self, total: Node) -> Iterator[tuple[Node, set[Node]]]:
        """The factors of a contraction, with what they are computed from."""
        for factor, _ in product(total.args[0]).factors:
            if factor.axes:
                yield factor, {leaf for leaf in self.back([factor])[1] if leaf.axes}

    def consumed(self, total: Node) -> bool:
        """Whether all that follows from a value is reduced again before it leaves a kernel."""
        stack, seen = [total], set()
        while stack:
            current = stack.pop()
            if current in self.roots:
                return False
            for reader in self.reading[current]:
                if reader not in self.fusable:
                    return False
                if reader not in seen and not (reader.op in self.reductions and total.axes - reader.axes):
                    seen.add(reader)
                    stack.append(reader)
        return True

    def returns(self, total: Node) -> bool:
        """Whether a reduction over an axis of this value comes back to it: it is normalized."""
        for current in self.after(total):
            reduces = current.op in self.reductions and current.args[0].axes >= total.axes
            if reduces and any(later.axes >= total.axes for later in (current, *self.after(current))):
                return True
        return False

    def after(self, start: Node) -> Iterator[Node]:
        seen: set[Node] = set()
        stack = [start]
        while stack:
            for reader in self.reading[stack.pop()]:
                if reader in self.fusable and reader not in seen and reader not in self.found:
                    seen.add(reader)
                    stack.append(reader)
                    yield reader


def chosen(around: Around) -> tuple[dict[Node, None], set[Node]]:
    """The contractions that a kernel computes, and which of them are scores."""
    taken: dict[Node, None] = {}
    scores: set[Node] = set()
    by_source: dict[Node, dict[Node, None]] = {}
    of_source: dict[Node, list[Node]] = {}
    for total, (left, right) in around.found.items():
        closes = False
        for factor, leaves in around.factors(total):
            closes |= bool(leaves & scores) and factor.axes >= over(total)
            if factor in leaves or not leaves:
                continue
            source = max(leaves, key=lambda leaf: (count(leaf.type), leaf.op == "input"))
            by_source.setdefault(source, {})[factor] = None
            of_source.setdefault(source, []).append(total)
        if closes:
            taken[total] = None
        elif around.consumed(total) and (left.axes & right.axes - over(total) or around.returns(total)):
            taken[total] = None
            scores.add(total)
    for source, factors in by_source.items():
        if sum(count(factor.type) for factor in factors) > EXPANDS * count(source.type):
            taken.update(dict.fromkeys(of_source[source]))
    sources = {source for source, totals in of_source.items() if any(total in taken for total in totals)}
    shared = {factor for total in taken for factor, leaves in around.factors(total) if factor in leaves} | sources
    for total in around.found:
        parts = [part for factor, leaves in around.factors(total) for part in (factor, *leaves)]
        if total not in taken and any(part in shared for part in parts):
            taken[total] = None
    return {total: None for total in around.found if total in taken}, scores


def count(type_: Type) -> int:
    """How many elements, at nominal sizes."""
    return type_.count.evaluate(dict.fromkeys(type_.count.symbols, NOMINAL))


# --------------------------------------------------------------------------------------------------- kernels
def parallel(members: Container[Node], events: Iterable[Node], sinks: Sequence[Node]) -> frozenset[Axis]:
    """The axes along which a kernel with these results is independent, and computes no factor twice: those that all results and
    all computed factors have, and that nothing is summed over."""
    events = list(events)
    common = [sink.axes for sink in sinks]
    for event in events:
        for side in sides(event) or ():
            if any(part in members and part.args and part.axes == side.axes for part, _ in product(side).factors):
                common.append(side.axes)
    summed = frozenset[Axis]().union(*map(over, events))
    return frozenset.intersection(*common) - summed if common else frozenset()


def kernels(around: Around) -> list[tuple[dict[Node, None], list[Node]]]:
    """Members and results of each kernel that has contractions. A member may be computed outside as well; a result is not."""
    taken, scores = chosen(around)
    made: list[set[Node]] = []
    for total in taken:
        for at, members in enumerate(made):
            needs = around.back(total.args, members & taken.keys())[0] & taken.keys()
            if needs <= scores and (grown := _with(around, taken, members, total)):
                made[at] = grown
                break
        else:
            if alone := _with(around, taken, set(), total):
                made.append(alone)
    found: list[tuple[dict[Node, None], list[Node]]] = []
    for members in made:
        members = _onward(around, taken, members)
        results = _results(around, taken, members)
        other = [(m, set(r)) for m, r in found]
        before = any(_waits(around, m, set(results)) for m, _ in other)
        behind = any(_waits(around, members, r) for _, r in other)
        known = {n for m, _ in other for n in _dependent(around, taken, m)}
        twice = known & _dependent(around, taken, members)
        if not (twice or (before and behind) or any(result.type.dtype != "float" for result in results)):
            found.append(({n: None for n in around.order if n in members}, results))
    return found


def _with(around: Around, taken: Mapping[Node, None], members: set[Node], total: Node) -> set[Node] | None:
    """The kernel with one more value and what it is computed from; None where they do not go together."""
    for deep in (True, False):
        grown = members | {total} | around.back(total.args, members & taken.keys(), deep)[0]
        if _stands(around, taken, grown):
            return grown
    return None


def _onward(around: Around, taken: Mapping[Node, None], members: set[Node]) -> set[Node]:
    """The kernel with what is computed from its values."""
    for current in around.order:
        if current in members or current not in around.fusable or current in around.found:
            continue
        if any(arg in members for arg in current.args) and _dependent(around, taken, members) & set(current.args):
            members = _with(around, taken, members, current) or members
    return members


def _dependent(around: Around, taken: Mapping[Node, None], members: Container[Node]) -> set[Node]:
    """Members that follow from a contraction."""
    found: set[Node] = set()
    for current in around.order:
        if current in members and (current in taken or any(arg in found for arg in current.args)):
            found.add(current)
    return found


def _results(around: Around, taken: Mapping[Node, None], members: set[Node]) -> list[Node]:
    return [n for n in around.order if n in _dependent(around, taken, members)
            and (n in around.roots or any(reader not in members for reader in around.reading[n]))]


def _stands(around: Around, taken: Mapping[Node, None], members: set[Node]) -> bool:
    """Whether a kernel has parallel axes, and needs nothing that waits for it."""
    results = _results(around, taken, members)
    events = [n for n in members if n.op in around.reductions]
    return bool(results) and bool(parallel(members, events, results)) and not _waits(around, members, set(results))


def _waits(around: Around, members: Container[Node], results: set[Node]) -> bool:
    """Whether what a kernel needs from outside depends on these results."""
    tainted: set[Node] = set()
    for current in around.order:
        behind = any(arg in tainted or (arg in results and arg not in members) for arg in current.args)
        if current not in members:
            if behind or any(arg in results for arg in current.args):
                tainted.add(current)
        elif behind:
            return True
    return False

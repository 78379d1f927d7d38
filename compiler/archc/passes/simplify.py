"""Rewrite by the declared rules and the structural ones, bottom up, until nothing applies.

Each sweep visits every node once, arguments first; what a rule makes below a node's root is visited by the next sweep. A node
that no rule changed is remembered, so that later sweeps pass it by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from archc.ir import build
from archc.ir.graph import Graph, Node, Notes, carry, node, topological
from archc.ops.table import OPS, SMOOTH
from archc.passes.base import Keeps, Pass, also_inside
from archc.rules.pattern import heads, instantiate, match, may_match
from archc.rules.read import Rule, rules
from archc.rules.structure import rewrites

DEFAULT = frozenset({Keeps.EXACT, Keeps.UP_TO_REASSOCIATION})
SWEEPS = 12  # of a graph
STEPS = 24  # of one node in one sweep
Table = dict[str, list[tuple[tuple[str | None, ...], Rule]]]  # by the operation of the left side: those of its operands, the rule

fired: Counter[str] = Counter()
"""How often each rule has been applied, by name: which rules are alive."""


@cache
def _rules_by_op(keeps: frozenset[Keeps]) -> Table:
    found: Table = {}
    for rule in rules():
        if rule.keeps in keeps:
            found.setdefault(rule.left.op, []).append((heads(rule.left), rule))
    return found


def simplify(graph: Graph, keeps: Iterable[Keeps] = DEFAULT) -> Graph:
    """The graph with every rule applied that promises one of `keeps`."""
    by_op = _rules_by_op(frozenset(keeps))
    settled: set[Node] = set()
    meetings: dict[tuple[str, frozenset[Node]], Node] = {}
    for _ in range(SWEEPS):
        new: dict[Node, Node] = {}
        for current in topological(graph.roots):
            if current in settled:
                new[current] = current
                continue
            args = tuple(new[arg] for arg in current.args)
            rebuilt = current if args == current.args else node(current.op, args, current.attrs, current.type)
            new[current] = _settle(rebuilt, by_op, settled, meetings)
        if all(old is now for old, now in new.items()):
            break
        graph = graph.with_roots((new[root] for root in graph.roots), _places(carry(graph.notes, new), new))
    return graph


def _places(notes: Notes, new: dict[Node, Node]) -> Notes:
    """What a rule made below a node's root has the place of that node."""
    spans, known = dict(notes.spans), set(new.values())
    for old, now in new.items():
        if old is not now and old in spans:
            below = list(now.args)
            while below:
                made = below.pop()
                if made not in known and made not in spans and made.args:
                    spans[made] = spans[old]
                    below.extend(made.args)
    return replace(notes, spans=spans)


def _settle(current: Node, by_op: Table, settled: set[Node],
            meetings: dict[tuple[str, frozenset[Node]], Node]) -> Node:
    for _ in range(STEPS):
        if current in settled:
            return current
        step = _step(current, by_op)
        if step is None:
            if all(arg in settled for arg in current.args):
                settled.add(current)
            break
        current = step
    row = OPS.get(current.op)
    if row is not None and row.commutes:
        # x + y and y + x are one: the first that was met.
        return meetings.setdefault((current.op, frozenset(current.args)), current)
    return current


def _step(current: Node, by_op: Table) -> Node | None:
    for rewrite in rewrites(current.op):
        result = rewrite(current)
        if result is not None and result is not current:
            return result
    commutes = current.op in OPS and OPS[current.op].commutes
    for wanted, rule in by_op.get(current.op, ()):
        if may_match(wanted, current, commutes) and (result := apply(rule, current)):
            fired[rule.name] += 1
            return result
    return None


def apply(rule: Rule, current: Node) -> Node | None:
    """What a rule makes of a node: of its dtype and axes. None if the rule does not apply."""
    for bound in match(rule.left, current, {}):
        if rule.holds(bound):
            result = instantiate(rule.right, bound)
            if result.type.dtype != current.type.dtype:
                result = _converted(result, current)
            return build.expand(result, current.axes)
    return None


def _converted(result: Node, current: Node) -> Node:
    """A number on the right side of a rule is an int, a float or complex, as the left side is."""
    if result.type.dtype in ("int", "float") and current.type.dtype in SMOOTH:
        return build.converted(result if result.op != "const" else build.const(float(result.attrs)), current.type.dtype)  # type: ignore[arg-type]
    raise TypeError(f"a rule made {result.type} of {current.type}")


SIMPLIFY = Pass("simplify", "apply the algebraic rules until none applies", also_inside(simplify), Keeps.UP_TO_REASSOCIATION)
SIMPLIFY_EXACTLY = Pass("simplify-exactly", "apply the rules that keep every bit",
                        also_inside(lambda graph: simplify(graph, (Keeps.EXACT,))))
SIMPLIFY_FINITE = Pass("simplify-finite", "apply all rules, as if nothing were infinite or nan",
                       also_inside(lambda graph: simplify(graph, Keeps)), Keeps.ON_FINITE_INPUTS)

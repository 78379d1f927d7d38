"""A pass: a function from graph to graph with a name, a sentence and a promise; and the one runner of them.

The runner verifies after every pass, so that a broken graph is blamed on the pass that broke it. It reads no clock and writes
no file: whoever wants times gives a clock, whoever wants dumps gives a function that gets each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import wraps

from archc.diagnostics.model import CompilerBug
from archc.ir.graph import Call, Graph, Scan, node, rewrite, topological
from archc.ir.verify import verify as verify_graph
from archc.rules.keeps import Keeps

__all__ = ["Keeps", "Oracle", "Pass", "Step", "run"]


@dataclass(frozen=True)
class Pass:
    name: str
    sentence: str
    run: Callable[[Graph], Graph]
    keeps: Keeps = Keeps.EXACT


@dataclass(frozen=True)
class Step:
    """What one pass did; `seconds` is 0 without a clock."""

    number: int
    done: Pass
    before: Graph
    after: Graph
    seconds: float


Oracle = Callable[[Graph, Graph], str | None]
"""Evaluates two graphs and says in a sentence how they differ; None where they agree."""


def also_inside(transform: Callable[[Graph], Graph]) -> Callable[[Graph], Graph]:
    """The transformation, applied to the bodies of loops and to the bodies and derivatives of calls as well. It must keep the
    type of every output, which is that of a result outside. What a kernel computes stays as it is: its target prepares that."""

    @wraps(transform)
    def deep(graph: Graph) -> Graph:
        new: dict[Call | Scan, Call | Scan] = {}
        for attrs in dict.fromkeys(n.attrs for n in topological(graph.roots)):
            if isinstance(attrs, Call) and not attrs.fused:
                new[attrs] = replace(attrs, body=deep(attrs.body), vjp=deep(attrs.vjp))
            elif isinstance(attrs, Scan):
                new[attrs] = replace(attrs, body=deep(attrs.body))
        if new:
            carrying = Call | Scan
            graph = rewrite(graph, lambda n: node(n.op, n.args, new[n.attrs], n.type)
                            if isinstance(n.attrs, carrying) and n.attrs in new else None)
        return transform(graph)

    return deep


def run(
    graph: Graph,
    passes: Iterable[Pass],
    *,
    verify: bool = True,
    after: Callable[[Step], None] | None = None,
    oracle: Oracle | None = None,
    clock: Callable[[], float] | None = None,
) -> Graph:
    """The graph after the passes. Raises CompilerBug that names the pass which made an invalid graph or changed its value.

    `after` is called with every step (dumps, times); `oracle` is for tests, which pay for evaluating each step.
    """
    for number, current in enumerate(passes):
        started = clock() if clock else 0.0
        result = current.run(graph)
        seconds = clock() - started if clock else 0.0
        if after:
            after(Step(number, current, graph, result, seconds))
        if verify:
            verify_graph(result, after=f"the pass '{current.name}'")
        if oracle and current.keeps is not Keeps.NOTHING and (difference := oracle(graph, result)):
            raise CompilerBug(f"the pass '{current.name}' changed the value of the graph '{graph.name}': {difference}")
        graph = result
    return graph


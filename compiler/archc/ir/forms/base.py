"""A structural form of the graph: how a node of it is verified and what it computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from archc.diagnostics.model import CompilerBug
from archc.ir.graph import Node
from archc.ir.values import Run, Value


class Wrong(Exception):
    """What is wrong with a node, in one sentence. `archc.ir.verify` makes a CompilerBug of it."""


def demand(holds: bool, message: str) -> None:
    if not holds:
        raise Wrong(message)


@dataclass(frozen=True)
class Form:
    """`verify(node)` raises Wrong. `evaluate(node, args, run)` gives the value, its axes in the run's order."""

    name: str
    verify: Callable[[Node], None]
    evaluate: Callable[[Node, tuple[Value, ...], Run], Value]


def by_meaning(node: Node, run: Run) -> Value:
    """The value of an operation that numpy does not spell: that of its meaning, on the same arguments."""
    from archc.ir.evaluate import evaluate_nodes
    from archc.ir.meaning import meaning

    meant = meaning(node)
    if meant is None:
        raise CompilerBug(f"{node.op} has neither a numpy spelling nor a meaning")
    evaluate_nodes([meant], run)
    return run.values[meant]

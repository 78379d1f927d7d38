"""The passes that bring a graph to the operations that torch has, in order."""

from __future__ import annotations

from archc.codegen.torch.factors import SMALL_FIRST
from archc.codegen.torch.guards import CHOICES, GUARD
from archc.codegen.torch.norms import STANDARDISE
from archc.codegen.torch.recognise import RECOGNISE
from archc.ir.graph import Graph
from archc.passes.base import Pass
from archc.passes.lift import LIFT
from archc.passes.share import SHARE

PREPARE: tuple[Pass, ...] = (CHOICES, LIFT, GUARD, STANDARDISE, SMALL_FIRST, RECOGNISE, SHARE)


def prepared(graph: Graph) -> Graph:
    """The graph in the operations that torch has."""
    for current in PREPARE:
        graph = current.run(graph)
    return graph

"""Random graphs as `.arch` source: checked and lowered again they have the same digest, and the same value."""

from __future__ import annotations

import random

import numpy as np
import pytest

from archc.ir.digest import digest
from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph
from archc.ir.lower import lower_graph
from archc.ir.to_source import to_source
from archc.ir.verify import verify
from tests.checker.programs import unit
from tests.fuzz.graphs import random_graph, random_inputs
from tests.shares import shares


def again(graph: Graph) -> Graph:
    """The graph through source, checker and lowering."""
    return lower_graph(unit(to_source(graph, "Again")))


def renamed(graph: Graph, other: Graph) -> dict[str, str]:
    """Names of the second graph's ports and numbers for those of the first."""
    names = dict(zip(graph.numbers, other.numbers, strict=True))
    for role in ("input", "number", "param", "buffer"):
        mine, theirs = ([port.name for port in g.inputs if port.role == role] for g in (graph, other))
        names |= dict(zip(mine, theirs, strict=True))
    return names


@pytest.mark.parametrize("seeds", [*shares(range(60), range(60, 200), range(200, 1000)), range(5000, 5030)])
def test_source_round_trip(seeds: range) -> None:
    for seed in seeds:
        graph = random_graph(random.Random(seed), 6 + seed % 20, smooth=seed % 2 == 0, written=True, loops=seed % 3 == 0,
                             waves=seed >= 5000)
        first = again(graph)
        verify(first)
        assert digest(first) == digest(graph), seed
        inputs, numbers = random_inputs(graph, random.Random(seed))
        names = renamed(graph, first)
        expected = evaluate(graph, inputs, numbers)
        result = evaluate(first, {names[n]: v for n, v in inputs.items()}, {names[n]: v for n, v in numbers.items()})
        for left, right in zip((*expected.outputs.values(), *expected.updates.values(), *expected.penalties.values()),
                               (*result.outputs.values(), *result.updates.values(), *result.penalties.values()), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9, err_msg=str(seed))

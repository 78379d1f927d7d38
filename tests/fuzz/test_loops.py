"""Random graphs of loops, reads and accumulations: text, digest, source, every pass, and what is printed for torch."""

from __future__ import annotations

import random

import numpy as np
import pytest

from archc.ir.digest import digest
from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph, Scan, topological
from archc.ir.text import parse, write
from archc.ir.to_source import to_source
from archc.ir.verify import verify
from archc.passes.base import run
from tests.checker.programs import graph as checked
from tests.codegen.harness import compare, without_draws
from tests.fuzz.disguise import disguised
from tests.fuzz.graphs import random_graph, random_inputs
from tests.passes.test_random_graphs import KEEPING, differ
from tests.shares import shares

BLOCKS = shares(range(30), range(30, 230), range(230, 2030))


def graph_of(seed: int) -> Graph:
    """Every second one is of what the language can say."""
    return random_graph(random.Random(seed), 4 + seed % 10, smooth=seed % 4 == 0, written=seed % 2 == 1, wide=True)


@pytest.mark.parametrize("seeds", BLOCKS)
def test_loops(seeds: range) -> None:
    loops = 0
    for seed in seeds:
        graph = graph_of(seed)
        verify(graph)
        text, same = write(graph), digest(graph)
        assert parse(text) == graph, seed
        assert digest(disguised(graph, random.Random(seed))) == same, seed
        if seed % 2:
            assert digest(checked(to_source(graph, "Again"))) == same, seed
        inputs, numbers = random_inputs(graph, random.Random(seed))
        values = evaluate(graph, inputs, numbers)
        assert all(np.isfinite(array).all() for array in values.outputs.values() if array.dtype.kind == "f"), seed
        for current in KEEPING:
            run(graph, [current], oracle=lambda a, b: differ(a, b, inputs, numbers))  # noqa: B023
        printed = without_draws(graph)
        compare(printed, *random_inputs(printed, random.Random(seed)))
        loops += any(isinstance(node.attrs, Scan) for node in topological(graph.roots))
    assert loops > 0.6 * len(seeds)

"""Steps of random graphs along every axis of their inputs: where it is not refused, element after element gives the whole."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from archc.checker.types import LEADING, flat
from archc.diagnostics.model import UserError
from archc.ir.evaluate import evaluate
from archc.passes.step import stepped
from tests.codegen.harness import compare, without_draws
from tests.fuzz.graphs import random_graph, random_inputs
from tests.passes.steps import by_steps
from tests.shares import shares


@pytest.mark.parametrize("seeds", shares(range(80), range(80, 280), range(280, 1000)))
def test_steps_of_random_graphs(seeds: range) -> None:
    count: Counter[str] = Counter()
    for seed in seeds:
        grown = random_graph(random.Random(seed), 6 + seed % 20, smooth=seed % 2 == 0, written=True, loops=True)
        whole = replace(grown, updates=())
        inputs, numbers = random_inputs(whole, random.Random(seed))
        axes = dict.fromkeys(axis for port in whole.inputs if port.role == "input" for axis in flat(port.layout))
        for axis in (axis for axis in axes if axis.name != LEADING):
            try:
                made = stepped(whole, axis)
            except UserError:
                count["refused"] += 1
                continue
            expected, found = evaluate(whole, inputs, numbers).outputs, by_steps(whole, axis, inputs, numbers, made)
            for name, value in expected.items():
                np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-9, err_msg=f"{seed} {axis}")
            count["with states" if made.states else "without"] += 1
            if seed % 8 == 0:
                start = without_draws(made.graph)
                compare(start, *random_inputs(start, random.Random(seed)))
    assert count["with states"] > len(seeds) // 8 and count["without"] > len(seeds)

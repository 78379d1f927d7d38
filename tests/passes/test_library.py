"""Every layer of the standard library: the pipelines keep its value and its gradients, and the modules it is emitted as."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from archc import api
from archc.passes.base import run
from archc.passes.gradient import gradient
from archc.pipelines import INFERENCE, TORCH, TRAINING
from tests.fuzz.graphs import random_inputs
from tests.passes.test_random_graphs import cotangents, differ

STDLIB = Path(__file__).parents[2] / "stdlib"
LAYERS = [(f"std.{path.stem}", declared.name) for path in sorted(STDLIB.glob("*.arch"))
          for declared in api.open_program(f"std.{path.stem}").layers]


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(("source", "layer"), LAYERS)
def test_values_and_gradients(source: str, layer: str, mode: str) -> None:
    graph = api.graph(source, layer, mode=mode)
    inputs, numbers = random_inputs(graph, random.Random(1), 3)
    inputs |= {port.name: np.abs(inputs[port.name]) for port in graph.inputs if port.role == "buffer"}  # variances
    try:
        found = differ(graph, run(graph, TORCH), inputs, numbers)
    except ValueError as problem:
        pytest.skip(f"random sizes do not fit: {problem}")
    assert found is None
    back = gradient(graph)
    given = {**inputs, **cotangents(back, inputs, numbers, np.random.default_rng(0))}
    assert differ(back, run(graph, TRAINING), given, numbers) is None


@pytest.mark.parametrize(("source", "layer"), LAYERS)
def test_modules_that_call_modules(source: str, layer: str) -> None:
    for module in api.package(api.open_program(source), [layer]):
        for method in module.methods:
            for graph in (method.train, method.eval):
                run(graph, INFERENCE)

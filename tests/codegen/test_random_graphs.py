"""Random graphs: printed, run, and compared with the evaluator; gradients with the derived graph."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from archc.ir.evaluate import evaluate
from archc.ops.table import SMOOTH
from archc.passes.gradient import gradient
from tests.codegen.harness import arguments, callable_of, compare, same, without_draws
from tests.fuzz.graphs import random_graph, random_inputs

WAVES = 1000  # blocks from here on are of graphs with complex numbers
BLOCKS = [1000, 1001, *range(8), *(pytest.param(block, marks=pytest.mark.slow) for block in (*range(8, 16), 1002, 1003)),
          *(pytest.param(block, marks=pytest.mark.sweep) for block in (*range(16, 40), *range(1004, 1012)))]


@pytest.mark.parametrize("block", BLOCKS)
def test_values(block: int) -> None:
    for seed in range(25 * block, 25 * block + 25):
        rng = random.Random(seed)
        graph = without_draws(random_graph(rng, waves=block >= WAVES))
        compare(graph, *random_inputs(graph, rng))


def _nudged(array: Any) -> Any:
    """The same but for rounding."""
    return array * (1 + 1e-13) if np.asarray(array).dtype.kind in "fc" else array


@pytest.mark.parametrize("block", BLOCKS)
def test_gradients(block: int) -> None:
    for seed in range(1000 + 15 * block, 1015 + 15 * block):
        rng = random.Random(seed)
        graph = without_draws(random_graph(rng, smooth=seed % 2 == 0, waves=block >= WAVES))
        inputs, numbers = random_inputs(graph, rng)
        call, text = callable_of(graph)
        args = arguments(graph, inputs, numbers)
        ports = {
            port: arg
            for port, arg in zip(graph.inputs, args, strict=False)
            if port.role in ("input", "param") and port.type.dtype in SMOOTH
        }
        for arg in ports.values():
            arg.requires_grad_()
        results = call(*args)
        outputs = [*results[: len(graph.outputs)], *results[len(graph.outputs) + len(graph.updates) :]]
        floats = [y for y in outputs if y.is_floating_point() or y.is_complex()]
        derived = gradient(graph)
        cotangents = [port for port in derived.inputs if port not in graph.inputs]
        draw = np.random.default_rng(seed)
        given = {port.name: draw.uniform(-1, 1, y.shape) + (1j * draw.uniform(-1, 1, y.shape) if y.is_complex() else 0)
                 for port, y in zip(cotangents, floats, strict=True)}
        total = torch.stack(
            [(y * torch.as_tensor(given[port.name]).conj()).sum().real for port, y in zip(cotangents, floats, strict=True)]
        ).sum()
        if not total.requires_grad:
            continue
        found = torch.autograd.grad(total, list(ports.values()), allow_unused=True)
        wanted = evaluate(derived, {**inputs, **given}, numbers)
        nearby = evaluate(derived, {**{name: _nudged(array) for name, array in inputs.items()}, **given}, numbers)
        for port, arg, mine in zip(ports, ports.values(), found, strict=True):
            here, there = (result.outputs[f"d_{port.name}"] for result in (wanted, nearby))
            if not np.allclose(here, there, rtol=1e-6, atol=1e-9):
                continue  # at a corner, such as the deviation of equal numbers, rounding decides
            same(torch.zeros_like(arg) if mine is None else mine, wanted.outputs[f"d_{port.name}"], text, 1e-9)

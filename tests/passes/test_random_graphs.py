"""On random graphs: every pass keeps the value, and derivatives of both directions and orders agree with differences."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph
from archc.passes.base import run
from archc.passes.gradient import GRADIENT, gradient, jvp
from archc.passes.linearise import differentiable, results
from archc.pipelines import FORWARD, PASSES, TRAINING
from archc.probe import differ
from tests.fuzz.graphs import random_graph, random_inputs
from tests.passes.oracle import inner

KEEPING = [p for p in PASSES.values() if p.keeps.value != "another function"]
BLOCK = 20  # seeds in one test
FEW, WAVES = range(4), range(1000, 1002)  # of the last, graphs with complex numbers


def blocks() -> list[Any]:
    slow, sweep = (4, 5, 6, 7, 8, 9, 1002, 1003), (*range(10, 50), *range(1004, 1020))
    return [*FEW, *WAVES, *(pytest.param(block, marks=pytest.mark.slow) for block in slow),
            *(pytest.param(block, marks=pytest.mark.sweep) for block in sweep)]


def graph_of(rng: random.Random, block: int, most: int, smooth: bool = False, loops: bool = False) -> Graph:
    return random_graph(rng, rng.randint(3 + (not smooth), most), smooth=smooth, loops=loops, waves=block >= WAVES[0])


@pytest.mark.parametrize("block", blocks())
def test_every_pass_keeps_the_value(block: int) -> None:
    for seed in range(BLOCK * block, BLOCK * (block + 1)):
        rng = random.Random(seed)
        graph = graph_of(rng, block, 24, loops=seed % 2 == 0)
        inputs, numbers = random_inputs(graph, rng)
        for current in KEEPING:
            run(graph, [current], oracle=lambda a, b: differ(a, b, inputs, numbers))  # noqa: B023


@pytest.mark.parametrize("block", blocks())
def test_derivatives_agree_with_differences(block: int) -> None:
    for seed in range(BLOCK * block, BLOCK * (block + 1)):
        rng = random.Random(seed)
        graph = graph_of(rng, block, 14, smooth=True, loops=seed % 2 == 0)
        inputs, numbers = random_inputs(graph, rng, 3)
        if results(graph):
            check_along_a_line(graph, inputs, numbers, np.random.default_rng(seed), order=2)


@pytest.mark.parametrize("block", blocks())
def test_both_directions_agree_where_derivatives_jump(block: int) -> None:
    for seed in range(BLOCK * block, BLOCK * (block + 1)):
        rng = random.Random(seed)
        graph = graph_of(rng, block, 24, loops=seed % 2 == 0)
        inputs, numbers = random_inputs(graph, rng, 3)
        if results(graph):
            check_along_a_line(graph, inputs, numbers, np.random.default_rng(seed), order=0)


@pytest.mark.parametrize("block", blocks())
def test_the_pipelines_keep_the_derivative(block: int) -> None:
    for seed in range(BLOCK * block, BLOCK * (block + 1)):
        rng = random.Random(seed)
        graph = graph_of(rng, block, 14, smooth=True, loops=seed % 2 == 0)
        inputs, numbers = random_inputs(graph, rng, 3)
        for passes, plain in ((TRAINING, GRADIENT.run), (FORWARD, jvp)):
            before, after = plain(graph), run(graph, passes)
            given = {**inputs, **cotangents(before, inputs, numbers, np.random.default_rng(seed))}
            assert (found := differ(before, after, given, numbers)) is None, f"seed {seed}: {found}"


def cotangents(back: Graph, inputs: Any, numbers: Any, draw: np.random.Generator) -> dict[str, Any]:
    """Random arrays for the ports that a derivative has added, of the shapes of what they belong to."""
    from archc.checker.types import dim_size, flat
    from archc.ir import entry

    shapes = {port.name: np.shape(inputs[port.name]) for port in back.inputs if port.name in inputs}
    known = [port for port in back.inputs if port.name in inputs or port.name in numbers]
    plain = Graph("", tuple(known), (), numbers=back.numbers, definitions=back.definitions)
    sizes = entry.solve(plain, {k: v for k, v in numbers.items() if k in back.numbers}, shapes)
    found = {}
    for port in back.inputs:
        if port.name not in inputs and port.name not in numbers:
            assert all(axis.name for axis in flat(port.layout))
            shape = [dim_size(dim).evaluate(sizes) for dim in port.layout]
            found[port.name] = normal(draw, shape, port.type.dtype == "complex")
    return found


def normal(draw: np.random.Generator, shape: Any, is_complex: bool) -> Any:
    return draw.normal(size=shape) + (1j * draw.normal(size=shape) if is_complex else 0)


def check_along_a_line(graph: Graph, inputs: Any, numbers: Any, draw: np.random.Generator, *, order: int) -> None:
    """<cotangent, J t> three ways: by gradient, by jvp, and for an order of 1 or more by a difference along t."""
    back, forward = gradient(graph), jvp(graph)
    given = cotangents(back, inputs, numbers, draw)
    moving = {p.name: normal(draw, np.shape(inputs[p.name]), p.type.dtype == "complex") for p in differentiable(graph, None)}
    pulled = evaluate(back, {**inputs, **given}, numbers).outputs
    pushed = evaluate(forward, {**inputs, **{f"t_{name}": t for name, t in moving.items()}}, numbers).outputs
    names = [port.name for port in back.inputs if port.name in given]
    outputs = results(graph)
    reverse = sum(inner(pulled[f"d_{name}"], t) for name, t in moving.items())
    ahead = sum(inner(pushed[f"t_{o.name}"], given[name]) for o, name in zip(outputs, names, strict=True))

    size = 1 + sum(float(np.sum(np.abs(pulled[f"d_{name}"] * t))) for name, t in moving.items())
    assert abs(reverse - ahead) < 1e-8 * size
    if order == 0:
        return

    def value(step: float) -> float:
        found = evaluate(graph, {**inputs, **{name: inputs[name] + step * t for name, t in moving.items()}}, numbers)
        every = {**found.outputs, **found.penalties}
        return sum(inner(every[o.name], given[name]) for o, name in zip(outputs, names, strict=True))

    h = 1e-3
    slope = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
    assert abs(reverse - slope) < 1e-4 * (size + abs(slope)), (reverse, slope)
    if order > 1:
        check_along_a_line(back, {**inputs, **given}, numbers, draw, order=order - 1)

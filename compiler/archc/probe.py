"""Random inputs for graphs, and whether two graphs agree on them: how the value that a pass must keep is looked at."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from archc.checker.sizes import Size
from archc.ir.entry import graph_symbols
from archc.ir.evaluate import evaluate
from archc.ir.graph import Accumulate, Graph, Node, Read, topological

TRIES = 20
"""Draws of sizes before a graph is left alone: whose constraints these do not fit is not compared."""


def difference(before: Graph, after: Graph) -> str | None:
    """How two graphs differ on random inputs, in a sentence; None where they agree, or where calls of sub-layers have no value
    here. Only what is finite before is compared: some rules hold on finite values alone."""
    if any(current.op == "member" for current in topological(before.roots)):
        return None
    for seed in range(TRIES):
        inputs, numbers = random_inputs(before, random.Random(seed))
        try:
            return differ(before, after, inputs, numbers, finite=True)
        except (ValueError, IndexError):
            continue
    return None


def differ(before: Graph, after: Graph, inputs: Mapping[str, Any], numbers: Mapping[str, Any] | None = None, *,
           tolerance: float = 1e-9, finite: bool = False) -> str | None:
    """How two graphs differ on the same inputs, in a sentence. Raises as `evaluate` does."""
    import numpy as np

    a, b = evaluate(before, inputs, numbers), evaluate(after, inputs, numbers)
    for kind in ("outputs", "updates", "penalties"):
        left, right = getattr(a, kind), getattr(b, kind)
        if left.keys() != right.keys():
            return f"other {kind}"
        for name, value in left.items():
            known = np.isfinite(value * 1.0) if finite else np.ones(value.shape, bool)
            scale = 1 + np.abs(value[known] * 1.0).max(initial=0)
            if not np.allclose(value[known], right[name][known], rtol=tolerance, atol=tolerance * scale, equal_nan=True):
                return f"{kind[:-1]} {name} is {right[name].ravel()[:4]} and was {value.ravel()[:4]}"
    return None


def random_inputs(graph: Graph, rng: random.Random, largest: int = 4) -> tuple[dict[str, Any], dict[str, int | float]]:
    """(inputs, numbers) for `evaluate`: sizes from 1 to `largest`, floats from -2 to 2, ints inside what they index."""
    import numpy as np

    draw = np.random.default_rng(rng.randrange(2**32))
    whole = {d.whole: Size.symbol(d.symbol) * d.part for d in graph.definitions}
    symbols = sorted(graph_symbols(graph) | {s for d in graph.definitions for s in d.part.symbols | {d.symbol}})
    sizes = {name: rng.randint(1, largest) for name in symbols}
    for size, product in whole.items():
        sizes[str(size)] = product.evaluate(sizes)
    numbers: dict[str, int | float] = {name: sizes.get(name, 1) for name in graph.numbers}
    inputs: dict[str, Any] = {}
    for port in graph.inputs:
        shape = []
        for dim in port.layout:
            count = 1
            for axis in dim:
                count *= axis.size.evaluate(sizes)
            shape.append(count)
        if port.type.dtype == "bool":
            inputs[port.name] = draw.random(shape) < 0.5
        elif port.type.dtype == "int":
            inputs[port.name] = draw.integers(0, _limit(graph, port.node, sizes), shape)
        elif port.role == "number":
            numbers[port.name] = float(draw.uniform(0.1, 1.0))
        elif port.type.dtype == "complex":
            inputs[port.name] = draw.uniform(-1.4, 1.4, shape) + 1j * draw.uniform(-1.4, 1.4, shape)
        else:
            inputs[port.name] = draw.uniform(-2, 2, shape)
    return inputs, numbers


def _limit(graph: Graph, token: Node, sizes: dict[str, int]) -> int:
    """The least size of the axes that an int input indexes without a border."""
    found = [5]
    for current in topological(graph.roots):
        if isinstance(current.attrs, (Read, Accumulate)):
            found += [at.axis.size.evaluate(sizes) for at, index in zip(current.attrs.at, current.args[1:], strict=False)
                      if index is token and at.border in ("check", "trust")]
    return min(found)

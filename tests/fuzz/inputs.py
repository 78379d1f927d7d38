"""Random inputs for random graphs: sizes that fit, values on which the graphs are finite."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from archc.checker.sizes import Size
from archc.ir.entry import graph_symbols
from archc.ir.graph import Accumulate, Graph, Node, Read, topological


def random_inputs(graph: Graph, rng: random.Random, largest: int = 4) -> tuple[dict[str, Any], dict[str, int | float]]:
    """(inputs, numbers) for `evaluate`: sizes from 1 to `largest`, floats from -2 to 2, ints inside what they index."""
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
        if isinstance(current.attrs, Read | Accumulate):
            found += [at.axis.size.evaluate(sizes) for at, index in zip(current.attrs.at, current.args[1:], strict=False)
                      if index is token and at.border in ("check", "trust")]
    return min(found)

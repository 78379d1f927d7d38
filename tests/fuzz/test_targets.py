"""Random layers as modules: kernels in C++ against torch's own operations in float64, results and all gradients, for ragged sizes
and inputs that lie in memory in any order. Of a layer that differs, the smallest that does is shown as `.arch` text."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archc import api
from archc.ir.graph import Graph
from archc.ir.to_source import to_source
from archc.loaded import Namespace
from tests.codegen.cpp.test_modules import TARGETS, gradients
from tests.fuzz.graphs import random_graph, random_inputs
from tests.shares import shares

pytestmark = pytest.mark.compiler

TOLERANCE = 1e-9


def drawn(seed: int, steps: int | None = None) -> Graph:
    return random_graph(random.Random(seed), steps or 5 + seed % 14, smooth=seed % 4 > 0, written=True, loops=seed % 3 == 0)


def source(graph: Graph, name: str) -> str:
    """A layer whose params start at 0, and the fns that it needs under names that no other layer of the file has."""
    text = to_source(graph, name, {port.name: "0" for port in graph.inputs if port.role in ("param", "buffer")})
    for fn in re.findall(r"^fn (\w+)", text, re.MULTILINE):
        text = re.sub(rf"\b{fn}\b", f"{fn}_{name.lower()}", text)
    return text


def modules(graphs: dict[str, Graph], backend: str) -> Namespace:
    """The graphs as layers of one file, so that their kernels are built together."""
    text = "\n".join(source(graph, name) for name, graph in graphs.items())
    return Namespace(api.open_text(text, "drawn.arch"), f"drawn_{backend}_{'_'.join(graphs)}", {}, TARGETS[backend])


def scattered(x: Tensor, rng: random.Random) -> Tensor:
    """The same numbers, in another order or with gaps between them."""
    order = rng.sample(range(x.dim()), x.dim())
    turned = x.permute(order).contiguous().permute([order.index(dim) for dim in range(x.dim())])
    return torch.stack([turned, turned], -1)[..., 0] if rng.random() < 0.5 else turned


def difference(graph: Graph, layers: Sequence[Any], seed: int) -> str | None:
    """How the modules of these classes, one of each target, differ on random inputs."""
    rng = random.Random(seed)
    largest = rng.choice([1, 4, 4, 19])
    inputs, numbers = random_inputs(graph, rng, largest)
    arguments = [*(numbers[name] for name in graph.numbers), *(numbers[p.name] for p in graph.inputs if p.role == "number")]
    ours, theirs = (layer(*arguments, dtype=torch.float64) for layer in layers)
    stored = {port.name: torch.as_tensor(inputs[port.name]) for port in graph.inputs if port.role in ("param", "buffer")}
    given = [torch.as_tensor(inputs[port.name]) for port in graph.inputs if port.role == "input"]
    names = [port.name for role in ("param", "buffer") for port in graph.inputs if port.role == role]

    def computed(module: nn.Module, inputs: list[Tensor]) -> list[Tensor | None]:
        with torch.no_grad():
            for name, tensor in zip(names, [*module.parameters(), *module.buffers()], strict=True):
                tensor.copy_(stored[name])
        return gradients(module, inputs)

    wanted, found = computed(theirs, given), computed(ours, [scattered(x, rng) for x in given])
    nearby = computed(theirs, [x * (1 + 1e-13) if x.is_floating_point() else x for x in given])
    for number, tensors in enumerate(zip(found, wanted, nearby, strict=True)):
        mine, other, near = (torch.zeros((), dtype=torch.float64) if x is None else x.detach().double() for x in tensors)
        scale = max(1.0, float(other.abs().max())) if other.numel() else 1.0
        if not torch.allclose(near, other, rtol=1e-6, atol=1e-7 * scale, equal_nan=True):
            continue  # at a corner, such as the deviation of equal numbers, rounding decides
        if not torch.allclose(mine, other, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True):
            return f"result or gradient {number}, sizes up to {largest}:\n{mine}\nis not\n{other}"
    return None


def failure(seed: int, steps: int) -> str | None:
    """The text of a layer of so many steps and how it differs; None where it does not."""
    graphs = {"Drawn": drawn(seed, steps)}
    try:
        found = difference(graphs["Drawn"], [modules(graphs, backend).Drawn for backend in ("cpp", "torch")], seed)
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    return found and f"{source(graphs['Drawn'], 'Drawn')}\n{found}"


@pytest.mark.parametrize("seeds", shares(range(8), range(8, 32), range(32, 2000), 50))
def test_layers_of_random_graphs(seeds: range) -> None:
    graphs = {f"Drawn{seed}": drawn(seed) for seed in seeds}
    ours, theirs = (modules(graphs, backend) for backend in ("cpp", "torch"))
    for seed, (name, graph) in zip(seeds, graphs.items(), strict=True):
        if difference(graph, [getattr(ours, name), getattr(theirs, name)], seed):
            smallest = next(filter(None, (failure(seed, steps) for steps in range(1, 20))), "only beside the others of its file")
            pytest.fail(f"seed {seed}\n{smallest}")

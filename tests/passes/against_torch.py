"""Gradients of graphs, by the passes and by torch.autograd of a plain transcription, to the second order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph
from archc.ir.verify import verify
from archc.passes.base import run
from archc.passes.gradient import gradient
from archc.pipelines import SECOND_ORDER, TRAINING

TOLERANCE = 1e-9


def assert_gradients(graph: Graph, function: Callable[..., Any], inputs: Mapping[str, Any],
                     numbers: Mapping[str, Any] | None = None, *, order: int = 2, seed: int = 0) -> None:
    """Values, gradients of all float inputs and (order 2) gradients of these, for random cotangents, raw and simplified.

    `function` takes tensors by the names of the graph's inputs and gives a tensor for each output.
    """
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    tensors = {name: torch.tensor(value, requires_grad=value.dtype.kind == "f") for name, value in arrays.items()}
    wrt = [name for name, tensor in tensors.items() if tensor.requires_grad]
    draw = np.random.default_rng(7)

    def compare(graph: Graph, given: Mapping[str, Any], wanted: Mapping[str, Tensor]) -> None:
        verify(graph)
        found = evaluate(graph, {**arrays, **given}, numbers, seed=seed).outputs
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            plain = value.detach().numpy()
            scale = 1 + np.abs(plain).max(initial=0)
            np.testing.assert_allclose(found[name], plain, rtol=TOLERANCE, atol=TOLERANCE * scale, err_msg=name)

    results = function(**tensors)
    results = [results] if isinstance(results, Tensor) else list(results)
    outputs = [output.name for output in graph.outputs]
    compare(graph, {}, dict(zip(outputs, results, strict=True)))
    floats = [(name, value) for name, value in zip(outputs, results, strict=True) if value.is_floating_point()]
    first = {f"d_{name}": torch.tensor(draw.normal(size=tuple(value.shape)), requires_grad=True) for name, value in floats}
    pulls = _pull([value for _, value in floats], list(first.values()), [tensors[name] for name in wrt])
    given = {name: ct.detach().numpy() for name, ct in first.items()}
    back = gradient(graph)
    for each in (back, run(graph, TRAINING)):
        compare(each, given, {f"d_{name}": pull for name, pull in zip(wrt, pulls, strict=True)})
    if order < 2:
        return
    second = {f"d_d_{name}": torch.tensor(draw.normal(size=tuple(pull.shape))) for name, pull in zip(wrt, pulls, strict=True)}
    of = {**{name: tensors[name] for name in wrt}, **first}
    again = _pull(pulls, list(second.values()), list(of.values()))
    given |= {name: ct.numpy() for name, ct in second.items()}
    for each in (gradient(back), run(graph, SECOND_ORDER)):
        compare(each, given, {f"d_{name}": pull for name, pull in zip(of, again, strict=True)})


def _pull(results: Sequence[Tensor], cotangents: Sequence[Tensor], of: Sequence[Tensor]) -> list[Tensor]:
    """Their cotangents, 0 where nothing depends on them."""
    live = [(result, ct) for result, ct in zip(results, cotangents, strict=True) if result.requires_grad]
    if not live:
        return [torch.zeros_like(tensor) for tensor in of]
    pulls = torch.autograd.grad([r for r, _ in live], of, [ct for _, ct in live], create_graph=True, allow_unused=True)
    return [torch.zeros_like(tensor) if pull is None else pull for tensor, pull in zip(of, pulls, strict=True)]

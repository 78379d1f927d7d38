"""The graph of each layer, run by the evaluator in float64, equals its transcription: results, buffers, every gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archc.ir.evaluate import evaluate
from archc.ir.lower import lower_graph
from archc.passes.gradient import gradient
from tests.stdlib.cases import CASES, Case
from tests.stdlib.graphs import state, unit

TOLERANCE = 1e-10


def close(found: object, expected: torch.Tensor, what: str) -> None:
    wanted = expected.detach().numpy()
    array = np.asarray(found)
    assert array.shape == wanted.shape, f"{what}: {array.shape} for {wanted.shape}"
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    assert np.abs(array - wanted).max(initial=0) <= TOLERANCE * scale, what


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_graph_equals_transcription(case: Case, mode: str) -> None:
    layer = unit(case.layer, tuple(sorted(case.static.items())))
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    try:
        reference = case.reference().train(mode == "train")
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.no_grad():
        for param in reference.parameters():
            param.add_(torch.randn_like(param) * 0.1)
    x = torch.randn(case.shape, dtype=torch.float64, requires_grad=True)
    stored = state(reference)
    y = reference(x)
    dy = torch.randn_like(y)
    names, params = zip(*reference.named_parameters(), strict=True)
    expected = dict(zip(["x", *names], torch.autograd.grad(y, [x, *params], dy), strict=True))

    graph = lower_graph(layer, "forward", mode)
    input_ = next(port.name for port in graph.inputs if port.role == "input")
    values = {number.name: case.arguments.get(number.name, number.default) for number in layer.numbers}
    values[input_] = x.detach().numpy()
    values |= {name: value for name, value in stored.items() if any(port.name == name for port in graph.inputs)}
    numbers = {name: values.pop(name) for name in list(values) if name in {n.name for n in layer.numbers}}
    found = evaluate(graph, values, numbers)
    close(found.outputs["result"], y, "result")
    for name, buffer in reference.named_buffers():
        if mode == "train":
            close(found.updates.get(name, stored[name]), buffer, name)

    back = gradient(graph)
    penalties = {port.name: np.zeros(()) for port in back.inputs if port.name not in values and port.name.startswith("d_")}
    grads = evaluate(back, {**values, **penalties, "d_result": dy.numpy()}, numbers).outputs
    for name, grad in expected.items():
        close(grads[f"d_{input_ if name == 'x' else name}"], grad, f"gradient of {name}")

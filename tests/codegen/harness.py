"""Prints a graph as a torch function, runs it, and compares with the evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from archc.checker.types import Type
from archc.codegen.package import function_text
from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph, Node, Port, rewrite


def callable_of(graph: Graph) -> tuple[Any, str]:
    """The graph as a Python function of its ports and size numbers, and its text."""
    text = function_text(graph, "f")
    space: dict[str, Any] = {"__name__": "emitted"}
    exec(compile(text, "<emitted>", "exec"), space)
    return space["f"], text


def without_draws(graph: Graph) -> Graph:
    """Random draws become inputs, which both sides can be given."""
    ports: dict[Node, Port] = {}

    def replaced(current: Node) -> Node | None:
        if current.op != "random":
            return None
        if current not in ports:
            layout = tuple((axis,) for axis in sorted(current.axes, key=str))
            ports[current] = Port(f"draw{len(ports)}", Type("float", current.axes), layout)
        return ports[current].node

    found = rewrite(graph, replaced)
    return Graph(
        found.name,
        (*found.inputs, *ports.values()),
        found.outputs,
        found.updates,
        found.penalties,
        found.numbers,
        found.definitions,
        found.checks,
        found.notes,
    )


def arguments(graph: Graph, inputs: Mapping[str, Any], numbers: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    for port in graph.inputs:
        if port.role == "number":
            found.append(numbers[port.name])
        else:
            found.append(torch.as_tensor(np.asarray(inputs[port.name])))
    return [*found, *(int(numbers[name]) for name in graph.numbers)]


def expected(graph: Graph, inputs: Mapping[str, Any], numbers: Mapping[str, Any]) -> list[np.ndarray[Any, Any]]:
    result = evaluate(graph, inputs, numbers)
    return [
        *(result.outputs[o.name] for o in graph.outputs),
        *(result.updates[u.buffer] for u in graph.updates),
        *(result.penalties[p.name] for p in graph.penalties),
    ]


def same(found: Any, wanted: Any, text: str, tolerance: float = 1e-10) -> None:
    found = found.detach().resolve_conj().resolve_neg() if isinstance(found, torch.Tensor) else found
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape, f"shape {found.shape}, not {wanted.shape}\n{text}"
    if wanted.size == 0:
        return
    found, wanted = found * 1.0, wanted * 1.0
    scale = max(1.0, float(np.nanmax(np.abs(np.where(np.isfinite(wanted), wanted, 0)))))
    close = np.isclose(found, wanted, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
    assert close.all(), f"{found}\nnot\n{wanted}\n{text}"


def compare(graph: Graph, inputs: Mapping[str, Any], numbers: Mapping[str, Any]) -> str:
    """Values of the emitted function against the evaluator's; gives the text."""
    call, text = callable_of(graph)
    wanted = expected(graph, inputs, numbers)
    try:
        found = call(*arguments(graph, inputs, numbers))
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}\n{text}") from error
    assert len(found) == len(wanted)
    for mine, theirs in zip(found, wanted, strict=True):
        same(mine, theirs, text)
    return text

"""A graph run one element after the other by the evaluator, for comparison with the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from archc.checker.types import Axis, flat
from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph
from archc.ir.verify import verify
from archc.passes.step import Stepped, stepped

Arrays = dict[str, Any]


def by_steps(graph: Graph, axis: Axis, inputs: Mapping[str, Any], numbers: Mapping[str, Any] | None = None,
             step: Stepped | None = None) -> Arrays:
    """The outputs of all steps along an axis that has elements, stacked along it; of outputs without it, the last."""
    step = step or stepped(graph, axis)
    verify(step.graph)
    verify(step.start)
    places = {port.name: [axis in dim for dim in port.layout].index(True) - len(port.layout) for port in graph.inputs
              if port.role == "input" and axis in flat(port.layout)}
    count = next(np.asarray(inputs[name]).shape[place] for name, place in places.items())
    sizes = {port.name for port in step.start.inputs} | set(graph.numbers)
    known = {name: value for name, value in (numbers or {}).items() if name in sizes}

    def element(t: int) -> Arrays:
        return {name: np.take(value, t, places[name]) if name in places else value for name, value in inputs.items()}

    states = {}
    if step.states:
        states = dict(evaluate(step.start, element(0), known).outputs)
    found: list[Arrays] = []
    for t in range(count):
        result = dict(evaluate(step.graph, {**element(t), **states}, known).outputs)
        states = {name: result.pop(name) for name in step.states}
        found.append(result)
    whole = {}
    for output in graph.outputs:
        each = [result[output.name] for result in found]
        dims = [axis in dim for dim in output.layout]
        whole[output.name] = np.stack(each, dims.index(True) - len(dims)) if True in dims else each[-1]
    return whole

"""A loss written in `.arch`: a fn or layer whose first input is the prediction and whose second is the target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from archc.train.data.dataset import Dataset
from archc.train.errors import TrainError
from archc.train.fit import symbol
from archc.train.losses import Loss

if TYPE_CHECKING:
    from torch import Tensor

WRAPPER = "Criterion"


def compiled_loss(file: str, name: str, data: Dataset) -> Loss | None:
    """The loss `std.loss.NAME`, or NAME of the file that is trained from; None where there is none.

    A fn is compiled as the forward of a layer made for it. Raises TrainError where it does not take prediction and target.
    """
    from archc import api

    module, _, own = name.rpartition(".")
    source = module or file
    if module and not module.startswith("std."):
        return None
    program = api.open_program(source)
    declared = program.root.own.get(own)
    if declared is None:
        return None
    node: Any = declared.node
    if hasattr(node, "parameters"):  # a layer
        criterion, described = getattr(api.load(source), own), api.package(program, [own])
    elif hasattr(node, "signature"):
        text, path = wrapper(program, node, source)
        criterion, described = api.load_text(text, path).Criterion, api.package(api.open_text(text, path), [WRAPPER])
    else:
        return None
    forward = described.modules[described.roots[0]].methods[0]
    inputs = [port for port in forward.train.inputs if port.role == "input" and port.name not in forward.defaults]
    if len(inputs) != 2 or len(forward.train.outputs) != 1:
        raise TrainError(f"the loss '{name}' must have two inputs, the prediction and the target, and one result")
    given, wanted = inputs
    scores = next((n for n in map(symbol, _sizes(given)) if n and n not in map(symbol, _sizes(wanted))), None)
    numbers = {number.name for number in described.modules[described.roots[0]].numbers if number.default is None}
    outputs = data.outputs if len(given.layout) > len(wanted.layout) or data.task == "values" or data.classes > 2 else 1
    if missing := numbers - {scores}:
        raise TrainError(f"the loss '{name}' has the argument '{min(missing)}', which has no default")
    criterion = criterion(**({scores: outputs} if scores in numbers else {}))
    per_example = len(given.layout) == len(wanted.layout)
    integer = wanted.type.dtype == "int"

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        target = target if integer else target.to(prediction.dtype)
        if per_example and prediction.shape != target.shape:
            prediction = prediction.reshape(target.shape)
        result: Tensor = criterion(prediction, target)
        return result

    return Loss(name, loss, outputs, criterion)


def _sizes(port: Any) -> list[Any]:
    return [axis.size for dim in port.layout for axis in dim]


def wrapper(program: Any, node: Any, source: str) -> tuple[str, str]:
    """(text, path) of a program with a layer whose forward is the fn. Inputs with a default, and parameters, keep it."""
    text = program.root.text
    inputs = [entry for entry in node.signature if hasattr(entry, "dims") and entry.default is None]
    written = [text[e.span.start: e.span.end] if e.dims is not None else f"{e.name.name}[...]" for e in inputs]
    path = Path(source)
    library = source.startswith("std.")
    call = f"{node.name.name}({', '.join(entry.name.name for entry in inputs)})"
    forward = f"    forward({', '.join(written)}) -> [] {{\n        return {call}\n    }}\n"
    return (f"import {source if library else path.stem}\n\nlayer {WRAPPER}() {{\n{forward}}}\n",
            "criterion.arch" if library else str(path.with_name("criterion.arch")))

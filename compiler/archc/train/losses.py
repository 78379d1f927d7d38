"""Losses by name: torch's, or a layer of a `.arch` file with the prediction and the target as its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archc.train.data.dataset import Dataset, Task
from archc.train.errors import TrainError

if TYPE_CHECKING:
    from torch import Tensor, nn

Function = Callable[["Tensor", "Tensor"], "Tensor"]


@dataclass(frozen=True)
class Loss:
    """`outputs`: how many numbers the model must give for an example. The function takes the model's whole output."""

    name: str
    function: Function
    outputs: int
    module: nn.Module | None = None  # what it holds, to be moved to the device


def default(task: Task) -> str:
    return "cross_entropy" if task == "classes" else "mse"


FOR_CLASSES = {"cross_entropy": "cross_entropy", "nll": "nll_loss", "multi_margin": "multi_margin_loss"}
FOR_VALUES = {"mse": "mse_loss", "l1": "l1_loss", "smooth_l1": "smooth_l1_loss", "huber": "huber_loss"}
BINARY = "bce_with_logits"
NAMES = (*FOR_CLASSES, BINARY, *FOR_VALUES)


def torch_loss(name: str, data: Dataset) -> Loss:
    """A loss of NAMES for this data. Raises TrainError where it is for another task."""
    from torch.nn import functional

    if name in FOR_CLASSES:
        _only(name, "classes", data)
        return Loss(name, getattr(functional, FOR_CLASSES[name]), data.outputs)
    if name in FOR_VALUES:
        _only(name, "values", data)
        function = getattr(functional, FOR_VALUES[name])
        return Loss(name, lambda given, wanted: function(given.reshape(wanted.shape), wanted), data.outputs)
    if name == BINARY:
        _only(name, "classes", data)
        return Loss(name, _binary, 1 if data.classes == 2 else data.classes)
    raise TrainError(f"there is no loss '{name}'; known are {', '.join(NAMES)}, a layer of the file, and std.loss.NAME")


def _binary(given: Tensor, wanted: Tensor) -> Tensor:
    """One logit against label 0 or 1, or a logit for each class against its one-hot label."""
    from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

    if given.ndim == 2 and given.shape[1] > 1:
        return binary_cross_entropy_with_logits(given, one_hot(wanted, given.shape[1]).to(given.dtype))
    return binary_cross_entropy_with_logits(given.reshape(wanted.shape), wanted.to(given.dtype))


def _only(name: str, task: Task, data: Dataset) -> None:
    if data.task != task:
        others = ", ".join(FOR_VALUES if data.task == "values" else (*FOR_CLASSES, BINARY))
        raise TrainError(f"the loss {name} is for {task}, and {data.name} has {data.task} to predict; choose one of {others}")

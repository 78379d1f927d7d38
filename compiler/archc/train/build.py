"""From settings and data to a module, its loss, and the shape that it is fed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archc.train.data.dataset import Dataset
from archc.train.losses import Loss
from archc.train.settings import Number, Settings

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Built:
    """`shape` makes of an array of the data the tensor that `module.forward` takes."""

    module: nn.Module
    arguments: Mapping[str, Number]
    shape: Callable[[Any], Tensor]
    loss: Loss
    penalty: Callable[[], Tensor | None]


def build(settings: Settings, data: Dataset) -> Built:
    raise NotImplementedError

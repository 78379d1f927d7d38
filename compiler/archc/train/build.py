"""From settings and data to a module, its loss, and the shape that it is fed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from archc.train import losses
from archc.train.criterion import compiled_loss
from archc.train.data.dataset import Dataset
from archc.train.device import device
from archc.train.errors import TrainError
from archc.train.fit import arguments, shaping, tensors
from archc.train.losses import Loss
from archc.train.settings import Number, Settings

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Built:
    """`shape` makes of an array of the data the tensor that `module.forward` takes, where the module is; `source` is a digest of
    the program."""

    module: nn.Module
    arguments: Mapping[str, Number]
    shape: Callable[[Any], Tensor]
    loss: Loss
    penalty: Callable[[], Tensor | None]
    source: str = ""


def build(settings: Settings, data: Dataset) -> Built:
    """Compiles the layer, with the constructor arguments that the data decide. Raises TrainError, and UserError or Limit."""
    from archc import api

    program = api.open_program(settings.file)
    names = [declared.name for declared in program.layers]
    if settings.layer not in names:
        near = get_close_matches(settings.layer, names, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(names) or 'none'}"
        raise TrainError(f"'{settings.file}' has no layer '{settings.layer}'; {hint}")
    package = api.package(program, [settings.layer], settings.static)
    described = package.modules[package.roots[0]]
    loss = _loss(settings, data)
    wanted = tensors(described)
    fed, shape = shaping(wanted, data.shape, settings.layer, data.x.dtype.kind == "i")
    results = data.y.shape[1:] if data.is_field else (loss.outputs,)
    found = arguments(described, wanted, fed, results, settings.arguments)
    place = device(settings.device)
    layer = getattr(api.load(settings.file, backend=settings.backend, **dict(settings.static)), settings.layer)
    try:
        module = layer(**found).to(place)
    except (ValueError, TypeError, RuntimeError) as error:
        given = ", ".join(f"{name}={value}" for name, value in found.items())
        raise TrainError(f"{settings.layer}({given}) cannot be made: {error}") from None
    if loss.module is not None:
        loss.module.to(place)
    source = api.source_hash(program, settings.static)
    return Built(module, found, lambda array: shape(array).to(place), loss, penalties(module), source)


def _loss(settings: Settings, data: Dataset) -> Loss:
    name = settings.loss or losses.default(data.task)
    if name in losses.NAMES:
        return losses.torch_loss(name, data)
    found = compiled_loss(settings.file, name, data)
    if found is None:
        raise TrainError(f"there is no loss '{name}': it is neither torch's ({', '.join(losses.NAMES)}), nor a fn or layer of "
                         f"'{settings.file}', nor std.loss.NAME")
    return found


def penalties(module: nn.Module) -> Callable[[], Tensor | None]:
    """What gives the sum of the penalties of the last forward pass. Layers with penalties append (name, value) to a list that
    they hold while it is not None; it is emptied before every pass."""
    holders: list[Any] = [part for part in module.modules() if hasattr(type(part), "penalties")]
    if not holders:
        return lambda: None

    def clear(*_: object) -> None:
        for part in holders:
            part.penalties = []

    def total() -> Tensor | None:
        values = [value.sum() for part in holders for _, value in part.penalties or ()]
        return sum(values[1:], values[0]) if values else None

    module.register_forward_pre_hook(clear)
    return total

"""Optimizers by name, and the learning rate at each step as a plain function of the step."""

from __future__ import annotations

from collections.abc import Iterable
from math import cos, pi
from typing import TYPE_CHECKING

from archc.train.settings import Settings

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def make(settings: Settings, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """The optimizer of the settings. `fused` and `foreach` stay off: their order of sums may change between machines."""
    from torch import optim

    s, lr, decay = settings, settings.learning_rate, settings.weight_decay
    if s.optimizer == "adam":
        return optim.Adam(parameters, lr=lr, weight_decay=decay)
    if s.optimizer == "adamw":
        return optim.AdamW(parameters, lr=lr, weight_decay=decay)
    if s.optimizer == "rmsprop":
        return optim.RMSprop(parameters, lr=lr, momentum=s.momentum, weight_decay=decay)
    if s.optimizer == "lbfgs":
        return optim.LBFGS(parameters, lr=lr, line_search_fn="strong_wolfe")
    return optim.SGD(parameters, lr=lr, momentum=s.momentum, nesterov=s.nesterov, weight_decay=decay)


def learning_rate(settings: Settings, step: int, total: int) -> float:
    """The learning rate of step 0 .. total-1: a linear rise over the warm-up, then the schedule down to 0 (or level)."""
    rising = round(settings.warmup * total)
    if step < rising:
        return settings.learning_rate * (step + 1) / (rising + 1)
    done = (step - rising) / max(total - rising, 1)
    factor = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + cos(pi * done)) / 2}[settings.schedule]
    return settings.learning_rate * factor

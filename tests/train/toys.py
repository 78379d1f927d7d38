"""Small torch modules in place of compiled layers, so that the trainer's tests need no compiler."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from archc.train.build import Built
from archc.train.data import Dataset
from archc.train.losses import default, torch_loss
from archc.train.settings import Settings


def network(settings: Settings, data: Dataset) -> Built:
    """Two linear layers with a batch norm and a dropout between: buffers and random numbers are part of the state."""
    loss = torch_loss(settings.loss or default(data.task), data)
    inputs = int(np.prod(data.shape))
    module = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2),
                           nn.Linear(16, loss.outputs))
    return Built(module, {"i": inputs}, torch.as_tensor, loss, lambda: None)


def write_blobs(path: Any, n: int = 120, classes: int = 3, features: int = 4, seed: int = 0) -> None:
    """Points around a centre a class: an NPZ that is learned in a few steps."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    x = rng.normal(size=(n, features)) + 3 * rng.normal(size=(classes, features))[y]
    np.savez(path, x=x, y=y)

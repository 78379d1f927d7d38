"""Parts to train, validate and test on, and scaling that knows the training part only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from archc.train.data.dataset import Array, Dataset, Task
from archc.train.errors import TrainError

Scale = Literal["standard", "range", "none"]


class Part(NamedTuple):
    x: Array
    y: Array


@dataclass(frozen=True)
class Scaling:
    """(value - shift) / factor; arrays that broadcast over examples."""

    shift: Array
    factor: Array

    def apply(self, values: Array) -> Array:
        return np.asarray((values - self.shift) / self.factor, np.float32)


@dataclass(frozen=True)
class Parts:
    train: Part
    validation: Part
    test: Part
    inputs: Scaling | None
    targets: Scaling | None


def split(data: Dataset, seed: int, validation: float, test: float, scale: Scale | None = None) -> Parts:
    """The same parts for the same data and seed. Classes have the same shares in each part, to within one example.

    `validation` and `test` are shares of all examples; a set with a test part of its own keeps it, and `test` is ignored.
    `scale` None leaves images, which are from 0 to 1, and standardises everything else.
    """
    scale = scale or ("none" if data.is_image else "standard")
    shares = _shares(data.y, data.task, seed)
    n_test = 0 if data.test else max(1, round(test * len(shares)))
    n_validation = max(1, round(validation * len(shares)))
    if n_test + n_validation >= len(shares):
        raise TrainError(f"nothing is left to train on: of {len(shares)} examples {n_validation} would validate and "
                         f"{n_test} test")
    cuts = np.split(shares, [n_test, n_test + n_validation])
    tested, validated, trained = (Part(data.x[cut], data.y[cut]) for cut in map(np.sort, cuts))
    if data.test:
        tested = Part(*data.test)
    inputs = input_scaling(trained.x, scale, data.is_image)
    targets = target_scaling(trained.y) if data.task == "values" else None

    def scaled(part: Part) -> Part:
        return Part(inputs.apply(part.x) if inputs else part.x, targets.apply(part.y) if targets else part.y)

    return Parts(scaled(trained), scaled(validated), scaled(tested), inputs, targets)


def _shares(y: Array, task: Task, seed: int) -> Array:
    """An order of all examples in which every stretch has each class in proportion."""
    rng = np.random.Generator(np.random.PCG64(seed))
    place = rng.permutation(len(y)).astype(np.float64)
    if task == "classes":
        for label in np.unique(y):
            members = np.flatnonzero(y == label)
            ranks = np.argsort(np.argsort(place[members]))
            place[members] = (ranks + rng.random()) / len(members)
    return np.argsort(place, kind="stable")


def input_scaling(x: Array, scale: Scale, image: bool) -> Scaling | None:
    """standard: mean 0 and deviation 1; range: from -1 to 1. One scale a feature, or a channel of an image.

    A feature that never varies is only shifted. Indices (int) are never scaled.
    """
    if scale == "none" or x.dtype.kind == "i":
        return None
    over = (0, 2, 3) if image else (0,)
    wide = x.astype(np.float64)
    if scale == "standard":
        shift, factor = wide.mean(over, keepdims=True), wide.std(over, keepdims=True)
    else:
        low, high = wide.min(over, keepdims=True), wide.max(over, keepdims=True)
        shift, factor = (low + high) / 2, (high - low) / 2
    return Scaling(shift[0].astype(np.float32), np.where(factor > 1e-12, factor, 1.0)[0].astype(np.float32))


def target_scaling(y: Array) -> Scaling:
    """Values have mean 0 and deviation 1, each on its own. A field is divided by its root mean square over all examples and
    places: a relative error is then what it is in the data's own units."""
    wide = y.astype(np.float64)
    if y.ndim > 2:
        size = np.sqrt(np.mean(wide**2)) or 1.0
        return Scaling(np.zeros(1, np.float32), np.array([size], np.float32))
    deviation = wide.std(0)
    return Scaling(wide.mean(0).astype(np.float32), np.where(deviation > 1e-12, deviation, 1.0).astype(np.float32))

"""What a set of examples is, whatever it was read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

Task = Literal["classes", "values"]
Array = NDArray[Any]


@dataclass(frozen=True)
class Reading:
    """How a user's file is to be read: the flags `--target`, `--input`, `--task` and `--skip`."""

    target: str | None = None  # the column or array to predict
    input: str | None = None  # the array to predict from, in an NPZ
    task: Task | None = None  # None: what the target's kind suggests
    skip: Sequence[str] = ()  # columns to leave out


@dataclass(frozen=True)
class Dataset:
    """`x` is [n, ...]: float32, or int64 where the values are indices; images are [n, channel, h, w] from 0 to 1.

    `y` is int64[n] in 0 .. classes-1 for classes; float32[n], float32[n, values] or a field float32[n, ...] for values.
    `test` holds the last examples by convention of the set; otherwise a part is split off.
    """

    name: str
    x: Array
    y: Array
    task: Task
    class_names: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    test: tuple[Array, Array] | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.x.shape[1:]

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def is_field(self) -> bool:
        """Whether what is predicted has axes of its own, as an image or a solution on a grid has."""
        return self.y.ndim > 2

    @property
    def outputs(self) -> int:
        """Numbers that a model gives for one example, or for one place of a field: a score for each class, or the values."""
        return self.classes if self.task == "classes" else 1 if self.y.ndim == 1 else self.y.shape[1]

    def describe(self) -> str:
        size = " x ".join(map(str, self.shape))
        if self.is_field:
            what = f"fields of {' x '.join(map(str, self.y.shape[1:]))}"
        else:
            what = f"{self.classes} classes" if self.task == "classes" else f"{self.outputs} value{'s' * (self.outputs > 1)}"
        count = len(self.x) + (len(self.test[0]) if self.test else 0)
        return f"{self.name}: {count} examples of {size}, {what}"

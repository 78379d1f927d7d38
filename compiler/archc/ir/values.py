"""What the evaluator computes with: an array whose dimensions are named, and the state of one run. numpy is loaded on use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archc.checker.sizes import Size
from archc.checker.types import Axis
from archc.ir.graph import Node
from archc.ops.table import DType

if TYPE_CHECKING:
    import numpy as np

BATCH = Axis("(batch)", Size.symbol("(batch)"))
"""The dimension of candidates that are evaluated together: an axis like any other, which no node can name."""


@dataclass(frozen=True)
class Value:
    """An array and the axis of each of its dimensions, in the run's order of axes. A value may lack BATCH, never another."""

    array: np.ndarray[Any, Any]
    axes: tuple[Axis, ...]


@dataclass
class Run:
    """One evaluation: sizes of the symbols, the module's float, the seed, and one order of axes that all values follow."""

    sizes: Mapping[str, int]
    dtype: Any
    seed: int = 0
    order: dict[Axis, int] = field(default_factory=lambda: {BATCH: -1})
    values: dict[Node, Value] = field(default_factory=dict)
    results: dict[Node, list[Value]] = field(default_factory=dict)  # of nodes with several
    steps: tuple[int, ...] = ()  # of the loops around, each of which draws anew
    places: Mapping[Node, object] = field(default_factory=dict)  # where nodes come from in the source, for errors

    def size(self, axis: Axis) -> int:
        return axis.size.evaluate(self.sizes)

    def shape(self, axes: Iterable[Axis]) -> tuple[int, ...]:
        return tuple(map(self.size, axes))

    def sorted(self, axes: Iterable[Axis]) -> tuple[Axis, ...]:
        """Axes in the run's order; new ones go to its end, by name."""
        axes = set(axes)
        for axis in sorted(axes - self.order.keys(), key=lambda axis: axis.name):
            self.order[axis] = len(self.order)
        return tuple(sorted(axes, key=self.order.__getitem__))

    def numpy_type(self, dtype: DType) -> Any:
        """The numpy type of a type of the language. An int has 64 bits."""
        import numpy as np

        if dtype == "complex":
            return np.result_type(self.dtype, np.complex64)
        return {"float": self.dtype, "int": np.dtype(np.int64), "bool": np.dtype(np.bool_)}[dtype]

    def aligned(self, value: Value, axes: tuple[Axis, ...]) -> np.ndarray[Any, Any]:
        """The array with a dimension for each of the axes, in their order; 1 for an axis that the value lacks."""
        kept = [axis for axis in axes if axis in value.axes]
        array = value.array.transpose([value.axes.index(axis) for axis in kept])
        lengths = iter(array.shape)
        return array.reshape([next(lengths) if axis in value.axes else 1 for axis in axes])

    def spread(self, value: Value, axes: Iterable[Axis]) -> Value:
        """The value repeated along the axes that it lacks."""
        import numpy as np

        wanted = self.sorted({*value.axes, *axes})
        if wanted == value.axes:
            return value
        return Value(np.broadcast_to(self.aligned(value, wanted), self.shape(wanted)), wanted)

    def together(self, *values: Value) -> tuple[list[np.ndarray[Any, Any]], tuple[Axis, ...]]:
        """Arrays that numpy broadcasts as the language does, and the axes of what comes out."""
        axes = self.sorted(axis for value in values for axis in value.axes)
        return [self.aligned(value, axes) for value in values], axes

    def index(self, axis: Axis, axes: tuple[Axis, ...]) -> np.ndarray[Any, Any]:
        """The index along an axis, shaped for arrays of these axes."""
        import numpy as np

        return np.arange(self.size(axis)).reshape([-1 if other == axis else 1 for other in axes])

"""What `read` and `accumulate` share: index expressions, and what each border makes of an index outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archc.ir.forms.base import demand
from archc.ir.graph import At, Node
from archc.ir.values import Run, Value

if TYPE_CHECKING:
    import numpy as np

BORDERS = ("check", "trust", "fill", "edge", "reflect", "wrap")


def verify_indices(node: Node, at: tuple[At, ...], indices: tuple[Node, ...]) -> None:
    demand(bool(at), f"{node.op} indexes an axis")
    demand(len(at) == len(indices), f"{node.op} has an index for each axis")
    demand(len({a.axis for a in at}) == len(at), f"{node.op} indexes an axis once")
    for a, index in zip(at, indices, strict=True):
        demand(a.border in BORDERS, f"there is no border {a.border}")
        demand(index.type.dtype == "int", f"the index along {a.axis} is an int, not {index.type.dtype}")


def places(node: Node, at: tuple[At, ...], indices: list[np.ndarray[Any, Any]], run: Run) -> tuple[
        list[np.ndarray[Any, Any]], np.ndarray[Any, Any] | bool]:
    """For each axis the index that is really read, always inside; and where a border that fills was met.

    Raises IndexError for an index outside an axis whose border is `check` or `trust`.
    """
    import numpy as np

    found: list[np.ndarray[Any, Any]] = []
    outside: np.ndarray[Any, Any] | bool = False
    for a, index in zip(at, indices, strict=True):
        size = run.size(a.axis)
        out = (index < 0) | (index >= size)
        if a.border == "fill":
            outside = outside | out
            index = np.where(out, 0, index)
        elif out.any() and (a.border in ("check", "trust") or size == 0):
            first = index[out].flat[0]
            where = f" at {run.places[node]}" if node in run.places else ""
            raise IndexError(f"index {first} is outside axis {a.axis}, which has {size} elements{where}")
        elif a.border == "edge":
            index = np.clip(index, 0, max(size - 1, 0))
        elif a.border == "wrap":
            index = index % max(size, 1)
        elif a.border == "reflect":
            period = max(2 * (size - 1), 1)
            index = index % period
            index = np.where(index >= size, period - index, index)
        found.append(index)
    return found, outside


def gather_axes(node: Node, value: Value, indices: list[Value], run: Run) -> list[Value]:
    """The value and its indices, each with every axis that its node has."""
    return [run.spread(v, arg.axes) for v, arg in zip([value, *indices], node.args, strict=False)]

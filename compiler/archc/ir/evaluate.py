"""The evaluator: what a graph computes, slowly and obviously, in numpy. It is the oracle for passes and targets.

Arrays go in and come out in the memory layout of their ports. Everything is float64 unless asked otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archc.checker.types import Axis, Layout, flat
from archc.diagnostics.model import CompilerBug
from archc.ir import entry
from archc.ir.forms import form_of
from archc.ir.forms.call import SEVERAL
from archc.ir.graph import Graph, Node, Port, topological
from archc.ir.values import BATCH, Run, Value

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Result:
    """Arrays by name: outputs in their layouts, new values of buffers, penalties."""

    outputs: Mapping[str, Array]
    updates: Mapping[str, Array]
    penalties: Mapping[str, Array]


def evaluate(graph: Graph, inputs: Mapping[str, Any], numbers: Mapping[str, bool | int | float] | None = None, *,
             dtype: Any = "float64", seed: int = 0, batch: int | None = None) -> Result:
    """The graph's results.

    inputs: for each input, param and buffer by name, an array in its memory layout. Those with a leading `...` may have any
    number of dimensions there; they broadcast together, and outputs with `...` come out with the same.
    numbers: the graph's size numbers and its `number` ports; size numbers that can be read off the params may be left out.
    batch: evaluates that many candidates at once. Any array may then have one more dimension of this size in front, `...` is
    one dimension, and every result has the candidates in front.
    Raises ValueError where shapes do not fit, IndexError for a checked read that fails; each with a sentence.
    """
    import numpy as np

    given = {**(numbers or {}), **inputs}
    arrays: dict[Port, Array] = {}
    for port in graph.inputs:
        if port.name not in given:
            raise ValueError(f"{port.name} is not given")
        arrays[port] = np.asarray(given[port.name])
    batched = {port for port, array in arrays.items() if batch is not None and array.ndim == len(port.layout) + 1}
    shapes = {port.name: array.shape[port in batched :] for port, array in arrays.items()}
    sizes = entry.solve(graph, {name: int(value) for name, value in (numbers or {}).items() if name in graph.numbers}, shapes)
    if batch is not None:
        sizes[BATCH.name] = batch
    lead = entry.lead(graph)
    leading = entry.leading_shape(lead, shapes) if lead else ()
    run = Run(sizes, np.dtype(dtype), seed, places=graph.notes.spans)
    for port, array in arrays.items():
        run.values[port.node] = _from_memory(port, array, port in batched, leading, run)
    evaluate_nodes(graph.roots, run)

    def to_memory(node: Node, layout: Layout) -> Array:
        return _to_memory(run.values[node], layout, leading, run, batch is not None)

    buffers = {port.name: port.layout for port in graph.inputs}
    return Result({o.name: to_memory(o.node, o.layout) for o in graph.outputs},
                  {u.buffer: to_memory(u.node, buffers[u.buffer]) for u in graph.updates},
                  {p.name: to_memory(p.node, p.layout) for p in graph.penalties})


def evaluate_nodes(roots: Iterable[Node], run: Run) -> None:
    """Puts the value of every node that the roots need into `run.values`, where those of the inputs are."""
    import numpy as np

    with np.errstate(all="ignore"):
        for node in topological(roots):
            if node in run.values or node.op in SEVERAL:
                continue
            form = form_of(node)
            if form is None:
                raise CompilerBug(f"there is no operation {node.op}")
            args = tuple(run.values[arg] for arg in node.args if arg.op not in SEVERAL)
            value = form.evaluate(node, args, run)
            run.values[node] = Value(np.asarray(value.array, run.numpy_type(node.type.dtype)), value.axes)


def evaluate_node(root: Node, sizes: Mapping[str, int] | None = None, dtype: Any = "float64") -> Array:
    """The value of one node without inputs, its axes in the order of their names: for folding constants."""
    import numpy as np

    run = Run(sizes or {}, np.dtype(dtype))
    evaluate_nodes([root], run)
    return run.aligned(run.values[root], tuple(sorted(root.axes, key=lambda axis: axis.name)))


def _from_memory(port: Port, array: Array, batched: bool, leading: tuple[int, ...], run: Run) -> Value:
    import numpy as np

    axes = flat(port.layout)
    if entry.has_leading(port.layout):
        rest = array.shape[array.ndim - len(port.layout) + 1 :]
        array = np.broadcast_to(array, (*array.shape[:batched], *leading, *rest))
    if port.type.dtype == "float" and array.dtype.kind not in "fiub":
        raise ValueError(f"{port.name} is a float, not {array.dtype}")
    if (port.type.dtype == "int" and array.dtype.kind not in "iu") or (port.type.dtype == "bool" and array.dtype.kind != "b"):
        raise ValueError(f"{port.name} is {port.type.dtype}, not {array.dtype}")
    own: tuple[Axis, ...] = (BATCH, *axes) if batched else axes
    array = array.astype(run.numpy_type(port.type.dtype)).reshape(run.shape(own))
    ordered = run.sorted(own)
    return Value(array.transpose([own.index(axis) for axis in ordered]), ordered)


def _to_memory(value: Value, layout: Layout, leading: tuple[int, ...], run: Run, batched: bool) -> Array:
    axes = (BATCH, *flat(layout)) if batched else flat(layout)
    array = run.aligned(run.spread(value, axes), axes)
    shape: list[int] = [run.size(BATCH)] if batched else []
    for i, dim in enumerate(layout):
        if i == 0 and entry.has_leading(layout) and not batched:
            shape += leading
        else:
            size = 1
            for axis in dim:
                size *= run.size(axis)
            shape.append(size)
    return array.reshape(shape).copy()

"""How a layer and data fit together: the shape it is fed, and the constructor arguments that the data decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from archc.train.errors import TrainError
from archc.train.settings import Number

if TYPE_CHECKING:
    from torch import Tensor

    from archc.ir.graph import Definition
    from archc.ir.module import Module

LEADING = "..."


class SizeLike(Protocol):
    """What is asked of a symbolic size."""

    @property
    def symbols(self) -> frozenset[str]: ...
    @property
    def constant(self) -> int | None: ...
    def evaluate(self, values: Mapping[str, int]) -> int: ...
    def __mul__(self, other: Any) -> Any: ...


@dataclass(frozen=True)
class Tensors:
    """The one input that a layer is fed and the one result that it gives, their dimensions as sizes without the examples'."""

    name: str
    dtype: str
    input: tuple[SizeLike, ...]
    result: tuple[SizeLike, ...]
    layout: str  # the input as it is written: `image[n, channel, h, w]`


def tensors(module: Module) -> Tensors:
    """Raises TrainError for a layer that does not map one tensor of examples to one result."""
    forward = module.methods[0]
    graph = forward.train
    inputs = [p for p in graph.inputs if p.role == "input" and p.name not in forward.defaults]
    if len(inputs) != 1:
        names = ", ".join(p.name for p in inputs) or "none"
        raise TrainError(f"archc train feeds a layer one tensor, and {module.name} takes {len(inputs)}: {names}")
    if len(graph.outputs) != 1:
        raise TrainError(f"archc train needs a layer with one result, and {module.name} gives {len(graph.outputs)}")
    port, output = inputs[0], graph.outputs[0]
    if not port.layout or not output.layout:
        raise TrainError(f"{module.name} has no axis for the examples in {'its input' if not port.layout else 'its result'}")
    dims = ["*".join(axis.name for axis in dim) or "1" for dim in port.layout]
    sizes = [[_whole(dim, graph.definitions) for dim in layout] for layout in (port.layout, output.layout)]
    return Tensors(port.name, port.type.dtype, tuple(sizes[0][1:]), tuple(sizes[1][1:]), f"{port.name}[{', '.join(dims)}]")


def _whole(dim: Sequence[Any], definitions: Sequence[Definition]) -> Any:
    """The size of a dimension; of a split one, the whole that its parts were taken from."""
    size: Any = 1
    for axis in dim:
        size = axis.size * size
    for definition in definitions:
        if len(dim) > 1 and any(definition.symbol in axis.size.symbols for axis in dim):
            size = definition.whole
    return size


Shape = tuple[int, ...]


def shaping(wanted: Tensors, shape: Shape, layer: str, integer: bool) -> tuple[Shape, Callable[[Any], Tensor]]:
    """The shape in which one example is fed, and the function that makes such tensors of arrays [n, *shape].

    As it is, where the numbers of dimensions agree; flattened to one; with a channel of one put in front or taken away.
    Raises TrainError where none of these gives what the layer takes.
    """
    if (wanted.dtype == "int") != integer:
        has, takes = ("indices", "measurements") if integer else ("measurements", "indices")
        raise TrainError(f"{layer} takes {takes} ({wanted.layout}), and the data hold {has}")
    rank = len(wanted.input)
    if len(shape) == rank:
        fed = shape
    elif rank == 1:
        fed = (_count(shape),)
    elif len(shape) == rank + 1 and shape[0] == 1:
        fed = shape[1:]
    elif len(shape) == rank - 1 and rank == 3:
        fed = (1, *shape)
    else:
        raise TrainError(f"{layer} takes {wanted.layout}, and an example of the data is {' x '.join(map(str, shape))}")

    def shape_of(array: Any) -> Tensor:
        import torch

        return torch.as_tensor(array).reshape(len(array), *fed)

    return fed, shape_of


def arguments(module: Module, wanted: Tensors, fed: Shape, results: Shape, given: Mapping[str, Number]) -> dict[str, Number]:
    """The constructor's arguments: as given, and the sizes that the input's and the result's dimensions decide.

    Raises TrainError for one that is unknown, contradicts the data, or has neither value nor default.
    """
    kinds = {number.name: number for number in module.numbers}
    for name, value in given.items():
        if name not in kinds:
            known = ", ".join(kinds) or "none"
            raise TrainError(f"{module.name} has no argument '{name}'; its arguments are {known}")
        _check_kind(module.name, kinds[name].kind, name, value)
    found: dict[str, Number] = {}
    made = zip(wanted.result, results, strict=True) if len(wanted.result) == len(results) else ()
    for size, count, what in [*((s, c, "the data have") for s, c in zip(wanted.input, fed, strict=True)),
                              *((s, c, "the loss needs") for s, c in made)]:
        name = symbol(size)
        if name not in kinds or kinds[name].kind not in ("axis", "int"):
            continue
        if found.setdefault(name, count) != count or given.get(name, count) != count:
            raise TrainError(f"{module.name}({name}={given.get(name, found[name])}) does not fit: {what} {count}")
    values = {name: given.get(name, found.get(name)) for name in kinds}
    missing = [name for name, value in values.items() if value is None and kinds[name].default is None]
    if missing:
        flags = " ".join(f"--arg {name}=NUMBER" for name in missing)
        raise TrainError(f"{module.name} needs {' and '.join(missing)}: add {flags}")
    return {name: value for name, value in values.items() if value is not None}


def symbol(size: Any) -> str:
    """The name, where a size is nothing but one symbol; else the empty text."""
    symbols: frozenset[str] = getattr(size, "symbols", frozenset())
    return next(iter(symbols)) if len(symbols) == 1 and str(size) in symbols else ""


def _check_kind(layer: str, kind: str, name: str, value: Number) -> None:
    integer = isinstance(value, int) and not isinstance(value, bool)
    fits = {"axis": integer and value >= 0, "int": integer, "float": integer or isinstance(value, float),
            "bool": isinstance(value, bool)}[kind]
    if not fits:
        raise TrainError(f"the argument '{name}' of {layer} is {'a size' if kind == 'axis' else f'of kind {kind}'}, "
                         f"which '{str(value).lower() if isinstance(value, bool) else value}' is not")


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count

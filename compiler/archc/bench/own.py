"""A layer of someone's own file as a case: sizes by name give its constructor's arguments and the shapes of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archc import api
from archc.bench.case import Case
from archc.bench.errors import BenchError

DEFAULT_ROWS = 32
"""Of leading dimensions, if nothing is said of them."""


def own(file: str, layer: str, sizes: Mapping[str, Any], static: Mapping[str, Any]) -> Case:
    """`sizes` has numbers for axes of the inputs and arguments of the constructor; `rows` is that of leading dimensions. Raises
    BenchError for what is missing, unknown or does not fit, and UserError or Limit for what is wrong with the file."""
    from archc.analyze import figures
    from archc.analyze.binding import Unfit

    program = api.open_program(file)
    package = api.simplified(api.package(program, [layer], static))
    key = package.roots[0]
    module = package.modules[key]
    numbers, axes, rows = figures.symbols_of(package, key, "forward", "train")
    others = {number.name for number in module.numbers} - set(numbers)
    leading = "..." in axes
    known = {*numbers, *others, *(rows if axis == "..." else axis for axis in axes)}
    if unknown := [name for name in sizes if name not in known]:
        raise BenchError(f"--sizes takes {', '.join(sorted(known)) or 'nothing here'}, not '{unknown[0]}'")
    if wrong := [name for name, value in sizes.items() if name not in others and (type(value) is not int or value < 1)]:
        raise BenchError(f"--sizes {wrong[0]} is a whole number of at least 1, not '{sizes[wrong[0]]}'")
    given = {**({rows: DEFAULT_ROWS} if leading else {}), **sizes}
    try:
        report = figures.analyse(package, key, {("..." if leading and name == rows else name): value
                                                for name, value in given.items() if name not in others})
    except Unfit as error:
        raise BenchError(str(error)) from error
    missing = {*report.open, *(n.name for n in module.numbers if n.default is None and n.name not in given)}
    if missing:
        raise BenchError(f"{layer} needs more sizes: --sizes {','.join(f'{name}=N' for name in sorted(missing))}")
    shapes = {name: [int(size.evaluate({})) for size in shape] for name, shape in report.inputs.items()}
    forward = next(method for method in module.methods if method.name == "forward")
    dtypes = {port.name: port.type.dtype for port in forward.train.inputs}
    if "complex" in dtypes.values():
        raise BenchError(f"{layer} takes complex numbers, which are not measured")
    below = min([value for name, value in given.items() if name not in others], default=1)

    def inputs(generator: Any) -> list[Any]:
        """Floats of a normal distribution; whole numbers below the smallest size, so that each is a place of any axis."""
        import torch

        made = []
        for name, shape in shapes.items():
            if dtypes[name] == "int":
                made.append(torch.randint(0, below, shape, generator=generator))
            elif dtypes[name] == "bool":
                made.append(torch.rand(shape, generator=generator) < 0.5)
            else:
                made.append(torch.randn(shape, generator=generator, dtype=torch.float64))
        return made

    arguments = {n.name: given[n.name] for n in module.numbers if n.name in given}
    size = ", ".join(f"{name}={value}" for name, value in given.items())
    products = bool(report.layer.total.products.constant != 0)
    return Case(layer, "", size, file, layer, inputs, arguments, static, bound="products" if products else "copy")

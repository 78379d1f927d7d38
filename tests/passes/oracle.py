"""What tests of passes ask of the evaluator: random inputs, whether two graphs agree, and whether a derivative is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archc.checker.types import dim_size
from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph
from archc.passes.gradient import gradient, jvp
from archc.passes.linearise import differentiable, results
from archc.probe import differ

__all__ = ["check_gradient", "differ", "draw", "objective", "sizes_of", "slopes"]
Arrays = dict[str, NDArray[np.float64]]


def sizes_of(graph: Graph, rng: np.random.Generator, low: int = 2, high: int = 5) -> dict[str, int]:
    """A size for every symbol in the layouts."""
    symbols = {s for port in graph.inputs for dim in port.layout for s in dim_size(dim).symbols}
    return {symbol: int(rng.integers(low, high)) for symbol in sorted(symbols)}


def draw(graph: Graph, rng: np.random.Generator, low: float = -2.0, high: float = 2.0,
         sizes: Mapping[str, int] | None = None) -> Arrays:
    """Random arrays for every port."""
    sizes = dict(sizes or sizes_of(graph, rng))
    found: Arrays = {}
    for port in graph.inputs:
        shape = tuple(dim_size(dim).evaluate(sizes) for dim in port.layout)
        dtype = port.type.dtype
        if dtype == "float":
            found[port.name] = rng.uniform(low, high, shape)
        elif dtype == "complex":
            found[port.name] = rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)
        else:
            found[port.name] = rng.integers(0, 2, shape).astype(bool if dtype == "bool" else np.int64)
    return found


def objective(graph: Graph, inputs: Arrays, cotangents: Sequence[NDArray[np.float64]]) -> float:
    """The sum of every result times its cotangent; of complex ones, the real part of it with the cotangent's conjugate."""
    found = evaluate(graph, inputs)
    given = {**found.outputs, **found.penalties}
    return float(sum(inner(given[output.name], ct) for output, ct in zip(results(graph), cotangents, strict=True)))


def inner(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The inner product of arrays as vectors of real numbers: two for each complex one."""
    return float(np.sum(np.conj(b) * a).real)


def slopes(graph: Graph, inputs: Arrays, cotangents: Sequence[NDArray[np.float64]], name: str,
           step: float = 1e-5) -> NDArray[np.float64]:
    """Central differences of the objective along every element of an input, and along its imaginary part if it has one."""
    found = np.zeros(inputs[name].shape, inputs[name].dtype)
    for way in (1, 1j) if found.dtype.kind == "c" else (1,):
        for place in np.ndindex(found.shape):
            sides = []
            for sign in (1, -1):
                moved = inputs[name].copy()
                moved[place] += sign * step * way
                sides.append(objective(graph, {**inputs, name: moved}, cotangents))
            found[place] += way * (sides[0] - sides[1]) / (2 * step)
    return found


def check_gradient(graph: Graph, inputs: Arrays, rng: np.random.Generator, *, order: int = 1, tolerance: float = 1e-6) -> Graph:
    """Asserts that `gradient` agrees with central differences and `jvp` with `gradient`; then the same of the gradient itself."""
    back, chosen = gradient(graph), differentiable(graph, None)
    drawn = draw(back, rng, sizes=_sizes(back, inputs))
    given = {name: array for name, array in drawn.items() if name not in inputs}
    cotangents = list(given.values())
    found = list(evaluate(back, {**inputs, **given}).outputs.values())
    for port, pulled in zip(chosen, found, strict=True):
        wanted = slopes(graph, inputs, cotangents, port.name)
        scale = 1 + np.abs(wanted).max(initial=0)
        np.testing.assert_allclose(pulled, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=port.name)
    _check_forward(graph, inputs, cotangents, found, rng)
    if order > 1:
        check_gradient(back, {**inputs, **given}, rng, order=order - 1, tolerance=tolerance * 10)
    return back


def _check_forward(graph: Graph, inputs: Arrays, cotangents: Sequence[NDArray[np.float64]],
                   pulled: Sequence[NDArray[np.float64]], rng: np.random.Generator) -> None:
    """<cotangent, J tangent> = <J' cotangent, tangent>"""
    forward = jvp(graph)
    moving = forward.inputs[len(graph.inputs) :]
    tangents = [rng.normal(size=array.shape) + (1j * rng.normal(size=array.shape) if array.dtype.kind == "c" else 0)
                for array in pulled]
    given = {port.name: tangent for port, tangent in zip(moving, tangents, strict=True)}
    pushed = list(evaluate(forward, {**inputs, **given}).outputs.values())[len(graph.outputs) :]
    left = sum(inner(a, b) for a, b in zip(pushed, cotangents, strict=True))
    right = sum(inner(a, b) for a, b in zip(pulled, tangents, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-8, atol=1e-8)


def _sizes(graph: Graph, inputs: Arrays) -> dict[str, int]:
    """The symbols' values, where each is the size of a whole dimension of some input."""
    found: dict[str, int] = {}
    for port in graph.inputs:
        if port.name in inputs:
            for dim, length in zip(port.layout, inputs[port.name].shape, strict=True):
                for axis in dim:
                    if len(dim) == 1 and str(axis.size) in axis.size.symbols:
                        found[str(axis.size)] = length
    return found

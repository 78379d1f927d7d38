"""Kernels of groups of random graphs, and of their derivatives, against the evaluator: any order of axes, sizes 0, 1 and primes,
one thread and several. A slice by default, more with --slow."""

from __future__ import annotations

import ctypes
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from archc.checker.types import LEADING, Axis, flat, layout_of
from archc.codegen.cpp.form import Kernel, Product, parts
from archc.codegen.cpp.lower import lower
from archc.codegen.groups import relabelled
from archc.ir.evaluate import _from_memory, _to_memory, evaluate_nodes
from archc.ir.graph import Call, Graph, topological
from archc.ir.values import Run
from archc.ir.verify import verify
from archc.passes.base import run
from archc.passes.group import group_value
from archc.pipelines import CPP
from tests.codegen.cpp.build import call, library
from tests.fuzz.graphs import random_graph
from tests.fuzz.products import product_graph
from tests.shares import shares

pytestmark = pytest.mark.compiler

SLICES = shares(range(12), range(12, 42), range(42, 410), 30)
SIZES = (0, 1, 2, 3, 5, 7, 9, 67, 131)
LARGEST = 100_000


@dataclass(frozen=True)
class Case:
    seed: int
    group: Graph
    kernel: Kernel


def groups(graph: Graph) -> Iterator[Graph]:
    """The groups of a graph, and of their derivatives."""
    for current in topological(graph.roots):
        if isinstance(current.attrs, Call) and current.attrs.fused:
            yield current.attrs.body
            if current.attrs.wrt:
                derivative = group_value(current.attrs.vjp)
                verify(derivative, level=1)
                yield from groups(derivative)


def drawn(rng: random.Random) -> Graph:
    return random_graph(rng, rng.choice([6, 12, 20]), smooth=rng.random() < 0.7)


def cases(seeds: range, draw: Callable[[random.Random], Graph] = drawn) -> Iterator[Case]:
    count = 0
    for seed in seeds:
        rng = random.Random(seed)
        graph = run(draw(rng), CPP)
        for found in groups(graph):
            axes = {axis for where in (*found.inputs, *found.outputs) for axis in flat(where.layout)}
            group = relabelled(found, {axis: Axis("rows", axis.size) for axis in axes if axis.name == LEADING})
            orders = {}
            for where in (*group.inputs, *group.outputs):
                order = sorted(flat(where.layout), key=lambda axis: axis.name)
                if rng.random() < 0.3:
                    rng.shuffle(order)
                orders[where.name] = tuple(order)
            inputs = tuple(replace(port, layout=layout_of(orders[port.name])) for port in group.inputs)
            outputs = tuple(replace(output, layout=layout_of(orders[output.name])) for output in group.outputs)
            count += 1
            yield Case(seed, replace(group, inputs=inputs, outputs=outputs), lower(group, f"kernel_{count}", orders))


@pytest.mark.parametrize("seeds", SLICES)
def test_random_groups(seeds: range) -> None:
    assert compare(list(cases(seeds))) > len(seeds)


@pytest.mark.parametrize("seeds", SLICES)
def test_random_groups_with_products(seeds: range) -> None:
    every = list(cases(seeds, product_graph))
    assert compare(every) > len(seeds)
    multiply = {case.seed for case in every if any(isinstance(part, Product) for part in parts(case.kernel.body))}
    assert len(multiply) >= 0.9 * len(seeds)


@pytest.mark.parametrize("flags", ["-mno-avx512f", "-mno-avx", "-mprefer-vector-width=256"])
def test_other_instructions(flags: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHC_CXXFLAGS", flags)
    assert compare(list(cases(range(6)))) > 6


@dataclass(frozen=True)
class Trial:
    case: Case
    sizes: dict[str, int]
    shapes: dict[str, list[int]]
    arrays: dict[str, np.ndarray]
    numbers: dict[str, float]
    threads: int

    def found(self, built: ctypes.CDLL, dtype: str) -> dict[str, np.ndarray]:
        return call(built, self.case.kernel, self.arrays, self.shapes, self.sizes, self.numbers, dtype, self.threads)


def trials(every: Sequence[Case]) -> Iterator[Trial]:
    """What kernels are called with: sizes and values at random."""
    for case in every:
        nodes = list(topological(case.group.roots))
        symbols = {s for n in nodes for axis in n.axes for s in axis.size.symbols}
        symbols |= {symbol for symbol, _ in case.kernel.symbols}
        for trial in range(3):
            rng, draws = random.Random(case.seed + trial), np.random.default_rng(case.seed + trial)
            sizes = {symbol: rng.choice(SIZES) for symbol in sorted(symbols)}
            try:
                shapes = {where.name: [axis.size.evaluate(sizes) for axis in flat(where.layout)]
                          for where in (*case.group.inputs, *case.group.outputs)}
            except ZeroDivisionError:
                continue
            if any(size < 0 for shape in shapes.values() for size in shape) or max(map(np.prod, shapes.values())) > LARGEST:
                continue
            if max(math.prod(axis.size.evaluate(sizes) for axis in node.axes) for node in nodes) > 10 * LARGEST:
                continue  # the evaluator holds every value whole, also one that a kernel never writes
            if any(0 in shapes[port.name] for port in case.group.inputs):
                continue  # kernels are not called with empty tensors, and may leave out 0 times nan
            arrays, numbers = {}, {}
            for port in case.group.inputs:
                drawn = {"float": draws.normal(size=shapes[port.name]), "int": draws.integers(-3, 4, shapes[port.name]),
                         "bool": draws.integers(0, 2, shapes[port.name]) > 0}[port.type.dtype]
                arrays[port.name] = np.asarray(drawn)
                if port.role == "number":
                    numbers[port.name] = float(drawn)
            yield Trial(case, sizes, shapes, arrays, numbers, rng.choice([1, 2, 3]))


def compare(every: Sequence[Case]) -> int:
    """Compares kernels with the evaluator, and says how often."""
    built = library([case.kernel for case in every])
    compared = 0
    for trial in trials(every):
        case = trial.case
        state = Run(trial.sizes, np.dtype("float64"), 0)
        try:
            for port in case.group.inputs:
                state.values[port.node] = _from_memory(port, trial.arrays[port.name], False, (), state)
            with np.errstate(all="ignore"):
                evaluate_nodes(case.group.roots, state)
        except ValueError:
            continue  # the largest of nothing
        found = trial.found(built, "float64")
        for output in case.group.outputs:
            wanted = _to_memory(state.values[output.node], output.layout, (), state, False)
            scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1)
            np.testing.assert_allclose(found[output.name], wanted, rtol=1e-9, atol=1e-10 * scale,
                                       err_msg=f"seed {case.seed}, {case.kernel.name}, {trial.sizes}")
        compared += 1
    return compared


def compare_halves(every: Sequence[Case], dtype: str) -> int:
    """Compares kernels of a half type with those of float32: a result is theirs, rounded once."""
    kernels, half = [case.kernel for case in every], getattr(torch, dtype)
    wide, narrow = library(kernels, "float32"), library(kernels, dtype)
    compared = 0
    for trial in trials(every):
        rounded = {name: torch.tensor(array).to(half).double().numpy() if array.dtype == np.float64 else array
                   for name, array in trial.arrays.items()}
        given = replace(trial, arrays=rounded)
        wanted, found = given.found(wide, "float32"), given.found(narrow, dtype)
        for name, array in wanted.items():
            once = torch.tensor(array).to(half).float().numpy()
            np.testing.assert_allclose(found[name], once, rtol=torch.finfo(half).eps, atol=torch.finfo(half).smallest_normal,
                                       err_msg=f"seed {trial.case.seed}, {trial.case.kernel.name}, {trial.sizes}")
        compared += 1
    return compared


@pytest.mark.parametrize(("dtype", "seeds", "draw"), [
    pytest.param("bfloat16", range(2), drawn, id="bfloat16"),
    pytest.param("float16", range(40, 43), drawn, id="float16", marks=pytest.mark.slow),
    pytest.param("bfloat16", range(1), product_graph, id="products", marks=pytest.mark.slow)])
def test_random_groups_in_half_types(dtype: str, seeds: range, draw: Callable[[random.Random], Graph]) -> None:
    assert compare_halves(list(cases(seeds, draw)), dtype) > len(seeds)


def test_the_number_of_threads_changes_no_bit() -> None:
    every = list(cases(range(20)))
    built = library([case.kernel for case in every], "float32")
    rng = np.random.default_rng(0)
    seen = 0
    for case in every:
        if not case.kernel.partial or any(port.role == "number" or port.type.dtype != "float" for port in case.group.inputs):
            continue
        sizes = {s: 37 for where in (*case.group.inputs, *case.group.outputs) for a in flat(where.layout) for s in a.size.symbols}
        sizes = {symbol: sizes.get(symbol, 37) for symbol in {*sizes, *(s for s, _ in case.kernel.symbols)}}
        shapes = {where.name: [a.size.evaluate(sizes) for a in flat(where.layout)]
                  for where in (*case.group.inputs, *case.group.outputs)}
        arrays = {port.name: rng.normal(size=shapes[port.name]) for port in case.group.inputs}
        one, three = (call(built, case.kernel, arrays, shapes, sizes, {}, "float32", threads) for threads in (1, 3))
        for name, array in one.items():
            np.testing.assert_array_equal(array, three[name])
        seen += 1
    assert seen

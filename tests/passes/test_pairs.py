"""Complex numbers as pairs of floats: of random graphs the same values and derivatives, and no complex number anywhere."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from archc.checker.sizes import Size
from archc.checker.types import Axis, Type, layout_of
from archc.ir import build
from archc.ir.digest import digest
from archc.ir.evaluate import evaluate
from archc.ir.graph import Call, Graph, Output, Port, inside, node, topological
from archc.ir.text import parse, write
from archc.ir.verify import verify
from archc.passes.base import run
from archc.passes.gradient import gradient
from archc.passes.pairs import PAIRS, pairs
from archc.pipelines import INFERENCE
from tests.fuzz.graphs import random_graph, random_inputs
from tests.passes.test_random_graphs import cotangents
from tests.shares import shares

SLICES = shares(range(7000, 7040), range(7040, 7140), range(7140, 7500))


def apart(array: Any) -> Any:
    """As torch.view_as_real has it."""
    return np.stack([array.real, array.imag], -1) if np.asarray(array).dtype.kind == "c" else array


def without_complex(graph: Graph) -> bool:
    nodes = [*topological(graph.roots), *(port.node for port in graph.inputs)]
    return all(n.type.dtype != "complex" for n in nodes) and all(without_complex(g) for n in nodes for g in inside(n))


def same(found: Any, wanted: Any, where: object) -> None:
    for name, array in wanted.items():
        scale = 1 + np.abs(apart(array) * 1.0).max(initial=0)
        np.testing.assert_allclose(found[name], apart(array), rtol=1e-10, atol=1e-10 * scale, err_msg=f"{where} {name}")


@pytest.mark.parametrize("seeds", SLICES)
def test_values_and_derivatives(seeds: range) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        graph = random_graph(rng, 4 + seed % 16, smooth=seed % 2 == 0, loops=seed % 3 == 0 and seed % 2 == 1, waves=True)
        if any(n.op == "angle" for n in topological(graph.roots)):
            continue  # what is zero but for rounding has any angle; see tests/codegen/test_complex.py
        inputs, numbers = random_inputs(graph, rng)
        paired = pairs(graph)
        verify(paired)
        assert without_complex(paired) and parse(write(paired)) == paired
        mine, theirs = (evaluate(g, {name: change(a) for name, a in inputs.items()}, numbers)
                        for g, change in ((paired, apart), (graph, lambda a: a)))
        same(mine.outputs, theirs.outputs, seed)
        same(mine.updates, theirs.updates, seed)
        if seed % 2 == 0:
            back = gradient(graph)
            given = {**inputs, **cotangents(back, inputs, numbers, np.random.default_rng(seed))}
            kinds = {port.name: port.type.dtype for port in back.inputs}
            given = {name: a * (1 + 0j) if kinds[name] == "complex" else a for name, a in given.items()}
            found = evaluate(gradient(paired), {name: apart(a) for name, a in given.items()}, numbers).outputs
            same(found, evaluate(back, given, numbers).outputs, seed)


def test_a_graph_without_complex_numbers_stays() -> None:
    graph = random_graph(random.Random(1), 10)
    assert pairs(graph) is graph


def test_it_is_simplified_to_itself_twice() -> None:
    graph = random_graph(random.Random(7001), 10, waves=True)
    once = run(graph, (*INFERENCE, PAIRS, *INFERENCE))
    assert digest(run(once, (PAIRS, *INFERENCE))) == digest(run(once, INFERENCE))


def test_a_fn_with_a_derivative_of_its_own() -> None:
    """z -> z * z whose derivative is stated, in torch's convention: conj(2 z) times the cotangent."""
    n = Axis("n", Size.symbol("n"))
    z, dy = (Port(name, Type("complex", frozenset({n})), layout_of((n,))) for name in ("z", "dy"))
    body = Graph("square", (z,), (Output("y", build.apply("mul", z.node, z.node), layout_of((n,))),))
    slope = build.apply("mul", dy.node, build.apply("conj", build.apply("mul", z.node, build.const(2.0))))
    call = Call(body, Graph("square_grad", (z, dy), (Output("dz", slope, layout_of((n,))),)), ("z",))
    y = build.item(node("call", (z.node,), call), 0, z.type)
    graph = Graph("g", (z,), (Output("out", y, layout_of((n,))),))
    verify(pairs(graph))
    rng = np.random.default_rng(0)
    given = {name: rng.normal(size=3) + 1j * rng.normal(size=3) for name in ("z", "d_out")}
    found = evaluate(gradient(pairs(graph)), {name: apart(a) for name, a in given.items()}).outputs["d_z"]
    np.testing.assert_allclose(found, apart(given["d_out"] * np.conj(2 * given["z"])), rtol=1e-14)
    whole = evaluate(gradient(graph), given).outputs["d_z"]
    np.testing.assert_allclose(whole, given["d_out"] * np.conj(2 * given["z"]), rtol=1e-14)

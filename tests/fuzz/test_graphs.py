"""Random graphs through the tools of the graph: verifier, text form, digest, evaluator. A slice by default, 1,000 with --slow."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest

from archc.diagnostics.model import CompilerBug
from archc.ir.digest import digest
from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph, topological
from archc.ir.text import parse, write
from archc.ir.verify import verify
from archc.ops.table import OPS
from tests.fuzz.disguise import changed, disguised
from tests.fuzz.graphs import random_graph, random_inputs
from tests.shares import shares

WAVES = 5000
"""Seeds from here on make graphs with complex numbers."""
SLICES = [*shares(range(80), range(80, 280), range(280, 1000)),
          *shares(range(WAVES, WAVES + 40), range(WAVES + 40, WAVES + 140), range(WAVES + 140, WAVES + 500))]


def graph_of(seed: int) -> Graph:
    return random_graph(random.Random(seed), 6 + seed % 20, smooth=seed % 2 == 0, loops=seed % 3 == 0, waves=seed >= WAVES)


@pytest.mark.parametrize("seeds", SLICES)
def test_graphs_are_valid_and_finite(seeds: range) -> None:
    for seed in seeds:
        graph = graph_of(seed)
        verify(graph)
        result = evaluate(graph, *random_inputs(graph, random.Random(seed)))
        for array in (*result.outputs.values(), *result.updates.values(), *result.penalties.values()):
            assert array.dtype.kind not in "fc" or np.isfinite(array).all(), seed


@pytest.mark.parametrize("seeds", SLICES)
def test_text_round_trip(seeds: range) -> None:
    for seed in seeds:
        graph = graph_of(seed)
        text = write(graph)
        back = parse(text)
        assert back == graph, seed
        assert all(a is b for a, b in zip(back.roots, graph.roots, strict=True)), seed
        assert write(back) == text, seed


@pytest.mark.parametrize("seeds", SLICES)
def test_digest_is_blind_to_names_and_order(seeds: range) -> None:
    for seed in seeds:
        graph = graph_of(seed)
        other = disguised(graph, random.Random(seed))
        verify(other)
        assert digest(graph) == digest(other), seed


@pytest.mark.parametrize("seeds", SLICES)
def test_digest_sees_every_change(seeds: range) -> None:
    for seed in seeds:
        graph = graph_of(seed)
        original = digest(graph)
        changes = list(changed(graph))
        for what, other in random.Random(seed).sample(changes, min(10, len(changes))):
            if other != graph:
                assert digest(other) != original, (seed, what)


def test_digests_of_different_graphs_differ() -> None:
    seen: dict[str, Graph] = {}
    for seed in range(300):
        graph = graph_of(seed)
        other = seen.setdefault(digest(graph), graph)
        assert other == graph, seed


def test_a_disguised_graph_has_the_same_value() -> None:
    """Also holds the disguise itself to account."""
    for seed in range(0, 120, 2):
        graph = graph_of(seed)
        other = disguised(graph, random.Random(seed))
        inputs, numbers = random_inputs(graph, random.Random(seed))
        names = {a.name: b.name for a, b in zip(graph.inputs, other.inputs, strict=True)}
        values = {names[name]: value for name, value in inputs.items()}
        given = {names.get(name, name): value for name, value in numbers.items()}
        given |= {new: numbers[old] for old, new in zip(graph.numbers, other.numbers, strict=True)}
        a, b = evaluate(graph, inputs, numbers), evaluate(other, values, given)
        for left, right in zip(a.outputs.values(), b.outputs.values(), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12, err_msg=str(seed))


def test_every_form_is_drawn() -> None:
    seen = {node.op for seed in (*range(600), *range(WAVES, WAVES + 60)) for node in topological(graph_of(seed).roots)}
    forms = {"read", "accumulate", "random", "call", "scan", "item", "expand", "iota", "size", "const", "table", "input"}
    # Those that users cannot write, and tests of truth that random inputs never make interesting.
    assert (OPS.keys() | forms) - seen <= {"detach", "isfinite", "isnan", "finite_max"}


def test_a_damaged_text_is_a_value_error_with_a_line() -> None:
    rng = random.Random(5)
    for seed in range(60):
        text = write(graph_of(seed))
        for _ in range(40):
            place = rng.randrange(len(text))
            width = rng.choice([1, 1, 3, 20])
            instead = rng.choice(["", "(", "]", "%", " 0 // 0 ", '"', "-", "9", text[:width], "{", "\n"])
            damaged = text[:place] + instead + text[place + width :]
            try:
                graph = parse(damaged)
            except ValueError as problem:
                assert str(problem).startswith("line "), problem
                continue
            with contextlib.suppress(CompilerBug):  # nothing else, whatever is wrong with the graph
                verify(graph)
                assert digest(graph)
                assert parse(write(graph)) == graph


def test_a_text_nested_too_deep_is_a_value_error() -> None:
    size = "(" * 100_000 + "1" + ")" * 100_000
    with pytest.raises(ValueError, match="line 2: sizes are nested too deep"):
        parse(f"graph g()\n  %0 = size {size} : int\n  return r[] = %0\n")
    inside = "".join(f"loop $0 along t states 0 sequences 0 {{\ngraph g{i}()\n" for i in range(5000))
    with pytest.raises(ValueError, match="graphs are nested too deep"):
        parse("graph g()\n" + inside)

"""A sub-layer that was found right by itself is not checked again where it is called, unless the call decides something."""

from __future__ import annotations

import random

import pytest

from archc.checker import statements, units
from archc.checker.program import check_program
from tests.checker.programs import load
from tests.fuzz.programs import spliced

X, HEAD = "forward(x[n, c]) -> like x", "c: axis"


def inner(body: str, parameters: str = HEAD, forward: str = X, stored: str = "") -> str:
    return f"layer Inner({parameters}) {{\n{stored}\n    {forward} {{\n{body}\n    }}\n}}\n"


def outer(size: str, call: str = "inside(x)", result: str = "[n, a]") -> str:
    """Two layers around: the middle one hands on what the outer one decides."""
    middle = f"    inside = Inner(c=a)\n    forward(x[n, a]) -> {result} {{ return {call} }}\n"
    forward = f"    forward(x[n, b]) -> {result.replace('a', 'b')} {{ return inside(x) }}\n"
    last = f"    axis b = {size}\n    inside = Middle(a=b)\n{forward}"
    return f"layer Middle(a: axis) {{\n{middle}}}\nlayer Outer() {{\n{last}}}\n"


def diagnostics(text: str, monkeypatch: pytest.MonkeyPatch, inlined: bool) -> list[tuple[object, ...]]:
    with monkeypatch.context() as patch:
        if inlined:
            patch.setattr(units.Registry, "summary", lambda *_: None)
        program, problems = load(text)
        if program is not None and not problems.errors:
            check_program(program, problems)
    return [(p.kind.code, p.at, sorted((k, str(v)) for k, v in p.facts.items()), p.also) for p in problems.sorted()]


SPLIT = f"forward(x[n, (g=4 {'k'})=c]) -> like x"
DECIDED = {
    "a split that is not exact": ("split-not-exact", inner("return x", forward=SPLIT) + outer("6")),
    "a read beyond the end": ("index-outside", inner("return x[c = c + 0 * (c + 2)] + x[c = 4]") + outer("3")),
    "sizes that cannot agree": ("size-mismatch", inner(f"axis d = |c| // 2\n{'axis'} d = 3\nreturn x") + outer("4")),
    "a divisor that is 0": ("not-a-size", inner("axis d = |c| // (|c| - 4)\nreturn x * sum[d](d)") + outer("4")),
    "an index that sizes decide": ("index-outside", inner("return x[c = c * (|c| - 2)]") + outer("4")),
    "softmax over one of two": ("one-axis", inner("return sort[...](x)", forward="forward(x[..., c]) -> like x")
                                + outer("4", "inside(x[n = p] * x[n = q])", "[p=|n|, q=|n|, a]")),
    "a buffer stored twice": ("assigned-twice", inner("update m = m + 1\nreturn x * m", stored="buffer m[] = 0")
                              + outer("4", "inside(x) + inside(x)")),
    "an int where floats were": ("result-dtype", inner("return x // 2", forward="forward(x[n, c]) -> [n, c]: float")
                                 + outer("4", "inside(n + a)")),
}


@pytest.mark.parametrize("name", DECIDED)
def test_what_a_call_decides_is_said_as_if_it_were_inlined(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = DECIDED[name]
    found = diagnostics(text, monkeypatch, inlined=False)
    assert found == diagnostics(text, monkeypatch, inlined=True)
    assert code in [entry[0] for entry in found], found
    first = text[: text.index("layer Middle")]
    assert diagnostics(first, monkeypatch, inlined=False) == []  # by itself the layer is right


def test_random_programs_are_judged_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(4)
    for _ in range(150):
        text = spliced(rng)
        assert diagnostics(text, monkeypatch, inlined=False) == diagnostics(text, monkeypatch, inlined=True), text


def tower(levels: int) -> str:
    """Each level calls the one below twice."""
    text = inner("return gelu(x)").replace("Inner", "Level0")
    for level in range(1, levels):
        text += (f"layer Level{level}(c: axis) {{\n    one = Level{level - 1}(c=c)\n    two = Level{level - 1}(c=c)\n"
                 f"    {X} {{ return one(x) + two(x) }}\n}}\n")
    return text


def test_a_layer_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    run = []
    real = statements.results_of
    monkeypatch.setattr(statements, "results_of", lambda fn, frame: run.append(fn.name.name) or real(fn, frame))
    assert diagnostics(tower(11), monkeypatch, inlined=False) == []
    assert run == ["forward"] * 11


def test_what_was_not_inlined_counts_for_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    found = diagnostics(tower(14), monkeypatch, inlined=False)
    assert [entry[0] for entry in found] == ["limit"]
    assert found == diagnostics(tower(14), monkeypatch, inlined=True)


def test_a_default_axis_far_below_is_an_axis() -> None:
    text = inner("return x * sum[u](w)", "c: axis, u: axis = 24", stored="param w[u] = 0").replace("Inner", "Level0")
    for level in range(1, 5):
        text += f"layer Level{level}(c: axis) {{\n    below = Level{level - 1}(c=c)\n    {X} {{ return below(x) }}\n}}\n"
    program, problems = load(text)
    assert program is not None
    check_program(program, problems)
    assert problems.found == []

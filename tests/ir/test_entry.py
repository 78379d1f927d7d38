"""The entry plan: which symbols are read off which dimensions, what is checked, and what is said when it fails."""

from __future__ import annotations

import pytest

from archc.diagnostics.model import CompilerBug
from archc.ir.entry import Bind, Define, Fits, Lead, Solve, plan, solve
from archc.ir.text import parse


def sizes(text: str, numbers: dict[str, int] | None = None, **shapes: tuple[int, ...]) -> dict[str, int]:
    return solve(parse(text), numbers or {}, shapes)


def fails(text: str, numbers: dict[str, int] | None = None, **shapes: tuple[int, ...]) -> str:
    with pytest.raises(ValueError) as caught:
        sizes(text, numbers, **shapes)
    return str(caught.value)


PLAIN = "graph f(x: float[n, c], y: float[c])\n  return r[n, c] = %x\n"
SPLIT = """graph f(x: float[n, (g k)], param w: float[(g k)])
  numbers channels, groups
  axis g = groups
  define k = channels // groups of channels by groups
  return r[n, g, k] = %x
"""
DOTS = "graph f(x: float[..., c], y: float[..., c, d])\n  return r[..., c] = %x\n"


def test_symbols_are_read_off_dimensions() -> None:
    assert sizes(PLAIN, x=(2, 3), y=(3,)) == {"n": 2, "c": 3}
    steps = plan(parse(PLAIN))
    assert [type(step).__name__ for step in steps] == ["Rank", "Rank", "Bind", "Bind", "Fits"]


def test_sizes_of_one_axis_agree() -> None:
    assert fails(PLAIN, x=(2, 3), y=(4,)) == "y has 4 in dimension 0 (c), where c is 3"
    assert fails(PLAIN, x=(2, 3, 4), y=(4,)) == "x needs 2 dimensions, [n, c], and has 3"
    assert fails(PLAIN, x=(2, 3)) == "y is not given"


def test_a_split_with_its_whole_known() -> None:
    assert sizes(SPLIT, {"channels": 6, "groups": 2}, x=(5, 6), w=(6,)) == {"channels": 6, "groups": 2, "n": 5, "k": 3}
    assert fails(SPLIT, {"channels": 6, "groups": 4}, x=(5, 6), w=(6,)) == "channels is 6, which groups = 4 does not divide"
    wrong = fails(SPLIT, {"channels": 6, "groups": 2}, x=(5, 8), w=(6,))
    assert wrong == "x has 8 in dimension 1 (channels), where channels is 6"
    assert fails(SPLIT, {"channels": 6, "groups": 0}, x=(5, 6), w=(6,)) == "channels is 6, which groups = 0 does not divide"


def test_a_split_read_off_the_input() -> None:
    """A number that is not given is read off a shape where that is possible."""
    assert sizes(SPLIT, {"groups": 2}, x=(5, 6), w=(6,)) == {"groups": 2, "n": 5, "k": 3, "channels": 6}
    assert fails(SPLIT, {"groups": 2}, x=(5, 7), w=(7,)) == "x has 7 in dimension 1 (channels), which 2 groups do not divide"
    assert fails(SPLIT, {}, x=(5, 7), w=(7,)) == "channels and groups must be given"
    assert fails(SPLIT, {"groups": -2, "channels": 4}, x=(5, 4), w=(4,)) == "groups is -2, and a size is at least 0"


def test_linear_dimensions_are_solved() -> None:
    text = "graph f(x: float[u], y: float[h])\n  axis u = 2*h + 1\n  return r[u] = %x\n"
    assert sizes(text, x=(7,), y=(3,)) == {"h": 3}
    alone = "graph f(x: float[u])\n  axis u = 2*h + 1\n  axis z = h\n  return r[u, z] = %x\n"
    assert sizes(alone, x=(7,)) == {"h": 3}
    assert fails(alone, x=(6,)) == "x has 6 in dimension 0 (u), which is not 1 more than a multiple of 2"
    less = "graph f(x: float[u])\n  axis u = h + 4\n  return r[u] = %x\n"
    assert fails(less, x=(3,)) == "x has 3 in dimension 0 (u), which is less than 4"


def test_leading_dimensions() -> None:
    assert sizes(DOTS, x=(2, 1, 3), y=(4, 3, 5)) == {"...": 8, "c": 3, "d": 5}
    assert sizes(DOTS, x=(3,), y=(3, 5)) == {"...": 1, "c": 3, "d": 5}
    assert fails(DOTS, x=(2, 3), y=(4, 3, 5)) == "the leading dimensions of x and y do not broadcast together: (2,), (4,)"
    assert fails(DOTS, x=(), y=(3, 5)) == "x needs at least 1 dimension, [..., c], and has 0"
    assert fails(DOTS, x=(2, 4), y=(2, 3, 5)) == "y has 3 in dimension -2 (c), where c is 4"
    assert sum(isinstance(step, Lead) for step in plan(parse(DOTS))) == 1


def test_checks_of_the_graph_come_last() -> None:
    text = PLAIN + '  require n >= 2 "n is {found}, below {expected}"\n  require c == 2*n "c is {found}, twice n is {expected}"\n'
    assert sizes(text, x=(2, 4), y=(4,))
    assert fails(text, x=(1, 2), y=(2,)) == "n is 1, below 2"
    assert fails(text, x=(2, 3), y=(3,)) == "c is 3, twice n is 4"


def test_no_axis_has_less_than_nothing() -> None:
    text = "graph f(x: float[t])\n  axis u = t - 3\n  %0 = iota u : int[u]\n  return r[u] = %0\n"
    assert sizes(text, x=(3,)) == {"t": 3}
    assert fails(text, x=(2,)) == "axis u = t - 3 would have -1 elements"


def test_an_undetermined_size_is_a_bug() -> None:
    with pytest.raises(CompilerBug, match="nothing determines the size m of graph f"):
        plan(parse("graph f(x: float[n])\n  %0 = size m : int\n  return r[n] = %0\n"))
    with pytest.raises(CompilerBug, match="nothing determines the size g, k"):
        plan(parse("graph f(x: float[(g k)])\n  return r[g, k] = %x\n"))


def test_kinds_of_steps() -> None:
    steps = plan(parse(SPLIT))
    assert [type(step) for step in steps[2:]] == [Bind, Define, Fits, Fits]
    steps = plan(parse(SPLIT), known=["groups"])
    assert [type(step) for step in steps[2:]] == [Bind, Solve, Define, Fits]

"""Suggestions only where a name is near."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archc.diagnostics.suggest import distance, nearest


@pytest.mark.parametrize(
    ("name", "among", "meant"),
    [
        ("chanels", ["channels", "n", "h"], ["channels"]),
        ("retrun", ["return", "state"], ["return"]),
        ("Gamma", ["gamma", "gama"], ["gamma"]),
        ("running_mean", ["runningMean", "running_men"], ["runningMean"]),
        ("x", ["y", "w"], []),
        ("xy", ["x", "xz", "yx", "ab"], ["x", "xz", "yx"]),
        ("kernel", ["colonel", "stride"], []),
        ("heads", ["head", "heads2", "hads", "read"], ["hads", "head", "heads2"]),
        ("a1", ["a2", "a3", "a4", "a5"], ["a2", "a3", "a4"]),
        ("same", ["same", "name"], ["name"]),
        ("anything", [], []),
        ("", ["a"], []),
    ],
)
def test_nearest(name: str, among: list[str], meant: list[str]) -> None:
    assert nearest(name, among) == meant


WORD = st.text("abc", max_size=6)


@given(WORD, WORD, st.integers(0, 6))
def test_distance_is_symmetric_bounded_and_zero_for_equals_alone(a: str, b: str, most: int) -> None:
    found = distance(a, b, most)
    assert found == distance(b, a, most) <= most + 1
    assert (found == 0) == (a == b)
    assert found == min(distance(a, b, 20), most + 1)

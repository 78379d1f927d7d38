"""Symbolic sizes: one canonical form, floor division, substitution; against Python's integers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from archc.checker.sizes import Size, common_factor

NAMES = ("a", "b", "c")
VALUES = {"a": 3, "b": 4, "c": 7}


def sizes() -> st.SearchStrategy[Size]:
    leaves = st.one_of(st.integers(-6, 6).map(Size.of), st.sampled_from(NAMES).map(Size.symbol))

    def extend(inner: st.SearchStrategy[Size]) -> st.SearchStrategy[Size]:
        return st.one_of(
            st.tuples(inner, inner).map(lambda p: p[0] + p[1]),
            st.tuples(inner, inner).map(lambda p: p[0] * p[1]),
            st.tuples(inner, inner).map(lambda p: p[0] - p[1]),
            st.tuples(inner, inner).map(lambda p: p[0].largest(p[1])),
            st.tuples(inner, st.integers(1, 5)).map(lambda p: p[0] // p[1]),
        )

    return st.recursive(leaves, extend, max_leaves=6)


@given(sizes(), sizes(), st.dictionaries(st.sampled_from(NAMES), st.integers(0, 20), min_size=3))
def test_arithmetic_is_that_of_integers(x: Size, y: Size, values: dict[str, int]) -> None:
    a, b = x.evaluate(values), y.evaluate(values)
    assert (x + y).evaluate(values) == a + b
    assert (x - y).evaluate(values) == a - b
    assert (x * y).evaluate(values) == a * b
    assert x.largest(y).evaluate(values) == max(a, b)
    for divisor in (1, 2, 3, 7):
        assert (x // divisor).evaluate(values) == a // divisor
        assert (x % divisor).evaluate(values) == a % divisor
        if x.divisible_by(divisor):
            assert a % divisor == 0
    if factor := common_factor(x):
        assert a % factor == 0


@given(sizes(), sizes())
def test_equal_polynomials_are_equal_objects(x: Size, y: Size) -> None:
    assert x + y == y + x and hash(x * y) == hash(y * x)
    assert (x + y) - y == x
    assert (x + y) * (x - y) == x * x - y * y


@given(sizes(), sizes())
def test_substitution_commutes_with_evaluation(x: Size, replacement: Size) -> None:
    assert x.substitute({"a": replacement}).evaluate(VALUES) == x.evaluate({**VALUES, "a": replacement.evaluate(VALUES)})


@given(sizes())
def test_the_spelling_is_python(x: Size) -> None:
    assert eval(x.spell(lambda name: name), {"max": max}, dict(VALUES)) == x.evaluate(VALUES)
    assert x.symbols <= set(NAMES)


def test_a_division_that_comes_out_even_leaves_no_quotient() -> None:
    k, groups = Size.symbol("k"), Size.symbol("groups")
    assert (groups * k) // groups == k
    assert (4 * k + 6) // 4 == k + 1
    assert str((k + 1) // 2) == "((k + 1) // 2)"

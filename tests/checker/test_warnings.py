"""Warnings: where they are due, and above all where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from archc import api
from archc.diagnostics.warning_codes import OUTER_PRODUCT, SHADOWED_NAME, UNUSED_PARAM

ROOT = Path(__file__).parents[2]
FILES = sorted((*(ROOT / "stdlib").glob("*.arch"), *(ROOT / "examples").glob("*/*.arch")))
CODES = {kind.code for kind in (OUTER_PRODUCT, SHADOWED_NAME, UNUSED_PARAM)}


def found(text: str) -> list[tuple[str, int]]:
    return [(d.code, d.line) for d in api.check(text, "warnings.arch")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_file_that_ships_is_warned_of(path: Path) -> None:
    assert [d for d in api.check_file(path) if d.code in CODES] == []


def layer(body: str, signature: str = "forward(x[n, c], y[m, c])", result: str = "[n, c]") -> str:
    return f"layer A(c: axis) {{\n    {signature} -> {result} {{\n        {body}\n    }}\n}}\n"


@pytest.mark.parametrize("text", [
    layer("both = x + y\n        return sum[m](both)"),
    layer("both = x * y\n        s = exp(both)\n        return x * max[m](s)"),
    "fn f(a[n], b[m]) -> [n] {\n    both = where(a > b,\n        a * 2, b)\n    return max[m](both)\n}\n",
    "fn f(a[n]) {\n    axis m = |n|\n    both = a * a[n = m] + 1\n    return sum[m](both)\n}\n",
])
def test_an_outer_product_by_accident(text: str) -> None:
    assert {code for code, _ in found(text)} == {"outer-product"}


@pytest.mark.parametrize("text", [
    layer("return sum[m](x * y)"),  # a reduction stands around it
    layer("both = x * y\n        return both", result="[m, n, c]"),  # it is the result
    layer("d = x - y\n        return sum[c](d ^ 2)", result="[n, m]"),  # a distance
    layer("s = sum[c](x * y)\n        near = exp(n - m)\n        return sum[m](near * s * y)"),  # a sum has both axes
    layer("both = x * y\n        return sum[m](both) + max[m](both)"),  # two read it: none can be moved before it
    "fn f(a[n], b[m], c[n, k]) -> [n, z = |m| + |k|] {\n    axis z = m + k\n    return cat[z](a * b, c)\n}\n",
    layer("t = x - k\n        return sum[k](w * t)", signature="forward(x[n, c], w[o, k])", result="[n, c, o]"),
    "fn f(a[t], b[s]) { return a * b }\n",
    "fn f(q[..., t, d], k[..., s, d], v[..., s, e], start[..., d, e] = 0) -> (y[..., t, e]) {\n"
    "    axis u = |s|\n    scan t {\n        state S[..., d, e] = start\n        S = S + q * sum[s](v)\n"
    "        yield y = sum[d](q * S)\n    }\n}\n",
])
def test_an_outer_product_on_purpose(text: str) -> None:
    assert found(text) == []


def test_its_size_is_said() -> None:
    text = "fn f(a[n], b[m]) -> [n] {\n    both = a * b\n    return sum[m](both)\n}\n"
    (problem,) = api.check(text, "a.arch")
    assert problem.severity == "warning" and "|m| * |n| elements along [m, n]" in problem.message


def test_params_that_a_branch_or_an_initialiser_reads() -> None:
    text = """layer A(c: axis, static deep: bool = false) {
    param a[c] = 1
    param b[c] = 2 * a
    if deep { param d[c] = 1 }
    param e[c] = 1
    forward(x[c]) -> like x {
        if deep { return x * b * d } else { return x * b }
    }
    fn shown(x[c]) -> like x { return x * e }
}
"""
    assert found(text) == [("unused-param", 2)]


@pytest.mark.parametrize(("text", "expected"), [
    ("fn relu(x) { return max(x, 0) }\n", [("shadowed-name", 1)]),
    ("fn f(x, exp: float = 2.0) { return x * exp }\n", [("shadowed-name", 1)]),
    ("fn f(x[softmax]) -> like x { return x }\n", [("shadowed-name", 1)]),
    ("fn f(x[normal]) -> like x { return x }\n", []),  # initialisers have no meaning in a fn
    ("layer A(c: axis) {\n    param g[c] = 1\n    forward(x[..., c]) -> like x { return x * g }\n}\n", []),
    ("layer A(c: axis) {\n    param g[c] = 1\n    forward(x[..., c]) -> like x {\n        g = x * g\n        return g\n"
     "    }\n}\n",
     [("shadowed-name", 4)]),
    ("layer A(c: axis) {\n    param w[k=2, c] = 1\n    forward(x[..., c]) -> [..., k] { return sum[c](w * x) }\n}\n", []),
])
def test_names_that_hide_others(text: str, expected: list[tuple[str, int]]) -> None:
    assert found(text) == expected

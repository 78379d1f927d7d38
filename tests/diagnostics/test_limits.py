"""Every limit is met by a program, within two seconds, by one sentence that has its value."""

from __future__ import annotations

import time

import pytest

from archc import api
from archc.diagnostics.model import Problems
from archc.limits import LIMITS
from archc.syntax.parse import parse

STACK = """
import std.linear
layer Stack(c: axis, static depth: int = {depth}) {{
    blocks = repeat depth {{ Linear(i=c, o=c) }}
    forward(x[n, c]) -> like x {{
        {body}
        return x
    }}
}}
"""
PROGRAMS = {
    "characters": "#" * (LIMITS["characters"].value + 1),
    "tokens": "fn f(x) { y = [" + "1, " * LIMITS["tokens"].value + "] }",
    "nesting": "fn f(x) { y = " + "(" * 10_000,
    "name": f"fn {'f' * (LIMITS['name'].value + 1)}(x) {{ return x }}",
    "integer": f"fn f(x) {{ return x * {LIMITS['integer'].value + 1} }}",
    "errors": "fn f(x) { return }\n" * (LIMITS["errors"].value + 1),
    "repetitions": STACK.format(depth=LIMITS["repetitions"].value + 1, body="for block in blocks { x = block(x) }"),
    "calls": STACK.format(depth=75, body="for i in range(depth) { for block in blocks { x = block(x) } }"),
    "statements": STACK.format(depth=800, body="for i in range(depth) { for j in range(depth) { y = x } }"),
    "call depth": "layer Deep(c: axis, static depth: int = 100) {\n"
    "    if depth > 0 { inner = Deep(c=c, depth=depth - 1) }\n"
    "    forward(x[n, c]) -> like x { if depth > 0 { return inner(x) } else { return x } }\n}\n",
    "evaluations": "fn f(x) { return " + "-(" * 150 + "f(x)" + ")" * 150 + " }\n",
    "terms of a size": "fn f(x[a, b, c, d]) -> [] {\n    axis z = "
    + " * ".join(f"(|a| + |b| + |c| + |d| + {i})" for i in range(1, 5))
    + "\n    return sum[a, b, c, d, z](x * z)\n}\n",
}


def test_a_layer_that_contains_itself_without_an_end_in_ever_other_ways() -> None:
    text = """layer Deep(c: axis, static at: int = 0) {
    if at < 3 { inner = Deep(c=c, at=at - 1) }
    forward(x[n, c]) -> like x { return x }
}
"""
    (found,) = api.check(text, "deep.arch")
    assert (found.code, found.line) == ("limit", 1)


@pytest.mark.parametrize("name", LIMITS)
def test_limit(name: str) -> None:
    start = time.process_time()
    found = api.check(PROGRAMS[name], "limits.arch")
    took = time.process_time() - start
    limits = [diagnostic for diagnostic in found if diagnostic.code == "limit"]
    assert [str(LIMITS[name].value) in diagnostic.message for diagnostic in limits] == [True], [str(d) for d in found]
    assert took < 2


def test_a_limit_is_told_once_beside_other_errors() -> None:
    problems = Problems()
    parse("fn f(x) { y = " + "(" * 10_000 + "\nfn g(x) { return x ** 2 }\n", "a.arch", problems)
    assert [problem.kind.code for problem in problems.sorted()] == ["limit", "power-sign"]

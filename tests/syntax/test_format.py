"""`archc.syntax.format`: idempotent, keeps every comment and the meaning, and lays out as the standard library is."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archc.diagnostics.model import Problems
from archc.syntax import tree
from archc.syntax.format import alike, format_text
from archc.syntax.lexer import lex
from archc.syntax.parse import parse
from archc.syntax.reflow import WIDTH
from archc.syntax.tables import load

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = [ROOT / "stdlib", ROOT / "examples", ROOT / "starters"]
FILES = sorted(path for folder in (*LIBRARY, ROOT / "tests") for path in folder.rglob("*.arch"))


def formatted(text: str) -> str:
    problems = Problems()
    result = format_text(text, "a.arch", problems)
    assert result is not None, problems.found
    return result


def parsed(text: str) -> tree.File:
    problems = Problems()
    file = parse(text, "a.arch", problems)
    assert file is not None and not problems.errors, problems.found
    return file


def good(text: str) -> bool:
    problems = Problems()
    return parse(text, "a.arch", problems) is not None and not problems.errors


def holds(text: str) -> str:
    """Everything that is promised of any text without errors of syntax; gives the text laid out."""
    result = formatted(text)
    assert formatted(result) == result
    before, after = parsed(text), parsed(result)
    assert alike(before, after)
    assert [comment for comment, _ in before.comments] == [comment for comment, _ in after.comments]
    assert result.endswith("\n") and "\n\n\n" not in result and not result.startswith("\n")
    assert not [line for line in result.split("\n") if line != line.rstrip()]
    return result


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_parses(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if good(text):
        lines = holds(text).splitlines()
        long = [line for line in lines if len(line) > WIDTH and not line.lstrip().startswith("#")]
        assert long == [] or "errors" in path.parts
    else:
        problems = Problems()
        assert format_text(text, "a.arch", problems) is None and problems.errors


@lru_cache
def corpus() -> list[str]:
    return [text for path in FILES if good(text := path.read_text(encoding="utf-8"))]


def disturb(text: str, draw: random.Random) -> str:
    """The same program with other white space, and with comments wherever one may stand."""
    out: list[str] = []
    brackets: list[str] = []
    tokens = lex(text, "a.arch", load()).tokens
    every = draw.choice([2, 5, 30])
    for before, token in zip([None, *tokens], tokens, strict=False):
        free = before is None or (brackets and brackets[-1] != "{") or before.text in ("{", ",") or token.text == "}"
        if token.kind == "_NL":
            out.append(draw.choice(["\n", "\n", "\n\n\n", "  \n", "\t# at the end\n", "\n# alone\n", " # both\n\n   #  twice\n"]))
        elif free and draw.randrange(every) == 0:
            out.append(draw.choice(["\n", "\n\n", "   ", " # inside\n", "\n  # inside, alone\n"]))
        else:
            out.append(draw.choice(["", " ", "  "]) if loose(before, token) else " ")
        out.append("" if token.kind == "_NL" else token.text)
        if token.text in ("(", "[", "{"):
            brackets.append(token.text)
        elif token.text in (")", "]", "}"):
            brackets.pop()
    return "".join(out)


def loose(before: object, token: object) -> bool:
    """Whether two tokens stay two without a space between them."""
    signs = set("()[]{},:")
    return getattr(before, "text", "") in signs or getattr(token, "text", "") in signs


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_layout(draw: random.Random) -> None:
    text = draw.choice(corpus())
    mutated = disturb(text, draw)
    if good(mutated):  # a comment may have come between a declaration and what it belongs to
        holds(mutated)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_layout_at_length(draw: random.Random) -> None:
    mutated = disturb(draw.choice(corpus()), draw)
    if good(mutated):
        holds(mutated)


@pytest.mark.parametrize(
    "source, expected",
    [
        ("fn f(x){return -x^2+ x*3}", "fn f(x) { return -x^2 + x * 3 }\n"),
        ("fn f( x ){\nreturn not x\n}\n", "fn f(x) {\n    return not x\n}\n"),
        ("fn f(x) {\n\n\n    a = 1 # why\n\n\n    return a\n\n}", "fn f(x) {\n    a = 1  # why\n\n    return a\n}\n"),
        ("fn f(x) { return |  n | }", "fn f(x) { return |n| }\n"),
        ("fn f(x) { return g( i = 3,k = 2, ) }", "fn f(x) { return g(i=3, k=2) }\n"),
        ("fn f(x[n]) { return x[ n=n-1   else 0 ] }", "fn f(x[n]) { return x[n = n - 1 else 0] }\n"),
        ("fn f(x[n, (g = 8   k) = c]) -> [n, u=|c|+1] { return x }", "fn f(x[n, (g=8 k)=c]) -> [n, u = |c| + 1] { return x }\n"),
        ("fn f(x,act: fn( y ) = silu) { return act (x) }", "fn f(x, act: fn(y) = silu) { return act(x) }\n"),
        ("fn f(x) surrogate grad( dy ) {x:dy} { return sign(x) }", "fn f(x) surrogate grad(dy) { x: dy } { return sign(x) }\n"),
        ("import std.norm       # a\nfn f(x) { return x }  # b\n", "import std.norm  # a\n\nfn f(x) { return x }  # b\n"),
        ("fn f(x) {}", "fn f(x) {}\n"),
        ("import  std . kan\nimport std.norm\nfn f(x) { return x }\nfn g(x) { return x }",
         "import std.kan\nimport std.norm\n\nfn f(x) { return x }\nfn g(x) { return x }\n"),
        ("fn f(x) { return x }\nfn g(x) {\nreturn x }\nfn h(x) { return x }",
         "fn f(x) { return x }\n\nfn g(x) {\n    return x\n}\n\nfn h(x) { return x }\n"),
        ("layer A() {\n  a     = B(c=1,\n d=2)\n  other = C(\"" + 80 * "a" + "\", b=1, c=\"" + 40 * "b" + "\")\n  c     = D() }",
         "layer A() {\n    a     = B(c=1, d=2)\n    other = C(\"" + 80 * "a" + "\", b=1,\n              c=\"" + 40 * "b" + "\")\n"
         "    c     = D()\n}\n"),
        ("fn f(x) -> [(part = 2 d) = e, u=3] { return x }", "fn f(x) -> [(part=2 d)=e, u = 3] { return x }\n"),
        ("# one\n\n\n# of f\nfn f(x) { return x }\n# of g\nfn g(x) { return x } # end",
         "# one\n\n# of f\nfn f(x) { return x }\n\n# of g\nfn g(x) { return x }  # end\n"),
        ("fn f(x) { # head\n# body\n}", "fn f(x) {  # head\n    # body\n}\n"),
        ("fn f(x) { return g(x, # first\n 2) }", "fn f(x) {\n    return g(x,  # first\n             2)\n}\n"),
        ("fn f(x) {\n  a   = 1\n  bcd = 2\n  e = 3\n return a }",
         "fn f(x) {\n    a   = 1\n    bcd = 2\n    e = 3\n    return a\n}\n"),
        ("fn f(x) {\n  t = [[1,0],\n [0,1] ]\n  return t }", "fn f(x) {\n    t = [[1, 0],\n         [0, 1]]\n    return t\n}\n"),
        ("fn f(x) {\r\n  return (x)\r\n}\r\n", "fn f(x) {\n    return (x)\n}\n"),
        ("layer A() { p = repeat 3 {B()}\n forward(x) -> like x {for b in p {x=b(x)}\nreturn x} }",
         "layer A() {\n    p = repeat 3 { B() }\n    forward(x) -> like x {\n        for b in p { x = b(x) }\n        return x\n"
         "    }\n}\n"),
        ("fn f(x) {\n if a {return x}\n else { return  -1 } }", "fn f(x) {\n    if a { return x } else { return -1 }\n}\n"),
        ("search s {\n judge a of B(norm = Act),C on d\n}", "search s {\n    judge a of B(norm=Act), C on d\n}\n"),
        ("", ""),
        ("# only this", "# only this\n"),
    ],
)
def test_the_style(source: str, expected: str) -> None:
    assert formatted(source) == expected
    assert formatted(expected) == expected


@pytest.mark.parametrize("lines", [
    ["param b[chan]     = 1", "param gamma[chan] = 1", "param longer[chan,  # a", "k=3] = 2"],
    ["param b[c]                 = 1", f"param gamma[wide=3, other] = {110 * 'a'}(3)"],
    ["param b[c]                 = 1", f"param gamma[wide=3, other] = {102 * 'a'}"],
    ["abcd = 1  # one", "b = 2     # two", "y = g(x,  # a", "2)  # three"],
])
def test_columns_are_kept_where_a_line_beside_is_broken(lines: list[str]) -> None:
    """The second time the broken line may begin or end in the column that its neighbours have."""
    text = "\n".join(["layer A(c: axis) {", *lines, "forward(x) -> like x { return x }", "}", ""])
    result = holds(text)
    assert (lines[0] in result) == ("aaa" not in text)


def test_long_signatures_break_as_in_the_library() -> None:
    names = ", ".join(f"static number{n}: int = 3" for n in range(7))
    assert formatted(f"layer Long({names}) {{ forward(x) -> like x {{ return x }} }}") == (
        "layer Long(static number0: int = 3, static number1: int = 3, static number2: int = 3, static number3: int = 3,\n"
        "           static number4: int = 3, static number5: int = 3, static number6: int = 3) {\n"
        "    forward(x) -> like x { return x }\n"
        "}\n")
    long = ("fn f(q[..., t, key], k[..., s, key], v[..., s, value], start[..., key] = 0) -> "
            "(first[..., t, value], second[..., t, value], third[..., t, z]) {}")
    assert formatted(long) == (
        "fn f(q[..., t, key], k[..., s, key], v[..., s, value], start[..., key] = 0)\n"
        "        -> (first[..., t, value], second[..., t, value], third[..., t, z]) {}\n")


def test_of_two_declarations_on_one_line_the_outer_has_the_comment() -> None:
    file = parsed("# about A\nlayer A() { forward(x) -> like x { return x } }")
    layer = file.declarations[0]
    assert isinstance(layer, tree.Layer) and (layer.doc, layer.methods[0].doc) == ("about A", "")

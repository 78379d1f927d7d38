"""Syntax errors say what is wrong in the reader's terms, and one file tells all of its errors."""

from __future__ import annotations

import pytest

from archc.diagnostics.model import Problem, Problems
from archc.diagnostics.render import concise, missing_facts, terminal, texts
from archc.limits import LIMITS
from archc.syntax import habits, mistakes
from archc.syntax.parse import parse
from archc.syntax.parser import SyntaxProblem


def problems_of(text: str) -> list[Problem]:
    problems = Problems()
    parse(text, "test.arch", problems)
    for problem in problems.found:
        assert not missing_facts(problem), problem
        shown = terminal(problem, {"test.arch": text}) + concise(problem)
        assert not any(name in shown for name in ("LPAR", "RSQB", "_NL", "$END", "__ANON", "_SPLIT")), shown
    return problems.sorted()


def codes_of(text: str) -> list[str]:
    return [problem.kind.code for problem in problems_of(text)]


@pytest.mark.parametrize(("kind", "snippet"), [(kind, text) for kind, snippets in habits.EXAMPLES for text in snippets])
def test_every_example_is_explained_by_its_own_kind(kind: object, snippet: str) -> None:
    (problem,) = problems_of(snippet)
    assert problem.kind is kind


def test_no_two_examples_are_in_one_situation() -> None:
    seen: dict[tuple[str, frozenset[str]], str] = {}
    for problem, kind in mistakes.first_errors():
        key = mistakes.sort(problem.token), mistakes.situation(tuple(problem.stack))
        assert key not in seen, f"{kind.code}: {problem.tokens} is like {seen[key]}"
        seen[key] = kind.code


@pytest.mark.parametrize(
    ("line", "code", "at"),
    [
        ("y = x ** 2", "power-sign", "**"),
        ("y = a && b", "logic-sign", "&&"),
        ("y = a || b", "logic-sign", "||"),
        ("y = !a", "logic-sign", "!"),
        ("y = ~a", "logic-sign", "~"),
        ("y = a @ b", "matmul-sign", "@"),
        ("y = 1; z = 2", "semicolon", ";"),
        ("/* text */", "comment-sign", "/*"),
        ("y = a + \\", "line-join", "\\"),
        ("y = a ? b : c", "question", "?"),
        ("y = 'a'", "quotes", "'"),
        ('y = "a', "unclosed-string", '"'),
        ("y += 1", "augmented", "+="),
        ("y //= 2", "augmented", "//="),
        ("y = z -= 2", "augmented", "-="),
        ("y = 2x", "number-name", "2x"),
        ("y = 1_000", "number-name", "1_000"),
        ("y = β + 1", "letters", "β"),
        ("y = naïve", "letters", "naïve"),
        ("y = a × b", "character", "×"),
        ("y = $", "character", "$"),
        ("y = a\u00a0+ b", "character", "\u00a0"),
        ("return", "return-nothing", "return"),
        ("y = lambda z: z", "lambda", "lambda"),
        ("y = 1 if a else 2", "conditional", "if"),
        ("y = [a for b in c]", "comprehension", "for"),
        ("y = 1 // the first one", "comment-sign", "//"),
        ("let y = 1", "foreign-statement", "let"),
        ("retrun y", "foreign-statement", "retrun"),
        ("while a { }", "foreign-statement", "while"),
        ("elif a { }", "foreign-statement", "elif"),
        ("and = 2", "reserved", "and"),
        ("y = f(x]", "unclosed", "("),
        ("y = x)", "stray-bracket", ")"),
        ("y = (a", "unclosed", "("),
        ("y = a b", "syntax", "b"),
        ("y = -> 2", "syntax", "->"),
        ("y = where(x > 0 x, 0)", "missing-comma", "x"),
        ("y = f(x) with a", "syntax", "a"),
        ("fn g(x) { }", "foreign-statement", "fn"),
    ],
)
def test_a_line_in_a_body(line: str, code: str, at: str) -> None:
    text = f"fn f(x) {{\n    {line}\n}}\n"
    (problem,) = problems_of(text)
    assert problem.kind.code == code, concise(problem)
    place = problem.at
    assert place is not None and place.line == 2
    assert text.split("\n")[1][place.column - 1 : place.end_column - 1] == at


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("def f(x) { }", "foreign-declaration", "fn name(x)"),
        ("class A(c: axis) { }", "foreign-declaration", "layer Name"),
        ("layr A(c: axis) { }", "outside", "did you mean 'layer'?"),
        ("from std import norm", "foreign-declaration", "import std.norm"),
        ("layer A(x[n]) { }", "layer-input", "forward"),
        ("layer A(c) { }", "layer-input", "'c: axis'"),
        ("fn f(g: fn) { }", "fn-kind", "fn(x)"),
        ("layer A(c: axis) { space { nodes 1 } }", "space-outside-hole", "hole"),
        ('fn f(x) { y = "\\d" }', "unknown-escape", "backslash"),
        ("fn f(x) { y = 1e400 }", "number-too-large", "inf"),
        ("fn f(x) { y = β }", "letters", "'beta'"),
        ("fn f(x) { y = a ≤ b }", "character", "'<='"),
        ('"""A module."""', "comment-sign", "#"),
        ("layer A() { forward(x) { retrun x } }", "foreign-statement", "'return'"),
    ],
)
def test_the_way_out(text: str, code: str, hint: str) -> None:
    problem = problems_of(text)[0]
    assert problem.kind.code == code
    assert hint in texts(problem).hint


def test_all_errors_of_a_file_are_told_at_once() -> None:
    text = """fn a(x) { y = x ** 2 }
fn good(x) { return x }
layer B(c: axis) {
    param w[c] = (1
    fn inner(x) { return x }
}
fn c(x) { return }
search d { hole 3 }
import "e"
fn good_too(x) { return x }
"""
    assert [(p.kind.code, p.at.line) for p in problems_of(text) if p.at] == [
        ("power-sign", 1), ("unclosed", 4), ("return-nothing", 7), ("syntax", 8), ("import-path", 9),
    ]  # fmt: skip


def test_a_missing_brace_is_found_by_indentation() -> None:
    text = """layer A(c: axis) {
    forward(x) {
        if a {
            y = 1
        return y
    }
}
"""
    (problem,) = problems_of(text)
    assert problem.kind.code == "unclosed" and problem.at is not None and problem.at.line == 3


def test_a_missing_brace_of_one_declaration_does_not_hide_the_next() -> None:
    text = "fn a(x) {\n    y = 1\n\nfn b(x) { return x ** 2 }\n"
    assert codes_of(text) == ["unclosed", "power-sign"]


def test_at_most_a_stated_number_of_errors_is_told() -> None:
    found = codes_of("fn f(x) { return }\n" * 100)
    assert found == ["return-nothing"] * LIMITS["errors"].value + ["limit"]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("fn f(x) { y = " + "(" * 10_000 + ")" * 10_000 + " }", "nesting"),
        ("fn f(x) { y = " + "[" * 10_000, "nesting"),
        ("fn f(x) " + "{ if a " * 10_000, "nesting"),
        ("fn f(x) { y = " + "-" * 10_000 + "x }", "nesting"),
        ("fn f(x) { y = " + "not " * 10_000 + "x }", "nesting"),
        ("fn f(x) { y = " + "x^" * 10_000 + "x }", "nesting"),
        ("fn f(x) { y = " + "x+" * 10_000 + "x }", "nesting"),
        ("fn f(x) { y = x" + "(1)" * 10_000 + " }", "nesting"),
        ("fn f(x) { y = x" + ".a" * 10_000 + " }", "nesting"),
        ("fn f(x) { y = x" + "[a = x" * 10_000 + " }", "nesting"),
        ("fn f(x) { if a { } " + "else if a { } " * 10_000 + " }", "nesting"),
        ("fn f(x) { axis c = " + "(a b " * 10_000 + " }", "nesting"),
        ("fn f(x[" + "(a (" * 10_000 + " }", "nesting"),
        ("fn f(x) { y = " + "repeat 2 {" * 10_000 + " }", "nesting"),
        ("fn f(x) { y = repeat" + "(repeat" * 10_000 + " }", "nesting"),
        ("x" * 1_000_001, "characters"),
        ("\n" * 1_000_001, "characters"),
        ("import a\n" * 100_000, "tokens"),
        ("fn f(" + "x" * 201 + ") { }", "name"),
        ("fn f(x) { y = " + "9" * 10_000 + " }", "integer"),
        ("fn f(x) { y = 9223372036854775808 }", "integer"),
    ],
    ids=lambda value: value if len(value) < 20 else "",
)
def test_limits_are_met_with_one_sentence(text: str, limit: str) -> None:
    problems = problems_of(text)
    assert [p.kind.code for p in problems] == ["limit"]
    assert problems[0].facts["limit"] == limit and problems[0].kind.exit == "limit"
    assert str(LIMITS[limit].value) in concise(problems[0])


def test_what_is_just_inside_the_limits_parses() -> None:
    problems = Problems()
    deep = LIMITS["nesting"].value - 6
    assert parse("fn f(x) { y = " + "(" * deep + "x" + ")" * deep + " }", "x", problems)
    assert parse("fn f(x) { y = " + "-" * deep + "x }", "x", problems)
    assert parse("fn f(x) { y = 9223372036854775807 }", "x", problems)
    assert parse("fn f(" + "x" * LIMITS["name"].value + ") { }", "x", problems)
    assert not problems.found


def test_syntax_problem_knows_its_token() -> None:
    problem, _ = mistakes.first_errors()[0]
    assert isinstance(problem, SyntaxProblem)
    assert problem.tokens[problem.at] is problem.token and problem.before is problem.tokens[problem.at - 1]

"""What parses, and into what."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from archc.diagnostics.model import Problems
from archc.diagnostics.render import concise
from archc.syntax import tree
from archc.syntax.parse import parse, parse_expression

SOURCES = Path(__file__).parents[2]


def parsed(text: str) -> tree.File:
    problems = Problems()
    file = parse(text, "test.arch", problems)
    assert file is not None and not problems.found, [concise(problem) for problem in problems.found]
    return file


def body(text: str) -> tuple[tree.Statement, ...]:
    fn = parsed(f"fn f(x) {{\n{text}\n}}").declarations[0]
    assert isinstance(fn, tree.Fn)
    return fn.body


def shown(node: object) -> str:
    """A tree on one line: operators in parentheses, other nodes by class name."""
    if isinstance(node, tree.Ident | tree.Name):
        return node.name
    if isinstance(node, tree.Number | tree.Bool | tree.String):
        return repr(node.value)
    if isinstance(node, tree.Binary):
        return f"({shown(node.left)} {node.op} {shown(node.right)})"
    if isinstance(node, tree.Unary):
        return f"({node.op} {shown(node.operand)})"
    if isinstance(node, tuple):
        return "[" + " ".join(shown(item) for item in node) + "]"
    if is_dataclass(node):
        parts = [shown(getattr(node, f.name)) for f in fields(node) if f.name not in ("span", "doc")]
        return f"{type(node).__name__}({' '.join(parts)})"
    return str(node)


@pytest.mark.parametrize(
    "path", sorted([*SOURCES.glob("stdlib/*.arch"), *SOURCES.glob("examples/*/*.arch")]), ids=lambda p: p.name
)
def test_library_and_examples_parse(path: Path) -> None:
    parsed(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("-x^2", "(- (x ^ 2))"),
        ("2^-1", "(2 ^ (- 1))"),
        ("2^-x^y", "(2 ^ (- (x ^ y)))"),
        ("a^b^c", "(a ^ (b ^ c))"),
        ("a - b - c", "((a - b) - c)"),
        ("a / b * c // d % e", "((((a / b) * c) // d) % e)"),
        ("a + b * -c", "(a + (b * (- c)))"),
        ("not a == b and c or d", "(((not (a == b)) and c) or d)"),
        ("a <= b + 1", "(a <= (b + 1))"),
        ("- -x", "(- (- x))"),
        ("(a + b) * c", "((a + b) * c)"),
        ("|d| * | long_name |", "(SizeOf(d) * SizeOf(long_name))"),
        ("f(a, k=3,)(x)", "Call(Call(f [Argument(None a) Argument(k 3)] []) [Argument(None x)] [])"),
        ("sum[k, ...](x)", "Call(Bracketed(sum [BracketItem(k None None) BracketItem(... None None)]) [Argument(None x)] [])"),
        ("x[t = t - 1 else -inf]", "Bracketed(x [BracketItem(t (t - 1) Border(else (- inf)))])"),
        ("x[h = h wrap, w = w by b]", "Bracketed(x [BracketItem(h h Border(wrap None)) BracketItem(w w Border(by b))])"),
        ("x[t = edge edge]", "Bracketed(x [BracketItem(t edge Border(edge None))])"),
        ("f(x) with { w: 1, b: 2, }", "Call(f [Argument(None x)] [[w 1] [b 2]])"),
        ("blocks.first.inner(x)", "Call(Member(Member(blocks first) inner) [Argument(None x)] [])"),
        ("[1, [2, -3],]", "ListOf([1 ListOf([2 (- 3)])])"),
        ("[]", "ListOf([])"),
        ("x[]", "Bracketed(x [])"),
        ("f() with {}", "Call(f [] [])"),
        ("repeat n - 1 as l { Block(c=l) }", "Repeat((n - 1) l Call(Block [Argument(c l)] []))"),
        ("repeat (n + 1) { f }", "Repeat((n + 1) None f)"),
        ("repeat(3) * repeat", "(Call(repeat [Argument(None 3)] []) * repeat)"),
        ("1e-5 + .5 + 2. + 10", "(((1e-05 + 0.5) + 2.0) + 10)"),
        ("true and false", "(True and False)"),
        (r'"a \"b\" \\ \n"', repr('a "b" \\ \n')),
    ],
)
def test_expressions(text: str, tree: str) -> None:
    assert shown(parse_expression(text)) == tree


@pytest.mark.parametrize("text", ["", "1 +", "a < b < c", "x[n + 1]", "(", "1e999", "f(x", "a\nb", "x y"])
def test_what_is_no_expression_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not an expression"):
        parse_expression(text)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("y, last = f(x)", "Assign([y last] Call(f [Argument(None x)] []))"),
        ("return a, b", "Return([a b])"),
        ("axis z = a + b", "AxisDecl(z (a + b) [])"),
        ("axis z = (|a| + 1) // 2", "AxisDecl(z ((SizeOf(a) + 1) // 2) [])"),
        ("axis z = (n)", "AxisDecl(z n [])"),
        ("axis c = (g=8 k)", "AxisDecl(c None [Dim(g 8 []) Dim(k None [])])"),
        ("axis c = (g k=(n + 1))", "AxisDecl(c None [Dim(g None []) Dim(k (n + 1) [])])"),
        ("axis c = ((a b)=d e)", "AxisDecl(c None [Dim(d None [Dim(a None []) Dim(b None [])]) Dim(e None [])])"),
        ("for j { S = S + 1 }", "For(j None [Assign([S] (S + 1))])"),
        ("for block in blocks { x = block(x) }", "For(block blocks [Assign([x] Call(block [Argument(None x)] []))])"),
        ("scan t reverse { yield y = S\nfinally last = S }", "Scan(t True [Yield(y S) Finally(last S)])"),
        (
            "scan t { state S[..., k] = 0\nstate n = 1 }",
            "Scan(t False [State(S [Dim(... None []) Dim(k None [])] None 0) State(n [] None 1)])",
        ),
        ("update m = 2\npenalty p = 3", "Update(m 2)"),
        ("if a { b = 1 } else if c { b = 2 } else { b = 3 }", "If(a [Assign([b] 1)] [If(c [Assign([b] 2)] [Assign([b] 3)])])"),
        ("when training { m = 1 }\nelse { m = 2 }", "When(training [Assign([m] 1)] [Assign([m] 2)])"),
        ("y = f(x)\n  with {\n a: 1\n b: 2\n }", "Assign([y] Call(f [Argument(None x)] [[a 1] [b 2]]))"),
        ("y = (a +\n b)\nz = 2", "Assign([y] (a + b))"),
        ("y = f(\n repeat n {\n a\n }\n)", "Assign([y] Call(f [Argument(None Repeat(n None a))] []))"),
    ],
)
def test_statements(text: str, tree: str) -> None:
    assert shown(body(text)[0]) == tree


@pytest.mark.parametrize(
    ("signature", "tree"),
    [
        ("c: axis, static n: int = 3", "[Parameter(c False axis 0 [] None) Parameter(n True int 0 [] 3)]"),
        ("act: fn(x, y) = add, score: Score", "[Parameter(act False fn 2 [] add) Parameter(score False Score 0 [] None)]"),
        ('static mode: "same" | "valid" = "same"', "[Parameter(mode True choice 0 [same valid] 'same')]"),
        ("x, y = 0, u[n]: int,", "[Input(x None None None) Input(y None None 0) Input(u [Dim(n None [])] int None)]"),
        ("s[], x[..., k = 2 * n]", "[Input(s [] None None) Input(x [Dim(... None []) Dim(k (2 * n) [])] None None)]"),
        (
            "x[(g=groups k)=c, (a b)]",
            "[Input(x [Dim(c None [Dim(g groups []) Dim(k None [])]) Dim(None None [Dim(a None []) Dim(b None [])])] None None)]",
        ),
        (
            "x[(g=|n| (a b=3)=c)]",
            "[Input(x [Dim(None None [Dim(g SizeOf(n) []) Dim(c None [Dim(a None []) Dim(b 3 [])])])] None None)]",
        ),
        (
            "static: int, fn: fn(fn), like, static[n]",
            "[Parameter(static False int 0 [] None) Parameter(fn False fn 1 [] None) Input(like None None None) "
            "Input(static [Dim(n None [])] None None)]",
        ),
    ],
)
def test_signatures(signature: str, tree: str) -> None:
    fn = parsed(f"fn f({signature}) {{ }}").declarations[0]
    assert shown(fn.signature) == tree  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("results", "tree"),
    [
        ("", "[]"),
        ("-> []", "[Result(None [] None None)]"),
        ("\n  -> like x", "[Result(None None x None)]"),
        ("-> [n, o = 2]: int", "[Result(None [Dim(n None []) Dim(o 2 [])] None int)]"),
        ("-> (y[n], last like x,)", "[Result(y [Dim(n None [])] None None) Result(last None x None)]"),
        ("-> ([n], [])", "[Result(None [Dim(n None [])] None None) Result(None [] None None)]"),
    ],
)
def test_results(results: str, tree: str) -> None:
    fn = parsed(f"fn f(x) {results} {{ }}").declarations[0]
    assert shown(fn.results) == tree  # type: ignore[union-attr]


def test_gradient() -> None:
    text = "fn f(x, k)\n  -> like x\n  surrogate grad(dy, dz) {\n x: dy * k\n k: none }\n{ return x }"
    fn = parsed(text).declarations[0]
    assert shown(fn.gradient) == "Gradient([dy dz] True [[x (dy * k)] [k None]])"  # type: ignore[union-attr]


def test_layer_holds_stores_sublayers_and_methods_with_forward_first() -> None:
    text = """
    layer A(c: axis) {
        param w[c, k=3]: complex = given
        buffer count: int = 0
        init t[c] = normal(1)
        param s = 1
        axis d = (a b)
        inner = B(c=c)
        if n > 1 { other = B(c=c) }
        fn extra(x) { return x }
        forward(x[n, c]) -> like x { return x }
    }"""
    layer = parsed(text).declarations[0]
    assert isinstance(layer, tree.Layer)
    assert [method.name.name for method in layer.methods] == ["forward", "extra"]
    assert [type(item).__name__ for item in layer.body] == ["Store", "Store", "Store", "Store", "AxisDecl", "Assign", "If"]
    assert shown(layer.body[0]) == "Store(param w [Dim(c None []) Dim(k 3 [])] complex None)"
    assert shown(layer.body[1]) == "Store(buffer count [] int 0)"


def test_search_keeps_clauses_as_written() -> None:
    text = """
    search s {
        # the hole
        hole layer Act(c: axis) {
            param v[c] = 1
            space { nodes 10
                    reduce mean, std over [h, w], [k] }
        }
        judge accuracy of Net(norm=Act), Other on digits for 300 steps
        weight -0.5 "text"
    }"""
    search = parsed(text).declarations[0]
    assert isinstance(search, tree.Search)
    (hole,) = search.holes
    assert hole.layer.name.name == "Act" and hole.layer.doc == "the hole" and len(hole.layer.body) == 1
    assert [shown(clause) for clause in hole.space] == [
        "Clause(nodes [10])",
        "Clause(reduce [mean std over ListOf([h w]) ListOf([k])])",
    ]
    assert [shown(clause) for clause in search.clauses] == [
        "Clause(judge [accuracy of Call(Net [Argument(norm Act)] []) Other on digits for 300 steps])",
        "Clause(weight [(- 0.5) 'text'])",
    ]


# Words that are something in Python, C++, SQL, or here.
WORDS = """
lambda class select from where int float double void template struct namespace new delete this operator
private def del pass global nonlocal async await try except raise assert is as in with finally yield while
break continue import return fn layer search forward param buffer init axis state scan reverse update penalty
when training given none grad surrogate static like edge reflect wrap by else if for repeat hole space group
order table insert None True False self
"""


@pytest.mark.parametrize("word", WORDS.split())
def test_words_of_other_languages_and_of_this_one_are_names(word: str) -> None:
    text = f"""fn f({word}[{word}, k]) -> [{word}] {{
    {word} = sum[{word}]({word} + 2 * {word})
    {word}, y = g({word}={word}, {word})
    z = x[{word} = {word} - 1 else 0, t = {word} edge]
    return {word}, h.{word}({word}) * |{word}|
}}
layer {word}(static {word}: int = {word}) {{
    param {word}[{word}] = {word}({word})
    {word} = Linear(i={word})
    forward({word}[n]) -> like {word} {{ return {word} }}
}}"""
    parsed(text)


def test_doc_is_the_comment_lines_directly_above() -> None:
    text = """# not the doc

# First line.
#  indented
fn f(x) { return x } # trailing
# of g
fn g(x) { return x }
layer A(c: axis) {
    # the method
    forward(x) { return x }
}"""
    f, g, a = parsed(text).declarations
    assert isinstance(f, tree.Fn) and isinstance(g, tree.Fn) and isinstance(a, tree.Layer)
    assert f.doc == "First line.\n indented"
    assert g.doc == "of g"
    assert a.doc == "" and a.methods[0].doc == "the method"
    assert len(parsed(text).comments) == 6


def each(node: object, see: Callable[[tree.Node], None]) -> None:
    see(node)  # type: ignore[arg-type]
    for child in tree.children(node):
        each(child, see)


@pytest.mark.parametrize("path", sorted(SOURCES.glob("stdlib/*.arch")), ids=lambda p: p.name)
def test_spans_are_where_the_text_is_and_inside_their_parents(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")

    def see(node: tree.Node) -> None:
        span = node.span
        assert 0 <= span.start <= span.end <= len(text)
        offset = sum(len(line) + 1 for line in lines[: span.line - 1]) + span.column - 1
        end = sum(len(line) + 1 for line in lines[: span.end_line - 1]) + span.end_column - 1
        assert (offset, end) == (span.start, span.end)
        if isinstance(node, tree.Name | tree.Ident) and span.end > span.start:
            assert text[span.start : span.end] in (node.name, f'"{node.name}"') or node.name in ("fn", "choice")
        for child in tree.children(node):
            assert span.start <= child.span.start and child.span.end <= span.end, (node, child)  # type: ignore[attr-defined]

    each(parsed(text), see)


def test_empty_file_and_comments_alone_parse() -> None:
    assert parsed("").declarations == ()
    assert parsed("\n\n# a comment\n").declarations == ()


def test_windows_line_ends_and_tabs() -> None:
    text = "fn f(x) {\r\n\ty = x\r\n\treturn y\r\n}\r\n"
    assert shown(parsed(text).declarations[0]) == shown(parsed(text.replace("\r", "")).declarations[0])


def test_every_alternative_of_the_grammar_has_an_action() -> None:
    from archc.syntax.parser import Parser
    from archc.syntax.tables import load

    grammar_names = {rule.action for rule in load().rules} - {"", "="}
    assert all(re.fullmatch(r"[a-z_]+", name) for name in grammar_names)
    from archc.syntax.builder import Builder
    from archc.syntax.lexer import Lexed

    Parser(load(), Builder("x.arch", Lexed(), Problems()))  # binds every action to a method

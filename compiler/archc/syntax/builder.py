"""One method for each rule of the grammar: the kept children and the span give the node."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from archc.diagnostics.model import Problems
from archc.diagnostics.syntax_codes import LAYER_INPUT, NUMBER_TOO_LARGE, PARAMETER_KIND, SPACE_OUTSIDE_HOLE, UNKNOWN_ESCAPE
from archc.limits import LIMITS, beyond
from archc.syntax import tree
from archc.syntax.lexer import Lexed, Token
from archc.syntax.tree import Expr, Ident, Span

GIVEN = object()
"""The value of `param w[o] = given` between its rule and its store."""

ESCAPES = {"\\": "\\", '"': '"', "n": "\n", "t": "\t"}


def binary(op: Any) -> Callable[[Builder, list[Any], Span], Expr]:
    def build(self: Builder, kids: list[Any], span: Span) -> Expr:
        return tree.Binary(op, kids[0], kids[1], span)

    return build


def plain(node: Callable[..., Any]) -> Callable[[Builder, list[Any], Span], Any]:
    """For a rule whose kept children are the node's fields, in order."""

    def build(self: Builder, kids: list[Any], span: Span) -> Any:
        return node(*kids, span)

    return build


def unary(op: Any) -> Callable[[Builder, list[Any], Span], Expr]:
    def build(self: Builder, kids: list[Any], span: Span) -> Expr:
        return tree.Unary(op, kids[0], span)

    return build


@dataclass(frozen=True)
class Space:
    """`space { ... }` between its rule and the hole that it belongs to."""

    clauses: tuple[tree.Clause, ...]
    span: Span


class Builder:
    """Makes the nodes of one file; what a node itself can tell is wrong goes to `problems`."""

    def __init__(self, path: str, lexed: Lexed, problems: Problems) -> None:
        self.path = path
        self.lexed = lexed
        self.problems = problems

    def span(self, token: Token) -> Span:
        _, text, start, line, column = token
        size = len(text)
        return Span(self.path, line, column, line, column + size, start, start + size)

    def doc(self, span: Span) -> str:
        """The comment lines directly above, for what begins its line: of two declarations on one line, the outer one."""
        own_line, lines, line = self.lexed.own_line, [], span.line - 1
        if line in own_line and not self.begins_line(span):
            return ""
        while line in own_line:
            text = own_line[line].lstrip("#")
            lines.append(text.removeprefix(" "))
            line -= 1
        return "\n".join(reversed(lines))

    def begins_line(self, span: Span) -> bool:
        tokens = self.lexed.tokens
        at = bisect_left(tokens, span.start, key=lambda token: token.start)
        return at == 0 or tokens[at - 1].kind == "_NL" or tokens[at - 1].text == "hole"

    # ------------------------------------------------------------------------------------------------ declarations
    def file(self, kids: list[Any], span: Span) -> tuple[Any, ...]:
        return tuple(kids)

    def expression(self, kids: list[Any], span: Span) -> Any:
        return kids[0]

    def import_(self, kids: list[Any], span: Span) -> Any:
        return tree.Import(tuple(kids), span)

    def fn(self, kids: list[Any], span: Span) -> Any:
        *kids, gradient, body = kids
        results = tuple(kid for kid in kids if isinstance(kid, tree.Result))
        signature = tuple(kid for kid in kids[1:] if not isinstance(kid, tree.Result))
        return tree.Fn(kids[0], signature, results, gradient, body, self.doc(span), span)

    def forward(self, kids: list[Any], span: Span) -> Any:
        return self.fn([self.ident(kids, self.span(kids[0])), *kids[1:]], span)

    def layer_body(self, kids: list[Any], span: Span) -> Any:
        return kids

    def layer(self, kids: list[Any], span: Span, in_hole: bool = False) -> Any:
        name, *items = kids[1]
        methods = sorted((item for item in items if isinstance(item, tree.Fn)), key=lambda method: method.name.name != "forward")
        parameters, body = [], []
        for item in items:
            if isinstance(item, tree.Parameter):
                parameters.append(item)
            elif isinstance(item, tree.Input):
                self.problems.add(LAYER_INPUT, item.span, name=item.name.name, layer=name.name)
            elif isinstance(item, Space):
                if not in_hole:
                    self.problems.add(SPACE_OUTSIDE_HOLE, item.span)
            elif not isinstance(item, tree.Fn):
                body.append(item)
        return tree.Layer(name, tuple(parameters), tuple(body), tuple(methods), self.doc(span), span)

    # -------------------------------------------------------------------------------------------------- signatures
    def result(self, kids: list[Any], span: Span) -> Any:
        *dims, dtype = kids
        return tree.Result(None, tuple(dims), None, dtype, span)

    def like(self, kids: list[Any], span: Span) -> Any:
        return tree.Result(None, None, kids[0], None, span)

    def named_result(self, kids: list[Any], span: Span) -> Any:
        name, *dims, dtype = kids
        return tree.Result(name, tuple(dims), None, dtype, span)

    def named_like(self, kids: list[Any], span: Span) -> Any:
        return tree.Result(kids[0], None, kids[1], None, span)

    def gradient(self, kids: list[Any], span: Span) -> Any:
        names = tuple(kid for kid in kids if isinstance(kid, Ident))
        rows = tuple(kid for kid in kids[1:] if kid.__class__ is tuple)
        return tree.Gradient(names, kids[0] is not None, rows, span)

    def grad_row(self, kids: list[Any], span: Span) -> Any:
        return kids[0], kids[1]

    override = grad_row

    def grad_none(self, kids: list[Any], span: Span) -> Any:
        return kids[0], None

    def parameter(self, kids: list[Any], span: Span, static: bool = False) -> Any:
        name, (kind, arity, choices), default = kids
        return tree.Parameter(name, static, kind, arity, choices, default, span)

    def static_parameter(self, kids: list[Any], span: Span) -> Any:
        return self.parameter(kids, span, static=True)

    def kind_name(self, kids: list[Any], span: Span) -> Any:
        if kids[0].name == "fn":
            self.problems.add(PARAMETER_KIND, span)
        return kids[0], 0, ()

    def kind_fn(self, kids: list[Any], span: Span) -> Any:
        return Ident("fn", span), len(kids), ()

    def kind_choice(self, kids: list[Any], span: Span) -> Any:
        return Ident("choice", span), 0, tuple(self.string_value(kid) for kid in kids)

    def dtype(self, kids: list[Any], span: Span) -> Any:
        return kids[0]

    def input(self, kids: list[Any], span: Span) -> Any:
        name, *dims, dtype, default = kids
        return tree.Input(name, tuple(dims), dtype, default, span)

    def bare_input(self, kids: list[Any], span: Span) -> Any:
        return tree.Input(kids[0], None, None, kids[1], span)

    def dim(self, kids: list[Any], span: Span) -> Any:
        return tree.Dim(kids[0], kids[1], (), span)

    def rest(self, kids: list[Any], span: Span) -> Any:
        return tree.Dim(Ident("...", span), None, (), span)

    def split(self, kids: list[Any], span: Span) -> Any:
        *parts, whole = kids
        return tree.Dim(whole, None, tuple(parts), span)

    # -------------------------------------------------------------------------------------------------- statements
    when, for_, update, penalty = plain(tree.When), plain(tree.For), plain(tree.Update), plain(tree.Penalty)
    yield_, finally_ = plain(tree.Yield), plain(tree.Finally)

    def block(self, kids: list[Any], span: Span) -> Any:
        return tuple(kids)

    def assign(self, kids: list[Any], span: Span) -> Any:
        return tree.Assign(tuple(kids[:-1]), kids[-1], span)

    def return_(self, kids: list[Any], span: Span) -> Any:
        return tree.Return(tuple(kids), span)

    def axis(self, kids: list[Any], span: Span) -> Any:
        return tree.AxisDecl(kids[0], kids[1], (), span)

    def axis_split(self, kids: list[Any], span: Span) -> Any:
        return tree.AxisDecl(kids[0], None, tuple(kids[1:]), span)

    def if_(self, kids: list[Any], span: Span) -> Any:
        otherwise = (kids[2],) if isinstance(kids[2], tree.If) else kids[2]
        return tree.If(kids[0], kids[1], otherwise, span)

    def scan(self, kids: list[Any], span: Span) -> Any:
        return tree.Scan(kids[0], kids[1] is not None, kids[2], span)

    def state(self, kids: list[Any], span: Span) -> Any:
        name, *dims, dtype, value = kids
        return tree.State(name, tuple(dims), dtype, value, span)

    def store(self, kids: list[Any], span: Span) -> Any:
        kind, name, *dims, dtype, value = kids
        return tree.Store(kind.text, name, tuple(dims), dtype, None if value is GIVEN else value, span)

    def given(self, kids: list[Any], span: Span) -> Any:
        return GIVEN

    # ------------------------------------------------------------------------------------------------- expressions
    or_, and_, not_ = binary("or"), binary("and"), unary("not")
    equal, unequal, less, less_equal = binary("=="), binary("!="), binary("<"), binary("<=")
    greater, greater_equal = binary(">"), binary(">=")
    add, subtract, multiply, divide = binary("+"), binary("-"), binary("*"), binary("/")
    named, item, member, repeat = plain(tree.Argument), plain(tree.BracketItem), plain(tree.Member), plain(tree.Repeat)
    floor_divide, modulo, power, negative = binary("//"), binary("%"), binary("^"), unary("-")

    def call(self, kids: list[Any], span: Span) -> Any:
        return tree.Call(kids[0], tuple(kids[1:]), (), span)

    def call_with(self, kids: list[Any], span: Span) -> Any:
        return tree.Call(kids[0].callee, kids[0].arguments, tuple(kids[1:]), span)

    def bracketed(self, kids: list[Any], span: Span) -> Any:
        return tree.Bracketed(kids[0], tuple(kids[1:]), span)

    def positional(self, kids: list[Any], span: Span) -> Any:
        return tree.Argument(None, kids[0], span)

    def item_rest(self, kids: list[Any], span: Span) -> Any:
        return tree.BracketItem(Ident("...", span), None, None, span)

    def item_number(self, kids: list[Any], span: Span) -> Any:
        return tree.BracketItem(Ident(kids[0].text, span), None, None, span)

    def border_else(self, kids: list[Any], span: Span) -> Any:
        return tree.Border("else", kids[0], span)

    def border_word(self, kids: list[Any], span: Span) -> Any:
        return tree.Border(kids[0].text, None, span)

    def border_by(self, kids: list[Any], span: Span) -> Any:
        return tree.Border("by", tree.Name(kids[0].name, kids[0].span), span)

    def name(self, kids: list[Any], span: Span) -> Any:
        return tree.Name(kids[0].text, span)

    def ident(self, kids: list[Any], span: Span) -> Any:
        return Ident(kids[0].text, span)

    def number(self, kids: list[Any], span: Span) -> Any:
        text: str = kids[0].text
        if not text.isdigit():
            value = float(text)
            if math.isinf(value):
                self.problems.add(NUMBER_TOO_LARGE, span, number=text)
            return tree.Number(value, span)
        most = LIMITS["integer"].value
        if len(text.lstrip("0")) > len(str(most)) or int(text) > most:
            beyond(self.problems, "integer", span)
            return tree.Number(0, span)
        return tree.Number(int(text), span)

    def string_value(self, token: Token) -> str:
        """A string's characters. A backslash stands before another, a quote, `n` or `t`."""

        def character(found: re.Match[str]) -> str:
            if found[1] not in ESCAPES:
                self.problems.add(UNKNOWN_ESCAPE, self.span(token), escape=found[0])
            return ESCAPES.get(found[1], found[1])

        return re.sub(r"\\(.)", character, token.text[1:-1])

    def string(self, kids: list[Any], span: Span) -> Any:
        return tree.String(self.string_value(kids[0]), span)

    def true(self, kids: list[Any], span: Span) -> Any:
        return tree.Bool(True, span)

    def false(self, kids: list[Any], span: Span) -> Any:
        return tree.Bool(False, span)

    def infinity(self, kids: list[Any], span: Span) -> Any:
        return tree.Number(math.inf, span)

    def size_of(self, kids: list[Any], span: Span) -> Any:
        text: str = kids[0].text
        name = text[1:-1].strip()
        before = text.index(name)
        column, start = span.column + before, span.start + before
        place = Span(self.path, span.line, column, span.line, column + len(name), start, start + len(name))
        return tree.SizeOf(Ident(name, place), span)

    def list_of(self, kids: list[Any], span: Span) -> Any:
        return tree.ListOf(tuple(kids), span)

    # ------------------------------------------------------------------------------------------------------ search
    def search(self, kids: list[Any], span: Span) -> Any:
        holes = tuple(kid for kid in kids if isinstance(kid, tree.Hole))
        clauses = tuple(kid for kid in kids if isinstance(kid, tree.Clause))
        return tree.Search(kids[0], holes, clauses, self.doc(span), span)

    def hole(self, kids: list[Any], span: Span) -> Any:
        clauses = tuple(clause for item in kids[1] if isinstance(item, Space) for clause in item.clauses)
        return tree.Hole(self.layer(kids, self.span(kids[0]).to(span), in_hole=True), clauses, span)

    def space(self, kids: list[Any], span: Span) -> Any:
        return Space(tuple(kids), span)

    def clause(self, kids: list[Any], span: Span) -> Any:
        return tree.Clause(kids[0], tuple(kids[1:]), span)

    def clause_call(self, kids: list[Any], span: Span) -> Any:
        return tree.Call(tree.Name(kids[0].name, kids[0].span), tuple(kids[1:]), (), span)

    def negative_number(self, kids: list[Any], span: Span) -> Any:
        return tree.Unary("-", self.number(kids, span), span)

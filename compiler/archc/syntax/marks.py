"""What the tree knows of tokens and a layout needs: by the place where each token starts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Literal

from archc.syntax import tree
from archc.syntax.lexer import Token
from archc.syntax.tree import Span

Braces = Literal["statements", "rows", "expression"]


@dataclass
class Marks:
    names: set[int] = field(default_factory=set)  # words that are names here, not keywords
    tight: set[int] = field(default_factory=set)  # without spaces around: `^`, the `=` of an argument
    signs: set[int] = field(default_factory=set)  # a minus with one operand
    apart: set[int] = field(default_factory=set)  # brackets that belong to no name: a list, a split
    lists: set[int] = field(default_factory=set)
    braces: dict[int, Braces] = field(default_factory=dict)  # by the opening one; of statements where it is not here
    declarations: set[int] = field(default_factory=set)  # fn, layer, search at the top


def mark(file: tree.File, tokens: list[Token]) -> Marks:
    marks = Marks()
    marks.tight |= {token.start for token in tokens if token.kind == "CIRCUMFLEX"}
    marks.names |= {token.start for token in tokens if token.text in ("true", "false", "inf")}
    equals = [token.start for token in tokens if token.kind == "EQUAL"]
    opened: list[int] = []
    opener: dict[int, int] = {}  # by where the closing brace ends
    for token in tokens:
        if token.kind == "LBRACE":
            opened.append(token.start)
        elif token.kind == "RBRACE" and opened:
            opener[token.end] = opened.pop()

    def tighten(place: int) -> None:
        marks.tight.add(equals[place])

    marks.declarations = {node.span.start for node in file.declarations if not isinstance(node, tree.Import)}
    stack: list[tuple[object, bool]] = [(node, False) for node in file.declarations]
    while stack:
        node, in_result = stack.pop()
        span: Span = node.span  # type: ignore[attr-defined]
        match node:
            case tree.Ident() | tree.Name():
                marks.names.add(span.start)
            case tree.Unary(op="-"):
                marks.signs.add(span.start)
            case tree.ListOf():
                marks.lists.add(span.start)
                marks.apart.add(span.start)
            case tree.Argument(name=tree.Ident(span=name)):
                tighten(bisect_left(equals, name.end))
            case tree.Dim(name=name, size=size, parts=parts):
                if parts:
                    marks.apart.add(span.start)
                    if name is not None:
                        tighten(bisect_right(equals, name.span.start) - 1)
                elif size is not None and name is not None and not in_result:
                    tighten(bisect_left(equals, name.span.end))
            case tree.AxisDecl(parts=parts):
                if parts:
                    marks.apart.add(tokens[_after(tokens, equals[bisect_left(equals, node.name.span.end)])].start)
            case tree.Gradient():
                marks.braces[opener[span.end]] = "rows"
            case tree.Call():
                if span.end in opener:
                    marks.braces[opener[span.end]] = "rows"
            case tree.Repeat():
                marks.braces[opener[span.end]] = "expression"
        within = isinstance(node, tree.Result) or (in_result and not (isinstance(node, tree.Dim) and node.parts))
        stack.extend((child, within) for child in tree.children(node))
    return marks


def _after(tokens: list[Token], start: int) -> int:
    """The index of the token after the one that starts there, newlines left out."""
    found = bisect_right(tokens, start, key=lambda token: token.start)
    while tokens[found].kind == "_NL":
        found += 1
    return found

"""Text to tokens, and the layout: which newlines end a statement."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from archc.limits import LIMITS
from archc.syntax.tables import Tables
from archc.syntax.tree import Span


class Token(NamedTuple):
    """`kind` is a terminal of the grammar, `_NL`, `$END`, `UNKNOWN` for what no terminal begins with, or a limit's name."""

    kind: str
    text: str
    start: int
    line: int
    column: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass
class Lexed:
    """Every token of a file, newlines included. `own_line` maps the line of a comment that has it to itself to its text."""

    tokens: list[Token] = field(default_factory=list)
    comments: list[tuple[str, Span]] = field(default_factory=list)
    own_line: dict[int, str] = field(default_factory=dict)


def lex(text: str, path: str, tables: Tables) -> Lexed:
    """All tokens of a text. Never fails: what cannot be read is a token of kind UNKNOWN, and a limit ends the list."""
    out = Lexed()
    tokens, signs = out.tokens, tables.signs
    most_tokens, longest_name = LIMITS["tokens"].value, LIMITS["name"].value
    breaks = r"(?P<NEWLINE>\n[ \t\r\f\n]*)|(?P<COMMENT>\#[^\n]*)"
    match = re.compile(rf"[ \t\r\f]*(?:{breaks}|{tables.pattern}|(?P<UNKNOWN>[^ \t\r\f])|$)").match
    position, line, line_start = 0, 1, 0
    add = tokens.append
    make = Token.__new__
    while True:
        found = match(text, position)
        kind = found.lastgroup if found else None
        if found is None or kind is None:  # the end of the text
            add(Token("$END", "", len(text), line, len(text) - line_start + 1))
            return out
        start, position = found.span(kind)
        word = text[start:position]
        if kind == "SIGN":
            kind = signs[word]
        elif kind == "NEWLINE":
            add(make(Token, "_NL", "\n", start, line, start - line_start + 1))
            line += word.count("\n")
            line_start = start + word.rindex("\n") + 1
            continue
        elif kind == "COMMENT":
            word = word.rstrip()
            column = start - line_start + 1
            end = start + len(word)
            out.comments.append((word, Span(path, line, column, line, column + len(word), start, end)))
            if text[line_start:start].isspace() or start == line_start:
                out.own_line[line] = word
            continue
        elif kind == "NAME":
            if len(word) > longest_name:
                kind = "name"
        elif kind == "NUMBER" and is_letter(text, position):
            kind = "UNKNOWN"  # `2x`: shown as a whole
            while is_letter(text, position):
                position += 1
            word = text[start:position]
        if len(tokens) >= most_tokens:
            kind = "tokens"
        add(make(Token, kind, word, start, line, start - line_start + 1))
        if kind in LIMITS:
            return out


def is_letter(text: str, i: int) -> bool:
    return i < len(text) and (text[i].isalnum() or text[i] == "_")


CLOSERS = {"RPAR": "LPAR", "RSQB": "LSQB", "RBRACE": "LBRACE"}
OPENERS = frozenset(CLOSERS.values())
AFTER_NEWLINE = {"else": ("LBRACE", "NAME"), "surrogate": ("NAME",), "grad": ("LPAR",), "with": ("LBRACE",)}
"""Words that go on with the line before when one of these tokens follows them."""


def layout(raw: list[Token], first: int) -> list[Token]:
    """The tokens from `first` on that the parser sees: newlines only where they end a statement; too deep a bracket ends it."""
    out: list[Token] = []
    add = out.append
    deepest = LIMITS["nesting"].value
    open_brackets: list[str] = []
    newline: Token | None = None
    last = "LBRACE"
    for i in range(first, len(raw)):
        token = raw[i]
        kind = token[0]
        if kind == "_NL":
            if newline is None and (not open_brackets or open_brackets[-1] == "LBRACE"):
                newline = token
            continue
        if newline is not None:
            goes_on = (
                last == "LBRACE"
                or last == "COMMA"
                or kind in ("RBRACE", "LBRACE", "ARROW", "$END")
                or (kind == "NAME" and token[1] in AFTER_NEWLINE and raw[i + 1][0] in AFTER_NEWLINE[token[1]])
            )
            if not goes_on:
                add(newline)
            newline = None
        if kind in OPENERS:
            open_brackets.append(kind)
            if len(open_brackets) > deepest:
                add(token._replace(kind="nesting"))
                return out
        elif kind in CLOSERS and open_brackets and open_brackets[-1] == CLOSERS[kind]:
            open_brackets.pop()
        add(token)
        last = kind
    return out


def open_before(tokens: list[Token]) -> list[Token]:
    """The brackets that are open after these tokens."""
    stack: list[Token] = []
    for token in tokens:
        if token.kind in OPENERS or token.kind == "_SPLIT":
            stack.append(token)
        elif token.kind in CLOSERS and stack and stack[-1].kind == CLOSERS[token.kind]:
            stack.pop()
    return stack

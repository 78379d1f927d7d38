"""The one way to lay out a file: `archc fmt`.

Tokens and comments stay what they are; only white space, and commas before a closing bracket, change. So nothing of the
meaning can: the tree of the result is compared with the tree of the source. The tree says what a token is (a minus with one
operand, the `=` of an argument, a brace around statements), `archc.syntax.reflow` breaks lines that are too long.

Kept as written: blank lines (one at most), blocks that stood on one line and fit, rows of tables, and columns of `=` and of
comments that were aligned over neighbouring lines.
"""

from __future__ import annotations

from archc.diagnostics.model import CompilerBug, Problems
from archc.syntax import tree
from archc.syntax.lexer import CLOSERS, Lexed, Token, layout, lex
from archc.syntax.marks import Marks, mark
from archc.syntax.parse import parse
from archc.syntax.reflow import Block, Group, Note, Part, Statement, Text, render
from archc.syntax.tables import load
from archc.syntax.tree import Span

RANKS = {"or": 1, "and": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "+": 4, "-": 4, "*": 5, "/": 5, "//": 5, "%": 5}
"""How early a line is broken before an operator; 0 is after a comma."""


def format_text(text: str, path: str, problems: Problems, file: tree.File | None = None) -> str | None:
    """The text laid out anew, or None where it has errors of syntax, which go to `problems`. `file`: its tree, where it is known.

    Formatting the result changes nothing. Raises CompilerBug if the result would mean something else.
    """
    before = len(problems.errors)
    file = file or parse(text, path, problems)
    if file is None or len(problems.errors) > before:
        return None
    lexed = lex(text, path, load())
    result = render(Reader(lexed, mark(file, lexed.tokens)).file())
    again = parse(result, path, Problems())
    if again is None or not alike(file, again) or words(file) != words(again):
        raise CompilerBug(f"{path}: the formatted text would mean something else")
    return result


def words(file: tree.File) -> list[str]:
    return [text for text, _ in file.comments]


def alike(a: object, b: object) -> bool:
    """Whether two trees are equal but for places."""
    stack = [(a, b)]
    while stack:
        a, b = stack.pop()
        if type(a) is not type(b):
            return False
        if isinstance(a, tuple):
            if len(a) != len(b):  # type: ignore[arg-type]
                return False
            stack.extend(zip(a, b, strict=True))  # type: ignore[call-overload]
        elif hasattr(a, "__dataclass_fields__"):
            if not isinstance(a, Span):
                stack.extend((getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__ if name != "comments")
        elif a != b:
            return False
    return True


class Reader:
    """Tokens and comments to statements, groups and blocks, with the spaces between tokens decided."""

    def __init__(self, lexed: Lexed, marks: Marks) -> None:
        self.marks = marks
        notes = [Token("COMMENT", text, span.start, span.line, span.column) for text, span in lexed.comments]
        self.items = sorted([*lexed.tokens, *notes], key=lambda token: (token.start, token.kind == "$END"))
        self.own_line = lexed.own_line
        self.ends = {token.start for token in layout(lexed.tokens, 0) if token.kind == "_NL"}
        self.at = 0
        self.last: Token | None = None  # the token before, for spaces
        self.line = 0  # of the token before

    def file(self) -> list[Statement]:
        return self.body(rows=False)

    # -- structure -----------------------------------------------------------------------------------------------
    def body(self, rows: bool) -> list[Statement]:
        """The statements up to a closing brace or the end."""
        entries: list[Statement] = []
        while True:
            item = self.items[self.at]
            if item.kind in ("RBRACE", "$END"):
                return entries
            if item.kind == "_NL" or (rows and item.kind == "COMMA"):
                self.at += 1
            elif item.kind == "COMMENT":
                self.at += 1
                if entries and entries[-1].parts and entries[-1].end_line == item.line:
                    entries[-1].note, entries[-1].note_column = item.text, item.column
                else:
                    entries.append(Statement([], item.line, item.line, item.text))
            else:
                entries.append(self.statement(rows))

    def statement(self, rows: bool) -> Statement:
        first = self.items[self.at]
        statement = Statement([], first.line, first.line, declares=first.start in self.marks.declarations)
        self.last = None
        while True:
            item = self.items[self.at]
            if item.kind in ("RBRACE", "$END") or (rows and item.kind == "COMMA"):
                break
            if item.kind == "_NL":
                if item.start in self.ends or self.following().kind in ("RBRACE", "$END"):
                    break
                self.at += 1
                continue
            if item.kind == "EQUAL" and statement.equal is None and self.last is not None:
                statement.equal = len(statement.parts)
                statement.equal_column, statement.spread = item.column, item.column > self.last.column + len(self.last.text) + 1
            statement.parts.append(self.part())
        statement.end_line = self.line
        if isinstance(note := statement.parts[-1], Note):
            statement.parts.pop()
            statement.note, statement.note_column = note.text, note.column
        return statement

    def following(self) -> Token:
        """The next token that is no newline and no comment."""
        return next(item for item in self.items[self.at :] if item.kind not in ("_NL", "COMMENT"))

    def part(self) -> Part:
        item = self.items[self.at]
        self.at += 1
        if item.kind == "COMMENT":
            return Note(item.text, item.line in self.own_line, item.column)
        text = f"|{item.text[1:-1].strip()}|" if item.kind == "SIZE" else item.text
        space, rank = self.space(item), self.rank(item)
        begins = item.line > self.line
        self.last, self.line = item, item.line
        if item.kind in ("LPAR", "LSQB"):
            return self.group(item, space, rank, begins)
        if item.kind == "LBRACE":
            return self.block(item)
        return Text(text, space, rank, begins)

    def group(self, opener: Token, space: bool, rank: int | None, begins: bool) -> Group:
        parts: list[Part] = []
        while CLOSERS.get((item := self.items[self.at]).kind) != opener.kind:
            if item.kind == "_NL":
                self.at += 1
            else:
                parts.append(self.part())
        commas = [n for n, part in enumerate(parts) if not isinstance(part, Note)]
        if commas and isinstance(last := parts[commas[-1]], Text) and last.text == ",":
            del parts[commas[-1]]
        self.at += 1
        self.last, self.line = item, item.line
        table = opener.start in self.marks.lists and item.line > opener.line
        return Group(opener.text, item.text, parts, table, space, rank, begins)

    def block(self, opener: Token) -> Block:
        note = ""
        after = self.items[self.at]
        if after.kind == "COMMENT":
            note = after.text
            self.at += 1
        kind = self.marks.braces.get(opener.start, "statements")
        entries = self.body(rows=kind == "rows")
        closer = self.items[self.at]
        self.at += 1
        self.last, self.line = closer, closer.line
        return Block(entries, kind, closer.line == opener.line, note)

    # -- tokens --------------------------------------------------------------------------------------------------
    def space(self, token: Token) -> bool:
        """Whether a space stands before a token."""
        last, marks = self.last, self.marks
        if last is None or last.kind in ("LPAR", "LSQB", "DOT") or token.kind in ("RPAR", "RSQB", "COMMA", "COLON", "DOT"):
            return False
        if last.start in marks.tight or last.start in marks.signs or token.start in marks.tight:
            return False
        if token.kind in ("LPAR", "LSQB") and token.start not in marks.apart:
            called = last.kind in ("RPAR", "RSQB", "SIZE", "NUMBER") or last.start in marks.names or last.text == "grad"
            return not called
        return True

    def rank(self, token: Token) -> int | None:
        """How early a line is broken before a token."""
        if self.last is not None and self.last.kind == "COMMA":
            return 0
        if token.kind == "ARROW" or (token.text in ("grad", "surrogate") and token.start not in self.marks.names):
            return 0
        if token.start in self.marks.signs or token.start in self.marks.names:
            return None
        return RANKS.get(token.text)

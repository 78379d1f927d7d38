"""A place in the text form of a graph, and what is read there without knowing the graph: tokens, names, sizes, types, places."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar, cast

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis, Dim, Layout, Type, flat
from archc.limits import LIMITS
from archc.ops.table import DType
from archc.syntax.tree import Span

T = TypeVar("T")
NAME = r"(?:\.\.\.|[A-Za-z_][\w']*(?:\.[\w']+)*)"
_TOKEN = re.compile(rf"""
    (?P<space>[ \t\r]+|\#[ ][^\n]*) | (?P<newline>\n) | (?P<string>"(?:[^"\\\n]|\\.)*")
  | %(?:(?P<number_value>\d+)|(?P<value>{NAME})|`(?P<quoted_value>(?:[^`\\\n]|\\.)*)`)
  | (?P<nan>nan\(0x[0-9a-f]+\)) | (?P<name>{NAME}) | `(?P<quoted>(?:[^`\\\n]|\\.)*)`
  | (?P<float>\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+) | (?P<int>\d+)
  | (?P<mark>->|//|==|>=|[()\[\]{{}}=:,@\#$+*-])
""", re.VERBOSE)


@dataclass(frozen=True)
class Token:
    kind: str  # name, value, string, int, float, mark, newline, end
    text: str
    line: int


def tokens(text: str) -> list[Token]:
    found: list[Token] = []
    line, place = 1, 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"line {line}: {text[place]!r} has no meaning here")
        kind, content = str(match.lastgroup), match[str(match.lastgroup)]
        place = match.end()
        if kind in ("quoted", "quoted_value"):
            content, kind = re.sub(r"\\(.)", r"\1", content), "name" if kind == "quoted" else "value"
            found.append(Token(kind, content, line))
        elif kind == "number_value":
            found.append(Token("value", "%" + content, line))  # a number, which no name is
        elif kind != "space":
            found.append(Token(kind, content, line))
        line += kind == "newline"
    return [*found, Token("newline", "", line), Token("end", "", line)]


class Cursor:
    """Reads from a list of tokens. `sizes` are those of axes whose size is not the symbol of their name."""

    def __init__(self, tokens: list[Token], place: int = 0) -> None:
        self.tokens, self.place = tokens, place
        self.sizes: dict[str, Size] = {}
        self.file = ""
        self.depth = 0  # of brackets in the size being read

    # -- tokens ----------------------------------------------------------------------------------------------
    @property
    def now(self) -> Token:
        return self.tokens[self.place]

    def fail(self, message: str) -> NoReturn:
        raise ValueError(f"line {self.now.line}: {message}")

    def text(self) -> str:
        """The content of a string."""
        quoted = self.take("string", "a text in quotes")
        try:
            return str(json.loads(quoted))
        except ValueError:
            self.fail(f"{quoted} is no text in quotes as JSON has it")

    def take(self, kind: str, what: str = "") -> str:
        if self.now.kind != kind:
            self.fail(f"expected {what or kind}, found {self.now.text.strip() or 'the end of the line'!r}")
        self.place += 1
        return self.tokens[self.place - 1].text

    def accept(self, text: str) -> bool:
        """True, and past it, if the next token is this mark or word."""
        found = self.now.kind in ("mark", "name") and self.now.text == text
        self.place += found
        return found

    def expect(self, text: str) -> None:
        if not self.accept(text):
            self.fail(f"expected {text!r}, found {self.now.text.strip() or 'the end of the line'!r}")

    def skip_lines(self) -> None:
        while self.now.kind == "newline":
            self.place += 1

    def listed(self, read: Callable[[], T], close: str | None = None) -> list[T]:
        """Items with commas between; up to a closing mark if one is named. Lines may end between them."""
        found: list[T] = []
        if close is not None:
            self.skip_lines()
            if self.accept(close):
                return found
        while True:
            found.append(read())
            if close is not None:
                self.skip_lines()
            if self.accept(","):
                if close is not None:
                    self.skip_lines()
                continue
            if close is not None:
                self.expect(close)
            return found

    def name(self) -> str:
        return self.take("name", "a name")

    # -- types and sizes -------------------------------------------------------------------------------------
    def axis(self) -> Axis:
        name = self.name()
        return Axis(name, self.sizes[name] if name in self.sizes else Size.symbol(name))

    def axes(self) -> frozenset[Axis]:
        self.expect("[")
        return frozenset(self.listed(self.axis, "]"))

    def dtype(self) -> DType:
        name = self.name()
        if name not in ("float", "int", "bool", "complex"):
            self.fail(f"there is no type {name!r}")
        return cast(DType, name)

    def type(self) -> Type:
        dtype = self.dtype()
        return Type(dtype, self.axes() if self.now.text == "[" else frozenset())

    def layout(self) -> Layout:
        def dim() -> Dim:
            if not self.accept("("):
                return (self.axis(),)
            parts: list[Axis] = []
            while not self.accept(")"):
                parts.append(self.axis())
            return tuple(parts)

        self.expect("[")
        return tuple(self.listed(dim, "]"))

    def typed(self) -> tuple[Type, Layout]:
        dtype = self.dtype()
        layout = self.layout() if self.now.text == "[" else ()
        type = Type(dtype, frozenset(flat(layout)))
        return (type, self.layout()) if self.accept("in") else (type, layout)

    def size(self) -> Size:
        total = self.term()
        while self.now.text in ("+", "-") and self.now.kind == "mark":
            total = total + self.term() if self.accept("+") else total - (self.accept("-"), self.term())[1]
        return total

    def term(self) -> Size:
        total = self.factor()
        while self.now.text in ("*", "//") and self.now.kind == "mark":
            if self.accept("*"):
                total = total * self.factor()
            else:
                self.expect("//")
                divisor = self.factor()
                if divisor.constant == 0:
                    self.fail("a size is divided by 0")
                total = total // divisor
        return total

    def factor(self) -> Size:
        self.depth += 1
        if self.depth > LIMITS["nesting"].value:
            self.fail("sizes are nested too deep")
        found = self.factor_inside()
        self.depth -= 1
        return found

    def factor_inside(self) -> Size:
        if self.accept("-"):
            return -self.factor()
        if self.accept("("):
            inner = self.size()
            self.expect(")")
            return inner
        if self.now.kind == "int":
            return Size.of(int(self.take("int")))
        name = self.name()
        if name == LEADING or not (name == "max" and self.accept("(")):
            return Size.symbol(name)
        left = self.size()
        self.expect(",")
        right = self.size()
        self.expect(")")
        return left.largest(right)

    def span(self) -> Span | None:
        """`@line:column`, with the file in front where it is not the graph's own. The end is not written."""
        if not self.accept("@"):
            return None
        file = self.file
        if self.now.kind == "string":
            file = self.text()
            self.expect(":")
        line = int(self.take("int"))
        self.expect(":")
        column = int(self.take("int"))
        return Span(file, line, column, line, column, 0, 0)

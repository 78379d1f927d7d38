"""From a place in a text to the nodes of the tree there, and from the protocol's positions to offsets and back."""

from __future__ import annotations

import re
from bisect import bisect_right

from archc.syntax import tree

END = re.compile(r"\r\n|\n|\r")
"""What ends a line, as the protocol has it."""


class Lines:
    """Offsets of a text as (line, column) from 0, columns counted in units of the encoding that client and server agreed on."""

    def __init__(self, text: str, encoding: str = "utf-16") -> None:
        self.text, self.encoding = text, encoding
        ends = list(END.finditer(text))
        self.starts = [0, *(end.end() for end in ends)]
        self.stops = [*(end.start() for end in ends), len(text)]
        self.ascii = text.isascii()

    def position(self, offset: int) -> tuple[int, int]:
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self.starts, offset) - 1
        before = self.text[self.starts[line] : offset]
        return line, len(before) if self.ascii else units(before, self.encoding)

    def offset(self, line: int, column: int) -> int:
        """A place beyond the end of its line is the end of the line."""
        if line >= len(self.starts):
            return len(self.text)
        start = self.starts[max(line, 0)]
        row = self.text[start : self.stops[max(line, 0)]]
        if self.ascii:
            return start + min(column, len(row))
        seen = 0
        for n, character in enumerate(row):
            if seen >= column:
                return start + n
            seen += units(character, self.encoding)
        return start + len(row)


def units(text: str, encoding: str) -> int:
    if encoding == "utf-32":
        return len(text)
    if encoding == "utf-8":
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text) + sum(ord(character) > 0xFFFF for character in text)


def path_to(file: tree.File, offset: int) -> list[object]:
    """The nodes that cover an offset, from the declaration to the innermost; a node's end counts as inside it."""
    found: list[object] = []
    children: list[object] = list(file.declarations)
    while True:
        inside = [node for node in children if covers(node, offset)]
        if not inside:
            return found
        # Where two meet, as in `f(x)` just before the parenthesis, the smaller one that begins later or is a name.
        node = min(inside, key=lambda node: (not isinstance(node, (tree.Name, tree.Ident)), -node.span.start))  # type: ignore[attr-defined]
        found.append(node)
        children = tree.children(node)


def covers(node: object, offset: int) -> bool:
    return bool(node.span.start <= offset <= node.span.end)  # type: ignore[attr-defined]

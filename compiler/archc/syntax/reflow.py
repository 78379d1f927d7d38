"""Statements, groups and blocks to lines of at most 130 columns.

A statement that fits stands on one line. Else its blocks open, and a group in brackets that does not fit is filled from the
column after its bracket: broken after commas, in a group without commas before its loosest operators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Union

WIDTH, INDENT, HANG = 130, 4, 8
DEEPEST = 72
"""A bracket further to the right than this has its content on the next line if that helps."""


@dataclass
class Text:
    """A token. `rank` says how early a line breaks before it, None never; `begins`: it began a line in the source."""

    text: str
    space: bool
    rank: int | None
    begins: bool

    @property
    def flat(self) -> str | None:
        return self.text


@dataclass
class Note:
    """A comment inside a statement: the line ends after it."""

    text: str
    own_line: bool
    column: int
    space = True
    rank: int | None = None
    begins = False
    flat: str | None = None


@dataclass
class Group:
    """What stands between ( and ) or [ and ]. A `table` keeps its rows."""

    open: str
    close: str
    parts: list[Part]
    table: bool
    space: bool
    rank: int | None
    begins: bool
    flat: str | None = field(init=False)

    def __post_init__(self) -> None:
        if self.table and self.parts:
            self.parts[0].begins = False
            self.table = any(part.begins and part.rank == 0 for part in self.parts)
        inside = None if self.table else flat(self.parts)
        self.flat = None if inside is None else f"{self.open}{inside}{self.close}"


@dataclass
class Block:
    """What stands between braces. `flat` is its text on one line, if it stood on one and can."""

    entries: list[Statement]
    kind: Literal["statements", "rows", "expression"]
    one_line: bool
    note: str
    space = True
    rank: int | None = None
    begins = False
    flat: str | None = field(init=False)

    def __post_init__(self) -> None:
        texts = [None if entry.note else flat(entry.parts) for entry in self.entries]
        known = [text for text in texts if text is not None]
        inside = ", ".join(known) if self.kind == "rows" else "; ".join(known)
        good = len(known) == len(texts) and not self.note and (self.one_line or not texts)
        self.flat = (f"{{ {inside} }}" if inside else "{}") if good else None

    @property
    def opens(self) -> bool:
        """Whether it stands on several lines where its statement does."""
        return self.kind == "statements" and bool(self.entries or self.note)


Part = Union[Text, Note, Group, Block]


@dataclass
class Statement:
    """A statement with the comment at its end, or, without parts, a comment on its own line."""

    parts: list[Part]
    line: int
    end_line: int
    note: str = ""
    note_column: int = 0
    declares: bool = False
    equal: int | None = None  # the index of the part that is its `=`, where that stood, and whether after several spaces
    equal_column: int = 0
    spread: bool = False


def flat(parts: Sequence[Part]) -> str | None:
    """The parts on one line, or None where they cannot be."""
    out: list[str] = []
    for part in parts:
        if part.flat is None:
            return None
        if part.space and out:
            out.append(" ")
        out.append(part.flat)
    return "".join(out)


def render(entries: Sequence[Statement]) -> str:
    writer = Writer()
    writer.body(entries, 0, top=True)
    return "".join(line.rstrip() + "\n" for line in writer.lines)


class Writer:
    """Lines written so far, and the one being written, whose statement is indented by `indent`."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.line = ""
        self.indent = 0
        self.opened = True  # nothing but a bracket or white space stands before
        self.pending: int | None = None  # a comment ended the line: where the next one begins

    # -- statements ----------------------------------------------------------------------------------------------
    def body(self, entries: Sequence[Statement], indent: int, top: bool = False) -> None:
        align(entries, indent)
        places: list[tuple[int, int]] = []
        before: Statement | None = None
        for entry in entries:
            if before is not None and (entry.line > before.end_line + 1 or (top and self.parted(before, entry))):
                self.lines.append("")
            before = entry
            start = len(self.lines)
            self.statement(entry, indent)
            places.append((start, len(self.lines) - 1))
        for entry, (_, end) in zip(entries, places, strict=True):
            if entry.parts and entry.note:
                self.lines[end] += f"  {entry.note}"
        self.align_notes(entries, places)

    def parted(self, before: Statement, entry: Statement) -> bool:
        """Whether a blank line stands between two declarations in any case: not where each is one line. None does after a
        comment: it may document."""
        if before.declares and entry.declares:
            return any((text := flat(each.parts)) is None or len(text) > WIDTH for each in (before, entry))
        return before.declares or (entry.declares and bool(before.parts))

    def statement(self, entry: Statement, indent: int) -> None:
        margin = " " * indent
        if not entry.parts:
            self.lines.append(margin + entry.note)
            return
        text = flat(entry.parts)
        if text is not None and indent + len(text) <= WIDTH:
            self.lines.append(margin + text)
            return
        outer = self.indent
        self.indent, self.line, self.opened, self.pending = indent, margin, True, None
        self.put(entry.parts, indent + HANG, 0, top=True)
        self.lines.append(self.line)
        self.indent, self.pending = outer, None

    def align_notes(self, entries: Sequence[Statement], places: Sequence[tuple[int, int]]) -> None:
        """Columns of comments at the ends of neighbouring lines that were aligned stay so."""
        single = {id(entry) for entry, (start, end) in zip(entries, places, strict=True) if start == end and entry.parts}
        found = runs(entries, lambda entry: entry.note_column if entry.note and id(entry) in single else 0)
        for run in [part for lines in found for part in neighbours(lines, places)]:
            columns = {n: len(self.lines[places[n][0]]) - len(entries[n].note) for n in run}
            for n, column in columns.items():
                line = self.lines[places[n][0]]
                self.lines[places[n][0]] = line[:column].ljust(max(columns.values())) + entries[n].note

    # -- parts ---------------------------------------------------------------------------------------------------
    def put(self, parts: Sequence[Part], align: int, trail: int, top: bool = False, table: bool = False) -> None:
        """Write parts, with new lines at `align`. `trail` columns follow the last part on its line in any case."""
        chunks = split(parts, top)
        for number, chunk in enumerate(chunks):
            opens = next((n for n, part in enumerate(chunk) if isinstance(part, Block) and part.opens), None)
            head = chunk[:opens]
            room = 2 if opens is not None else trail if number == len(chunks) - 1 else 0
            text = flat(head)
            width = (lead(head) if text is None else len(text)) + room
            if number and ((table and head[0].begins) or self.column + 1 + width > WIDTH):
                self.newline(align)
            if text is not None and self.column + self.gap(chunk[0]) + width <= WIDTH:
                self.write(text, chunk[0].space)
                self.broken(chunk[len(head) :], align, trail)
            elif not top and len(chunks) > 1 and len(split(chunk, top)) > 1:
                self.put(chunk, self.column + self.gap(chunk[0]), room)
            else:
                self.broken(chunk, align, room)

    def broken(self, chunk: Sequence[Part], align: int, room: int) -> None:
        """Write parts between which no line breaks, with what is inside of them on several lines."""
        for number, part in enumerate(chunk):
            rest = chunk[number + 1 :]
            after = lead(rest) + (0 if any(not isinstance(p, Text) for p in rest) else room)
            text = None if isinstance(part, Block) and part.opens else part.flat
            if isinstance(part, Note):
                self.note(part, align)
            elif text is not None and (isinstance(part, Text) or self.column + self.gap(part) + len(text) + after <= WIDTH):
                self.write(text, part.space)
            elif isinstance(part, Group):
                self.group(part, after)
            elif isinstance(part, Block):
                self.block(part)

    def group(self, group: Group, after: int) -> None:
        self.write(group.open, group.space)
        self.opened = True
        align, trail = self.column, len(group.close) + after
        if align > DEEPEST and not group.table and widest(group.parts) + trail > WIDTH - align:
            align = self.indent + HANG
            self.newline(align)
        self.put(group.parts, align, trail, table=group.table)
        if self.pending is not None:
            self.newline(align)
        self.write(group.close, False)

    def block(self, block: Block) -> None:
        self.write("{" + (f"  {block.note}" if block.note else ""), True)
        self.lines.append(self.line)
        indent = self.indent
        self.body(block.entries, indent + INDENT)
        self.indent, self.line, self.opened = indent, " " * indent + "}", False

    def note(self, note: Note, align: int) -> None:
        if note.own_line and not self.fresh:
            self.newline(align)
        self.line += note.text if self.fresh else f"  {note.text}"
        self.pending = align

    # -- characters ----------------------------------------------------------------------------------------------
    @property
    def column(self) -> int:
        return len(self.line) if self.pending is None else self.pending

    @property
    def fresh(self) -> bool:
        return not self.line or self.line.isspace()

    def gap(self, part: Part) -> int:
        return int(part.space and not self.opened and self.pending is None)

    def write(self, text: str, space: bool) -> None:
        if self.pending is not None:
            self.newline(self.pending)
        self.line += " " + text if space and not self.opened else text
        self.opened = False

    def newline(self, align: int) -> None:
        if not self.fresh:
            self.lines.append(self.line)
        self.line, self.opened, self.pending = " " * align, True, None


def split(parts: Sequence[Part], top: bool) -> list[list[Part]]:
    """The parts cut where a line breaks first: after commas, else before the loosest operators. At the top only commas count,
    and what may stand on a line of its own."""
    ranks = [part.rank for part in parts[1:] if part.rank is not None]
    chunks: list[list[Part]] = [[]]
    for part in parts:
        if chunks[-1] and ranks and part.rank == min(ranks) and not (top and part.rank):
            chunks.append([])
        chunks[-1].append(part)
    return [chunk for chunk in chunks if chunk]


def lead(parts: Sequence[Part]) -> int:
    """How many columns parts take before a line can break inside of them."""
    width = 0
    for part in parts:
        if isinstance(part, Note):
            break
        width += part.space
        if not isinstance(part, Text):
            width += 1
            break
        width += len(part.text)
    return width


def widest(parts: Sequence[Part]) -> int:
    """The widest piece of a group that stays on one line."""
    return max((len(flat(chunk) or "") for chunk in split(parts, False)), default=0)


def align(entries: Sequence[Statement], indent: int) -> None:
    """Columns of `=` that were aligned over neighbouring lines stay so, where no line has to be broken for that."""
    for run in runs(entries, lambda entry: entry.equal_column if stays(entry, indent) else 0):
        heads = [flat(entries[n].parts[: entries[n].equal]) or "" for n in run]
        gaps = [max(map(len, heads)) - len(head) for head in heads]
        moved = [(entries[n], indent + gap) for n, gap in zip(run, gaps, strict=True)]
        kept = all(stays(entry, at) and (fits(entry, at) or not fits(entry, indent)) for entry, at in moved)
        if kept and any(entries[n].spread for n in run):
            for n, gap in zip(run, gaps, strict=True):
                sign = entries[n].parts[entries[n].equal or 0]
                assert isinstance(sign, Text)
                sign.text = " " * gap + sign.text


def stays(entry: Statement, indent: int) -> bool:
    """Whether the `=` comes to stand on the first line, after all that is before it. If not, its column says nothing: a line that
    is laid out twice would be aligned with others the second time alone."""
    if entry.equal is None or fits(entry, indent):
        return entry.equal is not None
    head = flat(entry.parts[: entry.equal])
    return (head is not None and len(split(entry.parts, True)) == 1
            and indent + len(head) + lead(entry.parts[entry.equal :]) <= WIDTH)


def fits(entry: Statement, indent: int) -> bool:
    text = flat(entry.parts)
    return text is not None and indent + len(text) <= WIDTH


def runs(entries: Sequence[Statement], column_of: Callable[[Statement], int]) -> list[list[int]]:
    """Neighbouring lines of the source with the same column, as indices."""
    out: list[list[int]] = []
    for n, entry in enumerate(entries):
        before = entries[out[-1][-1]] if out else None
        if before is not None and column_of(entry) == column_of(before) and entry.line == before.end_line + 1:
            out[-1].append(n)
        else:
            out.append([n])
    return [run for run in out if column_of(entries[run[0]])]


def neighbours(run: Sequence[int], places: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The parts of a run that are neighbours as they are written too: a blank line may have come between."""
    out: list[list[int]] = []
    for n in run:
        if out and places[n][0] == places[out[-1][-1]][1] + 1:
            out[-1].append(n)
        else:
            out.append([n])
    return out

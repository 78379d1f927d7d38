"""Problems to text: for a terminal, one line each, or JSON. The only place that makes sentences out of facts."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from archc.diagnostics.model import Place, Problem
from archc.diagnostics.suggest import nearest

# -------------------------------------------------------------------------------------------------------- sentences


@dataclass(frozen=True)
class Texts:
    """What a problem says. `hint` has the suggestion in front where a near name was found."""

    title: str
    here: str
    note: str
    hint: str


def one_of(names: Sequence[str], word: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}" if names else ""


def spoken(value: object) -> str:
    """A fact as it stands in a sentence: a collection as `a, b and c`, an empty one as `nothing`; sets are sorted."""
    if isinstance(value, str) or not isinstance(value, Collection):
        return printable(str(value))
    items = [spoken(item) for item in value]
    if isinstance(value, set | frozenset):
        items.sort()
    return one_of(items, "and") if items else "nothing"


def printable(text: str) -> str:
    """The text with every character that would act on a terminal, or reorder a line, made visible as U+FFFD."""
    if text.isprintable() and text.isascii():
        return text
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c != "\n" else c for c in text)


def fill(template: str, facts: Mapping[str, object]) -> str:
    """The template with `{fact}` replaced; a fact that was not given shows as its name. Other braces stand for themselves."""
    return FIELD.sub(lambda found: spoken(facts[found[1]]) if found[1] in facts else f"<{found[1]}>", template)


FIELD = re.compile(r"\{(\w+)\}")


def texts(problem: Problem) -> Texts:
    """The sentences of a problem."""
    kind, facts = problem.kind, problem.facts
    hint = fill(kind.hint, facts)
    meant = did_you_mean(problem)
    hint = f"{meant} Or {hint}" if meant and hint else meant or hint
    return Texts(fill(kind.title, facts), fill(kind.here, facts), fill(kind.note, facts), hint)


def suggestions(problem: Problem) -> list[str]:
    """The names that were probably meant, if the kind asks for a suggestion."""
    if problem.kind.near is None:
        return []
    wrong, among = (problem.facts.get(fact) for fact in problem.kind.near)
    if wrong is None or isinstance(among, str) or not isinstance(among, Collection):
        return []
    return nearest(str(wrong), [str(name) for name in among])


def did_you_mean(problem: Problem) -> str:
    meant = suggestions(problem)
    return f"did you mean {one_of([repr(name) for name in meant])}?" if meant else ""


def missing_facts(problem: Problem) -> list[str]:
    """The fields of the kind's templates for which the problem brings no fact: always empty, or a test fails."""
    kind = problem.kind
    fields = [*FIELD.findall(f"{kind.title} {kind.here} {kind.note} {kind.hint}"), *(kind.near or ())]
    return [field for field in dict.fromkeys(fields) if field not in problem.facts]


# ------------------------------------------------------------------------------------------------------------ forms
def concise(problem: Problem) -> str:
    """`file:line:column: error[code]: message`, on one line."""
    title = "; ".join(filter(None, (texts(problem).title, did_you_mean(problem))))
    at = f"{problem.at.file}:{problem.at.line}:{problem.at.column}: " if problem.at else ""
    return f"{at}{problem.kind.severity}[{problem.kind.code}]: {title}".replace("\n", " ")


def json_object(problem: Problem) -> dict[str, object]:
    """A problem as plain data. `labels` has the secondary ones; places are null where the problem has none."""
    said = texts(problem)
    return {
        "severity": problem.kind.severity,
        "code": problem.kind.code,
        **place_object(problem.at),
        "message": said.title,
        "label": said.here,
        "note": said.note,
        "hint": said.hint,
        "labels": [{**place_object(place), "text": text} for place, text in problem.also],
    }


def place_object(at: Place | None) -> dict[str, object]:
    names = ("file", "line", "column", "end_line", "end_column")
    return {name: getattr(at, name) if at else None for name in names}


COLOURS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "frame": "\x1b[1;34m", "bold": "\x1b[1m", "off": "\x1b[0m"}


def terminal(problem: Problem, sources: Mapping[str, str], color: bool = False, width: int = 120) -> str:
    """A problem with its place in the source, for people. Ends without a newline.

    `sources` maps each file's path to its text; a place whose text is not there is named and not shown.
    """

    def paint(style: str, text: str) -> str:
        return f"{COLOURS[style]}{text}{COLOURS['off']}" if color and text else text

    said, severity = texts(problem), problem.kind.severity
    lines = [paint(severity, f"{severity}[{problem.kind.code}]") + paint("bold", f": {said.title}")]
    labels = [Label(problem.at, said.here, True)] if problem.at else []
    labels += [Label(place, printable(text), False) for place, text in problem.also]
    files = list(dict.fromkeys(label.at.file for label in labels))
    pad = max((len(str(label.at.end_line)) for label in labels), default=1)
    for number, file in enumerate(files):
        here = [label for label in labels if label.at.file == file]
        arrow = "-->" if number == 0 else ":::"
        lines.append(" " * pad + paint("frame", arrow) + f" {printable(file)}:{here[0].at.line}:{here[0].at.column}")
        if file in sources:
            lines += excerpt(sources[file].split("\n"), here, pad, severity, paint, max(width, 40))
    for word, text in (("note", said.note), ("hint", said.hint)):
        if text:
            lines.append(" " * pad + paint("frame", " = ") + paint("bold", word) + f": {text}")
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------------------- excerpts
Paint = Callable[[str, str], str]
"""(style, text) -> the text in that colour."""


@dataclass(frozen=True)
class Label:
    at: Place
    text: str
    primary: bool


@dataclass(frozen=True)
class Mark:
    """A label's part on one line, in columns of the screen, from 0; `end` is exclusive and more than `start`."""

    start: int
    end: int
    text: str
    primary: bool


def excerpt(source: list[str], labels: list[Label], pad: int, severity: str, paint: Paint, width: int) -> list[str]:
    """The lines that labels stand on, each with its carets below, `...` where lines are left out."""
    marks: dict[int, list[Mark]] = {}
    for label in labels:
        for line, mark in marks_of(label, source):
            marks.setdefault(line, []).append(mark)
    bar, room = paint("frame", "|"), width - pad - 3
    out = [" " * pad + f" {bar}"]
    before: int | None = None
    for line in sorted(marks):
        if before is not None and line == before + 2:  # one line between: as short as dots, and more telling
            out.append(f"{paint('frame', str(before + 1).rjust(pad))} {bar} {cut(cells(source[before]), 0, room)}".rstrip())
        elif before is not None and line > before + 2:
            out.append(paint("frame", "..."))
        before = line
        shown, here = cells(source[line - 1]), marks[line]
        main = next((mark for mark in here if mark.primary), here[0])
        offset = 0 if len(shown) <= room else max(0, min(main.start - room // 3, len(shown) - room))
        out.append(f"{paint('frame', str(line).rjust(pad))} {bar} {cut(shown, offset, room)}".rstrip())
        seen = [m for m in here if 0 <= m.start - offset < room]
        moved = [Mark(m.start - offset, min(m.end - offset, room), m.text, m.primary) for m in seen]
        out += [f"{' ' * pad} {bar} {row}".rstrip() for row in underline(moved, severity, paint)]
    return out


def marks_of(label: Label, source: list[str]) -> Iterator[tuple[int, Mark]]:
    """The first and the last line that a label covers, each with the part that it covers there; the text is at the last."""
    first, last = label.at.line, max(label.at.line, label.at.end_line)
    for line in dict.fromkeys((first, last)):
        if not 1 <= line <= len(source):
            continue
        text = source[line - 1].rstrip()
        start = label.at.column - 1 if line == first else len(text) - len(text.lstrip())
        end = label.at.end_column - 1 if line == last else len(text)
        a = len(cells(source[line - 1][:start]))
        b = len(cells(source[line - 1][:end]))
        yield line, Mark(a, max(b, a + 1), label.text if line == last else "", label.primary)


def underline(marks: list[Mark], severity: str, paint: Paint) -> list[str]:
    """The rows below a source line: carets, the label that ends last beside them, the others below, right to left."""
    marks = sorted(marks, key=lambda mark: (mark.start, not mark.primary))
    styles = [""] * max((mark.end for mark in marks), default=0)
    for mark in sorted(marks, key=lambda mark: mark.primary):  # a primary covers a secondary
        styles[mark.start : mark.end] = [severity if mark.primary else "frame"] * (mark.end - mark.start)
    row = "".join(
        paint(style, ("-" if style == "frame" else "^") * len(list(run))) if style else " " * len(list(run))
        for style, run in itertools.groupby(styles)
    )
    rest = [mark for mark in marks if mark.text]
    last = max(rest, key=lambda mark: (mark.end, mark.primary), default=None)
    if last is not None and last.end == len(styles):
        rest.remove(last)
        row += " " + paint(severity if last.primary else "frame", last.text)
    return [row, *(" " * mark.start + paint(severity if mark.primary else "frame", mark.text) for mark in reversed(rest))]


def cells(line: str) -> list[str]:
    """A source line as the columns of a screen: a tab fills up to a multiple of four, a wide character has an empty one after
    it, a combining one joins the one before, a control character is made visible."""
    out: list[str] = []
    for character in line.rstrip("\r\n"):
        if character == "\t":
            out += [" "] * (4 - len(out) % 4)
        elif unicodedata.combining(character) and out:
            out[-1] += character
        else:
            out.append(printable(character))
            if unicodedata.east_asian_width(character) in "WF":
                out.append("")
    return out


def cut(shown: list[str], start: int, room: int) -> str:
    """The part of a line's columns that fits, with `…` where it goes on."""
    part = shown[start : start + room]
    if start and part:
        part[0] = "…"
    if start + room < len(shown):
        part[-1] = "…"
    return "".join(part)

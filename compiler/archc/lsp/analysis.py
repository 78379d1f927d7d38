"""A text as an editor has it: what is wrong with it, and the value of every expression in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from archc.api import guarded
from archc.checker.program import Program, SourceFile
from archc.diagnostics.model import Problem, Problems
from archc.lsp.checked import Checked, Known, check
from archc.sources import Resolver, shown
from archc.syntax import tree
from archc.syntax.parser import DECLARATION_WORDS
from archc.syntax.tree import Span

DECLARATION = re.compile(rf"({'|'.join(sorted(DECLARATION_WORDS))})\b")
"""What begins a line of its own at the left margin."""


@dataclass
class Analysis:
    """`program` is None where the text itself does not parse. `known` is by the offsets of an expression's span."""

    path: str
    text: str
    problems: list[Problem]
    program: Program | None
    known: dict[tuple[int, int], Known] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)  # where each file of the program lies, by the name shown
    texts: Mapping[str, str] = field(default_factory=dict)  # of every file that was read, those with errors too

    @property
    def tree(self) -> tree.File | None:
        return self.program.root.tree if self.program else None

    def of(self, span: Span) -> Known | None:
        return self.known.get((span.start, span.end))

    def place(self, file: str) -> Path:
        return self.files.get(file, Path(file))


class Analyser:
    """Analyses texts. Files that they import are parsed once, until one of them changes; a declaration is checked again when it
    or one that it names has changed."""

    def __init__(self) -> None:
        self.checked: dict[str, dict[str, Checked]] = {}  # by file and declaration
        self.parsed: dict[str, SourceFile] = {}
        self.places: dict[str, Path] = {}
        self.stamps: dict[Path, tuple[int, int] | None] = {}

    def __call__(self, text: str, path: Path) -> Analysis:
        """Everything about a text that stands, or will, in the file `path`. Bad input is no exception."""
        name, problems = shown(path), Problems()
        if name in self.parsed or any(stamp(file) != known for file, known in self.stamps.items()):
            self.parsed, self.places, self.stamps, self.checked = {}, {}, {}, {}
        with guarded(name):
            program = self.load(text, path, name, problems)
            found = Analysis(name, text, [], program)
            if program is None:  # what is right of the file can be asked about all the same
                program = found.program = self.load(without_broken(text, problems), path, name, Problems())
            if program is not None:
                told = Problems() if problems.errors else problems
                self.checked[name] = check(program, self.checked.get(name, {}), told, found.known)
        found.files, found.problems = self.places, problems.sorted()
        found.texts = {**(program.sources if program else {}), **problems.texts}
        return found

    def load(self, text: str, path: Path, name: str, problems: Problems) -> Program | None:
        resolver = Resolver(path.parent, problems)
        resolver.places.update(self.places)
        resolver.places[name] = path
        program = Program.load(text, name, resolver, problems, self.parsed)
        self.places = {**self.places, **resolver.places}
        if program is not None and not problems.found:
            for file, source in program.files.items():
                if file != name:
                    self.parsed[file], self.stamps[self.places[file]] = source, stamp(self.places[file])
        return program


def without_broken(text: str, problems: Problems) -> str:
    """The text with white space in place of the declarations that have errors of syntax. Offsets stay what they are."""
    lines = text.split("\n")
    starts = [n for n, line in enumerate(lines) if DECLARATION.match(line)] + [len(lines)]
    for problem in problems.errors:
        if problem.at is not None:
            first = max((n for n in starts if n < problem.at.line), default=0)
            last = min(n for n in starts if n >= problem.at.line)
            lines[first:last] = [" " * len(line) for line in lines[first:last]]
    return "\n".join(lines)


def stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size

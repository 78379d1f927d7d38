"""A diagnostic as users of the Python API see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from archc.diagnostics.model import Problem, Severity
from archc.diagnostics.render import terminal, texts


@dataclass(frozen=True)
class Diagnostic:
    """What is wrong, and where. Lines and columns count from 1; they are 0 where a problem has no place in a file.

    `str()` of it is the message with its place in the source.
    """

    severity: Severity
    code: str
    line: int
    column: int
    message: str
    file: str = ""
    end_line: int = 0
    end_column: int = 0
    note: str = ""
    hint: str = ""
    rendered: str = field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        return self.rendered

    @staticmethod
    def of(problem: Problem, sources: Mapping[str, str]) -> Diagnostic:
        said, at = texts(problem), problem.at
        place = (at.line, at.column, at.file, at.end_line, at.end_column) if at else (0, 0, "", 0, 0)
        line, column, file, end_line, end_column = place
        return Diagnostic(
            problem.kind.severity,
            problem.kind.code,
            line,
            column,
            said.title,
            file,
            end_line,
            end_column,
            said.note,
            said.hint,
            terminal(problem, sources),
        )

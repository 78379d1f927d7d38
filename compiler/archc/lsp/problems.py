"""Diagnostics as an editor shows them: in the open text, those of imported files at the import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from archc.diagnostics.model import Place, Problem, Severity
from archc.diagnostics.render import texts
from archc.lsp.analysis import Analysis
from archc.syntax import tree
from archc.syntax.tree import Span

Related = tuple["Path | None", str, int, int, str]
"""(file, or None for the open one; its text; start; end; what is said of that place)"""


@dataclass(frozen=True)
class Finding:
    """One diagnostic, by offsets in the open text."""

    start: int
    end: int
    severity: Severity
    code: str
    message: str
    related: Sequence[Related]


def findings(analysis: Analysis) -> list[Finding]:
    return [finding(problem, analysis) for problem in analysis.problems]


def finding(problem: Problem, analysis: Analysis) -> Finding:
    said = texts(problem)
    lines = [said.title, *(f"{word}: {text}" for word, text in (("note", said.note), ("hint", said.hint)) if text)]
    related = [item for place, text in problem.also if (item := related_to(place, text, analysis)) is not None]
    at = problem.at
    if isinstance(at, Span) and at.file == analysis.path:
        start, end = at.start, at.end
        if said.here:
            lines[0] += f" ({said.here})" if said.here not in lines[0] else ""
    else:
        start, end = imports(analysis)
        if at is not None:
            lines[0] = f"{at.file}:{at.line}:{at.column}: {lines[0]}"
            if (item := related_to(at, said.here or said.title, analysis)) is not None:
                related.insert(0, item)
    return Finding(start, end, problem.kind.severity, problem.kind.code, "\n".join(lines), related)


def related_to(place: Place, text: str, analysis: Analysis) -> Related | None:
    if not isinstance(place, Span):
        return None
    if place.file == analysis.path:
        return None, analysis.text, place.start, place.end, text
    source = analysis.texts.get(place.file)
    return (analysis.place(place.file).resolve(), source, place.start, place.end, text) if source is not None else None


def imports(analysis: Analysis) -> tuple[int, int]:
    """Where a problem of another file is shown: at the first import."""
    for node in analysis.tree.declarations if analysis.tree else ():
        if isinstance(node, tree.Import):
            return node.span.start, node.span.end
    return 0, 0

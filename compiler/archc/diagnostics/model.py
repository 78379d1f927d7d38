"""Problems as data: a kind declared once, the place, and the facts. Only `render` knows sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Severity = Literal["error", "warning"]


class Place(Protocol):
    """A stretch of source text; `archc.syntax.tree.Span` is one."""

    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def end_line(self) -> int: ...
    @property
    def end_column(self) -> int: ...


@dataclass(frozen=True)
class Kind:
    """A diagnostic, declared once in `codes`. Texts are templates over the facts: `unknown axis '{name}'`.

    `near` names two facts: the wrong name, and the collection of right ones that a suggestion is drawn from.
    """

    code: str
    summary: str  # for the list of diagnostics and the page
    title: str
    here: str = ""  # the label under the caret
    note: str = ""
    hint: str = ""
    near: tuple[str, str] | None = None
    severity: Severity = "error"
    exit: Literal["user", "limit", "bug"] = "user"

    @property
    def page(self) -> str:
        return f"docs/errors/{self.code}.md"


@dataclass(frozen=True)
class Problem:
    """A kind at a place with its facts; `also` are secondary labels: (place, text)."""

    kind: Kind
    at: Place | None
    facts: Mapping[str, object] = field(default_factory=dict)
    also: Sequence[tuple[Place, str]] = ()


class Problems:
    """Collects what is wrong with a program while checking goes on, and the texts that the places are in, by path."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self.texts: dict[str, str] = {}

    def add(self, kind: Kind, at: Place | None, also: Sequence[tuple[Place, str]] = (), **facts: object) -> None:
        problem = Problem(kind, at, facts, tuple(also))
        if not any(p.kind is kind and p.at == at for p in self.found):
            self.found.append(problem)

    @property
    def errors(self) -> list[Problem]:
        return [p for p in self.found if p.kind.severity == "error"]

    def sorted(self) -> list[Problem]:
        """By file and place, errors before warnings at one place."""

        def key(p: Problem) -> tuple[str, int, int, bool]:
            return (p.at.file, p.at.line, p.at.column, p.kind.severity == "warning") if p.at else ("", 0, 0, False)

        return sorted(self.found, key=key)


class ArchError(Exception):
    """The one exception that leaves archc for bad input: it carries problems, and prints as their rendering."""

    def __init__(self, problems: Sequence[Problem], sources: Mapping[str, str] | None = None) -> None:
        self.problems = list(problems)
        self.sources = dict(sources or {})
        super().__init__(problems)

    def __str__(self) -> str:
        from archc.diagnostics.render import terminal

        return "\n".join(terminal(p, self.sources) for p in self.problems)


class UserError(ArchError):
    """The user's mistake: the problems say where and what to do."""


class Limit(ArchError):
    """A stated limit of the compiler was met; `archc doctor --limits` lists them."""


class CompilerBug(Exception):
    """Something that cannot be: a defect of archc itself. Prints how to report it."""

"""Every limit of the compiler: how much it takes, and the sentence that says so when a file asks for more."""

from __future__ import annotations

from dataclasses import dataclass

from archc.diagnostics.codes import LIMIT
from archc.diagnostics.model import Place, Problems


@dataclass(frozen=True)
class Bound:
    """`sentence` is a template over `value`: it says what is bounded; `hint` says what to do."""

    value: int
    sentence: str
    hint: str = ""


LIMITS: dict[str, Bound] = {
    "characters": Bound(1_000_000, "a file has at most {value} characters", "move some declarations to a file of their own"),
    "tokens": Bound(100_000, "a file has at most {value} words and signs", "move some declarations to a file of their own"),
    "nesting": Bound(
        200, "expressions, brackets and blocks are nested at most {value} deep", "give a part of it a name of its own"
    ),
    "name": Bound(200, "a name has at most {value} characters", "shorten the name"),
    "integer": Bound(2**63 - 1, "an int is at most {value}", "write it as a float: 1e30"),
    "repetitions": Bound(1_000, "`repeat` and `range` go up to {value}", "use an axis where more is needed"),
    "calls": Bound(5_000, "a layer expands to at most {value} calls", "make the layer smaller, or repeat less"),
    "call depth": Bound(
        60, "calls are nested at most {value} deep", "a layer may contain itself only while a static argument falls"
    ),
    "evaluations": Bound(
        1_000, "expressions and the calls in them are nested at most {value} deep", "give a part of it a name of its own"
    ),
    "statements": Bound(100_000, "a layer expands to at most {value} statements", "make the layer smaller, or repeat less"),
    "terms of a size": Bound(200, "a size has at most {value} terms and factors", "give a part of it an axis of its own"),
    "errors": Bound(20, "at most {value} syntax errors are shown for a file", "the rest shows once these are mended"),
}


def beyond(problems: Problems, name: str, at: Place | None, once: bool = False) -> None:
    """Say that a file asks for more than a limit; with `once`, at the first place only."""
    if once and any(problem.kind is LIMIT and problem.facts["limit"] == name for problem in problems.found):
        return
    bound = LIMITS[name]
    problems.add(LIMIT, at, limit=name, sentence=bound.sentence.format(value=bound.value), way_out=bound.hint)

"""Every limit of the compiler: how much it takes, and the sentence that says so when a file asks for more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """`sentence` is a template over `value`: it says what is bounded; `hint` says what to do."""

    value: int
    sentence: str
    hint: str = ""


LIMITS: dict[str, Bound] = {
    "characters": Bound(1_000_000, "a file has at most {value} characters", "move some declarations to a file of their own"),
    "tokens": Bound(200_000, "a file has at most {value} words and signs", "move some declarations to a file of their own"),
    "nesting": Bound(200, "expressions, brackets and blocks are nested at most {value} deep",
                     "give a part of it a name of its own"),
    "name": Bound(200, "a name has at most {value} characters", "shorten the name"),
    "integer": Bound(2**63 - 1, "an int is at most {value}", "write it as a float: 1e30"),
    "errors": Bound(20, "at most {value} syntax errors are shown for a file", "the rest shows once these are mended"),
}  # fmt: skip


def facts(name: str) -> dict[str, object]:
    """What the diagnostic `limit` says about one of them: `problems.add(LIMIT, span, **facts("nesting"))`."""
    bound = LIMITS[name]
    return {"limit": name, "value": bound.value, "sentence": bound.sentence.format(value=bound.value), "way_out": bound.hint}

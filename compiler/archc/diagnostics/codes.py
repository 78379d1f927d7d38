"""Every diagnostic, declared once. The page in `docs/errors`, the list of codes and the tests come from here."""

from __future__ import annotations

from archc.diagnostics.model import Kind

KINDS: dict[str, Kind] = {}


def declare(code: str, summary: str, **texts: object) -> Kind:
    """`title`, `here`, `note`, `hint` are templates over the facts given when the problem is found."""
    if code in KINDS:
        raise ValueError(f"two diagnostics are called {code}")
    KINDS[code] = Kind(code=code, summary=summary, **texts)  # type: ignore[arg-type]
    return KINDS[code]


# ------------------------------------------------------------------------------------------------- syntax, files
SYNTAX = declare(
    "syntax",
    "A word or sign stands where the language has no use for it",
    title="expected {expected}, found {found}",
    here="{here}",
    hint="{way_out}",
)
UNCLOSED = declare(
    "unclosed",
    "A bracket or brace is opened and never closed",
    title="'{opened}' is never closed",
    here="expected {expected}, found {found}",
    hint="close it with '{closer}'",
)
CHARACTER = declare(
    "character",
    "A character has no meaning in the language",
    title="{character} has no meaning here",
    hint="{way_out}",
)
LAYER_INPUT = declare(
    "layer-input",
    "An entry between the parentheses of a layer does not say what it is",
    title="'{name}' does not say what it is",
    here="expected '{name}: kind'",
    note="parameters of a layer have a kind (axis, int, float, bool, str, layer, ...); tensors are inputs of its forward",
    hint="write '{name}: axis' for an axis, or move it to forward(...)",
)
PARAMETER_KIND = declare(
    "fn-kind",
    "A parameter that is a function does not say what it takes",
    title="a parameter that is a function names its arguments",
    hint="write 'fn(x)'",
)
SPACE_OUTSIDE_HOLE = declare(
    "space-outside-hole",
    "A layer that is not a hole of a search has a space",
    title="only a hole of a search has a space",
    hint="put the layer into 'search name { hole layer ... }', or take the space away",
)
NUMBER_TOO_LARGE = declare(
    "number-too-large",
    "A number is beyond what a float can hold",
    title="{number} is beyond the largest float",
    hint="write 'inf' if infinity is meant",
)
UNKNOWN_ESCAPE = declare(
    "unknown-escape",
    "A string has a backslash before a character that needs none",
    title="'{escape}' means nothing in a string",
    hint="a backslash stands before a quote, another backslash, n or t",
)


# ------------------------------------------------------------------------------------------------- names, axes, types


# ------------------------------------------------------------------------------------------------- limits
LIMIT = declare(
    "limit",
    "A file asks for more than a stated limit of the compiler",
    title="{sentence}",
    hint="{way_out}",
    exit="limit",
)

"""The keywords of the grammar by what they do. A test compares them with `grammar/arch.lark`: none is missing, none is made up.

Most are keywords only where one can stand, and names elsewhere. Colours do not see that far: a word that is a name far more
often than a keyword is coloured only before what follows it as a keyword.
"""

from __future__ import annotations

DECLARATION = ("fn", "layer", "search", "import", "hole")
STORE = ("param", "buffer", "init", "state", "axis", "static")
CONTROL = ("return", "if", "else", "when", "for", "in", "scan", "repeat", "yield", "finally", "update", "penalty", "with")
OPERATOR = ("and", "or", "not")
CONSTANT = ("true", "false", "inf")

FOLLOWED = {
    "forward": r"\s*\(",
    "surrogate": r"[ \t]+grad\b",
    "grad": r"\s*\([^)]*\)\s*\{",
    "like": r"[ \t]+[A-Za-z_]",
    "reverse": r"\s*\{",
    "space": r"\s*\{",
    "as": r"[ \t]+[A-Za-z_]\w*[ \t]*\{",
    "by": r"[ \t]+[A-Za-z_]",
    "edge": r"\s*[,\]]",
    "reflect": r"\s*[,\]]",
    "wrap": r"\s*[,\]]",
    "given": r"\s*(?:$|[}#])",
    "none": r"\s*(?:$|[,}#])",
}
"""Word -> what follows it where it is a keyword, as a regular expression."""

KINDS = ("axis", "int", "float", "bool", "str", "border", "ints", "layers", "complex", "layer", "fn")
"""Words after a colon: kinds of parameters and dtypes. They are no keywords of the grammar."""

ALL = frozenset({*DECLARATION, *STORE, *CONTROL, *OPERATOR, *CONSTANT, *FOLLOWED})

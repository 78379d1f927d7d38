"""Where the grammar, the standard library and the starters of `archc new` lie: inside the installed package, or beside
`compiler/` in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `grammar`, `stdlib` or `starters`. Raises FileNotFoundError if the installation lacks it."""
    for place in (_PACKAGE / name, _PACKAGE.parent.parent / name):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"this installation of archc lacks its folder '{name}' ({_PACKAGE / name}); install it again")


GRAMMAR = "grammar"
STDLIB = "stdlib"
STARTERS = "starters"

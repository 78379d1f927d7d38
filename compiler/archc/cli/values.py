"""`NAME=VALUE` on the command line, and the few words that several commands share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from archc.cli.main import UsageError

if TYPE_CHECKING:
    from archc.checker.program import Program


def pairs(texts: Iterable[str], flag: str) -> dict[str, Any]:
    """`["order=3", "norm=MyNorm"]` as a dict: ints, floats, true and false; anything else is text. Raises UsageError."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier() or not value:
            raise UsageError(f"{flag} takes NAME=VALUE, not '{text}'")
        if name in found:
            raise UsageError(f"{flag} gives '{name}' twice")
        found[name] = value_of(value)
    return found


def value_of(text: str) -> bool | int | float | str | list[int]:
    """`3`, `1e-5`, `true`, `[1, 2]`; anything else is text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    simple = isinstance(value, bool | int | float | str) or (isinstance(value, list) and all(type(v) is int for v in value))
    return value if simple else text


def add_static(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--set", dest="static", action="append", default=[], metavar="NAME=VALUE",
                        help="a static choice of the layer: --set order=3 --set norm=MyNorm")


def layer_of(program: Program, options: argparse.Namespace) -> str:
    """The layer that --layer names, or the file's only one. Raises UsageError."""
    names = [declared.name for declared in program.layers]
    if options.layer is None and len(names) != 1:
        raise UsageError(f"say which layer of '{options.file}': --layer NAME, one of {', '.join(names) or 'none'}")
    return str(options.layer or names[0])

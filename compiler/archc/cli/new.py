"""`archc new`: a file to start from, which compiles and says in comments what each part is."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from archc.api import open_text
from archc.cli.main import InputError, UsageError
from archc.resources import STARTERS, folder
from archc.store import replace_text

EXAMPLES = """examples:
  archc new TinyBlock
  archc new models/pyramid.arch --kind model
  archc new soft_f1 --kind loss

A name makes a file of that name in this folder: TinyBlock is the layer TinyBlock in tiny_block.arch. No file is ever replaced."""

FUNCTIONS = ("loss",)
"""Kinds whose declaration is a function: small letters."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME|FILE", help="the name of the layer or function, or the .arch file to write")
    parser.add_argument("--kind", choices=kinds(), default="layer", help="what to start from (layer)")


def run(options: argparse.Namespace) -> int:
    path, name = place(options.name, options.kind)
    text = starter(options.kind, name)
    open_text(text, str(path))  # a name may clash with one of the library
    try:
        replace_text(path, text, new=True)
    except FileExistsError:
        raise InputError(f"'{path}' is there already, and is left as it is") from None
    then = f"archc compile {path} -o {path.with_suffix('')}" if options.kind not in FUNCTIONS else f"archc check {path}"
    print(f"{path} is written; next: {then}")
    return 0


def kinds() -> list[str]:
    return sorted(path.stem for path in folder(STARTERS).glob("*.arch"))


def place(given: str, kind: str) -> tuple[Path, str]:
    """The file and the name of what it declares. Raises UsageError for a name that is none."""
    stem = re.sub(r"\.arch$", "", Path(given).name)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", stem):
        raise UsageError(f"'{stem}' cannot be a name: letters, digits and _, not beginning with a digit")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", stem).lower()
    path = Path(given) if given.endswith(".arch") else Path(given).with_name(f"{words}.arch")
    if kind in FUNCTIONS:
        return path, words
    return path, stem if stem[0].isupper() else "".join(word[:1].upper() + word[1:] for word in stem.split("_")) or stem


def starter(kind: str, name: str) -> str:
    """The text of a starter with its own name in place."""
    text = (folder(STARTERS) / f"{kind}.arch").read_text(encoding="utf-8")
    return re.sub(r"\bStarter(?=\b|Block)|\bstarter\b", name, text)

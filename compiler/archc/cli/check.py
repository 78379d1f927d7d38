"""`archc check`: every diagnostic of every file."""

from __future__ import annotations

import argparse
import json
import sys

EXAMPLES = """examples:
  archc check model.arch
  archc check *.arch --json

Exit status 1 if there is an error; warnings alone leave it 0."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .arch file, or a module of the library: std.kan")
    parser.add_argument("--json", action="store_true", help="print a JSON list with one object a diagnostic")
    parser.add_argument("--color", choices=["auto", "always", "never"], default="auto", help="(auto: on a terminal)")

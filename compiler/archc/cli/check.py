"""`archc check`: every diagnostic of every file."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from archc.api import guarded
from archc.checker.program import check_program
from archc.diagnostics.model import Problem, Problems
from archc.diagnostics.render import json_object, terminal
from archc.sources import load_file, load_text

EXAMPLES = """examples:
  archc check model.arch
  archc check *.arch --json
  archc check - < model.arch

Exit status 1 if there is an error; warnings alone leave it 0."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE",
                        help="a .arch file, a module of the library (std.kan), or - for standard input")
    parser.add_argument("--json", action="store_true", help="print a JSON list with one object a diagnostic")
    parser.add_argument("--color", choices=["auto", "always", "never"], default="auto", help="(auto: on a terminal)")


def run(options: argparse.Namespace) -> int:
    found: list[Problem] = []
    sources: dict[str, str] = {}
    for file in dict.fromkeys(options.files):
        problems = check_source(file)
        found += [problem for problem in problems.sorted() if problem not in found]
        sources |= problems.texts
    if options.json:
        print(json.dumps([json_object(problem) for problem in found], indent=2))
    else:
        color = colored(options.color)
        for problem in found:
            print(terminal(problem, sources, color), end="\n\n")
        print(summary(found, len(set(options.files))))
    return int(any(problem.kind.severity == "error" for problem in found))


def check_source(file: str) -> Problems:
    """What is wrong with a file, with everything that it imports taken into account."""
    problems = Problems()
    with guarded(file):
        program = load_text(_standard_input(), "<stdin>", problems, Path.cwd()) if file == "-" else load_file(file, problems)
        if program is not None and not problems.errors:
            check_program(program, problems)
    return problems


def summary(found: list[Problem], files: int) -> str:
    errors = sum(problem.kind.severity == "error" for problem in found)
    counts = [f"{n} {word}{'s' * (n > 1)}" for n, word in ((errors, "error"), (len(found) - errors, "warning")) if n]
    return f"{' and '.join(counts) or 'nothing wrong'} in {files} file{'s' * (files > 1)}"


def colored(choice: str) -> bool:
    """NO_COLOR is respected (https://no-color.org)."""
    return choice == "always" or (choice == "auto" and sys.stdout.isatty() and "NO_COLOR" not in os.environ)


def _standard_input() -> str:
    return sys.stdin.buffer.read().decode("utf-8", errors="replace")

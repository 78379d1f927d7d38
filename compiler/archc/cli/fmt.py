"""`archc fmt`: lay out .arch files in the one way that there is."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from archc.cli.main import InputError
from archc.diagnostics.model import Problems
from archc.diagnostics.render import terminal
from archc.sources import read
from archc.store import replace_text
from archc.syntax.format import format_text

EXAMPLES = """examples:
  archc fmt model.arch
  archc fmt --check models examples
  archc fmt - < model.arch

Comments, blank lines (one at most) and blocks that stand on one line and fit are kept. A file with errors of syntax is left
alone. Exit status 1 if there is such a file, or with --check if a file would change."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE",
                        help="a .arch file, a folder of them, or - from standard input to standard output")
    parser.add_argument("--check", action="store_true", help="change nothing; say which files would change")
    parser.add_argument("--diff", action="store_true", help="change nothing; print what would change")


def run(options: argparse.Namespace) -> int:
    changed = broken = 0
    files = list(dict.fromkeys(file for given in options.files for file in below(given)))
    for file in files:
        before, after, problems = formatted(file)
        for problem in problems.sorted():
            if problem.kind.severity == "error":
                print(terminal(problem, problems.texts), end="\n\n", file=sys.stderr)
        if after is None:
            broken += 1
            continue
        changed += after != before
        if options.diff:
            sys.stdout.writelines(difference(before, after, file))
        elif options.check:
            if after != before:
                print(f"{file} would change")
        elif file == "-":
            sys.stdout.write(after)
        elif after != before:
            replace_text(Path(file), after)
            print(f"{file} is changed")
    if broken:
        print(f"{broken} of {len(files)} files left alone", file=sys.stderr)
    return int(broken > 0 or (options.check and changed > 0))


def below(given: str) -> list[str]:
    """The `.arch` files of a folder, or what was given itself."""
    if not Path(given).is_dir():
        return [given]
    if not (found := sorted(str(path) for path in Path(given).rglob("*.arch"))):
        raise InputError(f"there is no .arch file below the folder {given}")
    return found


def formatted(file: str) -> tuple[str, str | None, Problems]:
    """The text of a file, and the text laid out or None with what is wrong."""
    problems = Problems()
    text = standard_input() if file == "-" else read(file, problems)
    if text is None:
        return "", None, problems
    return text, format_text(text, "<stdin>" if file == "-" else file, problems), problems


def difference(before: str, after: str, file: str) -> list[str]:
    """Lines of a unified diff; a last line without a newline is marked as diff does."""
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), file, f"{file} (formatted)")
    return [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]


def standard_input() -> str:
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"standard input is not UTF-8 (byte {data[error.start]:#04x} at {error.start})") from error
